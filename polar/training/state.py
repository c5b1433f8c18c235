"""Everything that changes while a run trains, and where in its course it is."""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from polar import models
from polar.models import Autoencoder
from polar.records.events import Evaluation
from polar.spec import SCIENCE_VERSION, ExperimentSpec, shape_of
from polar.spec.course import trainings
from polar.training import schedule, seeding
from polar.training.adam import Adam
from polar.training.inputs import u_sizes
from polar.training.precision import exact_float32


@dataclass
class TrainingState:
    """A run between two steps; this is what a checkpoint holds."""

    #: The stages of the warm start, each as a spec of its own, and last the spec of the run.
    trainings: tuple[ExperimentSpec, ...]
    #: What a run that goes on from here must share, besides the course of its training; any
    #: difference would change the numbers.
    identity: dict[str, str | int]
    model: Autoencoder
    optimiser: Adam
    #: Source of the posteriors' samples.
    noise: torch.Generator
    #: Total loss, reconstruction and penalty, summed since the last report: (3,), float64.
    unreported: Tensor
    #: The place of the present training among `trainings`.
    stage: int = 0
    #: Number of steps made in the present training.
    step: int = 0
    #: Step of the last report.
    reported_step: int = 0
    #: All evaluations of the present training so far, by ascending step.
    evaluations: list[Evaluation] = field(default_factory=list)

    @property
    def spec(self) -> ExperimentSpec:
        """The spec of the present training."""
        return self.trainings[self.stage]

    @property
    def is_in_warm_start(self) -> bool:
        """Whether the present training is a stage of the warm start."""
        return self.stage < len(self.trainings) - 1

    @property
    def has_ended(self) -> bool:
        """Whether the present training has made its steps, or has settled where that ends it."""
        return self.step in (self.spec.training.steps, schedule.end(self.spec, self.evaluations))

    @property
    def steps_in_all(self) -> int:
        """Number of steps made in the present training and in those before it."""
        before = sum(spec.training.steps for spec in self.trainings[: self.stage])
        return before + self.step

    def begin_next_training(self) -> None:
        """Go on from network, optimiser and noise as they are, with everything else anew."""
        self.stage += 1
        self.step = self.reported_step = 0
        self.unreported.zero_()
        self.evaluations.clear()


def fresh(spec: ExperimentSpec, dataset_digest: str, device: torch.device) -> TrainingState:
    """A run before its first step.

    Args:
        spec: A spec with one seed.
        dataset_digest: Digest of the dataset that the run trains on.
        device: Device that the run trains on.
    """
    (seed,) = spec.seeds
    with exact_float32():  # the first norms of an LV-AE are products of its weights
        model = models.build(
            spec.model, shape_of(spec.dataset), u_sizes(spec), seeding.weights(seed), device
        )
    return TrainingState(
        trainings=trainings(spec),
        identity={
            "science_version": SCIENCE_VERSION,
            "dataset_digest": dataset_digest,
            "device": device.type,
        },
        model=model,
        optimiser=Adam(model.parameters(), spec.training.learning_rate),
        noise=seeding.noise(seed, device),
        unreported=torch.zeros(3, dtype=torch.float64, device=device),
    )
