"""Everything that changes while a run trains."""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from polar import models
from polar.models import Autoencoder
from polar.records.events import Evaluation
from polar.spec import SCIENCE_VERSION, ExperimentSpec
from polar.training import seeding
from polar.training.inputs import u_sizes


@dataclass
class TrainingState:
    """A run between two steps; what a checkpoint holds."""

    #: What a run that goes on from here must share: anything else would change the numbers.
    identity: dict[str, str | int]
    model: Autoencoder
    optimiser: torch.optim.Adam
    #: Source of the posteriors' samples.
    noise: torch.Generator
    #: Total loss, reconstruction and penalty, summed since the last report: (3,), float64.
    unreported: Tensor
    #: Steps made.
    step: int = 0
    #: Step of the last report.
    reported_step: int = 0
    #: All evaluations made, by ascending step.
    evaluations: list[Evaluation] = field(default_factory=list)


def fresh(spec: ExperimentSpec, dataset_digest: str, device: torch.device) -> TrainingState:
    """A run before its first step.

    Args:
        spec: Of one seed.
        dataset_digest: Of the dataset that it trains on.
        device: Where it trains.
    """
    (seed,) = spec.seeds
    model = models.build(
        spec.model, spec.dataset.side, u_sizes(spec), seeding.weights(seed), device
    )
    return TrainingState(
        identity={
            "science_version": SCIENCE_VERSION,
            "spec_hash": spec.content_hash(),
            "dataset_digest": dataset_digest,
            "device": device.type,
        },
        model=model,
        optimiser=torch.optim.Adam(model.parameters(), spec.training.learning_rate, fused=True),
        noise=seeding.noise(seed, device),
        unreported=torch.zeros(3, dtype=torch.float64, device=device),
    )
