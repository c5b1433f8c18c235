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
    """A run between two steps; this is what a checkpoint holds."""

    #: What a resuming run must share with this one; any difference would change the numbers.
    identity: dict[str, str | int]
    model: Autoencoder
    optimiser: torch.optim.Adam
    #: Source of the posteriors' samples.
    noise: torch.Generator
    #: Total loss, reconstruction and penalty, summed since the last report: (3,), float64.
    unreported: Tensor
    #: Number of steps made.
    step: int = 0
    #: Step of the last report.
    reported_step: int = 0
    #: All evaluations so far, by ascending step.
    evaluations: list[Evaluation] = field(default_factory=list)


def fresh(spec: ExperimentSpec, dataset_digest: str, device: torch.device) -> TrainingState:
    """A run before its first step.

    Args:
        spec: A spec with one seed.
        dataset_digest: Digest of the dataset that the run trains on.
        device: Device that the run trains on.
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
