"""The content of a study's figures, as records that travel to the process that draws them."""

from enum import StrEnum

from polar.records.certificates import ComparedModel
from polar.records.latents import Flaw, Regime
from polar.records.ranges import Snapshot, StudyRange
from polar.records.record import Record


class StudyFigure(StrEnum):
    """The figures of a study, by the names that commands, addresses and files have for them."""

    #: Verdicts, active latents, P and R of trainings from scratch, by weight.
    PHASE_DIAGRAM = "phase_diagram"
    #: Active latents and R of trainings from scratch and from inside the band, by weight.
    HYSTERESIS = "hysteresis"
    #: Verdicts of trainings at all their evaluations, and the edges at every budget.
    WEIGHT_BY_STEPS = "weight_by_steps"
    #: What all known models of the study's problem pay at every weight, and the least of all.
    LOSS_ENVELOPE = "loss_envelope"


class Training(Record):
    """A training of a study: one row of the tables that `polar.figures` draws for studies."""

    model: str
    dataset: str
    field: str
    steps: int
    weight: float
    seed: int
    #: Weight of the training from whose end it went on; none from scratch.
    warm_start: float | None = None
    regime: Regime
    #: What keeps a forming space from being clean; empty for all other regimes.
    flaws: tuple[Flaw, ...] = ()
    n_active: int
    #: This field and the next are means over the seeds if a trial lacks the measures of each seed.
    polarisation: float
    explained: float
    settled: bool
    #: What the earlier evaluations showed, in ascending order of their steps.
    trajectory: tuple[Snapshot, ...] = ()

    @property
    def snapshots(self) -> tuple[Snapshot, ...]:
        """What all evaluations showed, the last included."""
        return (*self.trajectory, Snapshot(steps=self.steps, regime=self.regime))


class Phases(Record):
    """The trainings of a study along its single swept field, and the range that it has found."""

    trainings: tuple[Training, ...]
    #: Both ends of a logarithmic axis; none for a linear axis.
    ends: tuple[float, float] | None
    #: The range; none on a linear axis, and before the first completed trial.
    range: StudyRange | None


class LossEnvelope(Record):
    """The known models of a study's problem, whose losses are lines in the weight."""

    model: str
    dataset: str
    #: Such as `beta`.
    weight_name: str
    models: tuple[ComparedModel, ...]
    #: Both ends of the linear axis of weights.
    ends: tuple[float, float]
