"""What a phase diagram shows, as it travels to the process that draws it."""

from polar.records.latents import Regime
from polar.records.ranges import StudyRange
from polar.records.record import Record


class Training(Record):
    """One row of the table that `polar.figures.phase_diagram` draws."""

    model: str
    dataset: str
    field: str
    steps: int
    weight: float
    seed: int
    regime: Regime
    n_active: int
    #: Means over the seeds where a trial has no measures of each; so is the next.
    polarisation: float
    explained: float
    converged: bool


class Phases(Record):
    """The trainings of a study along its one swept field, and the range that it has found."""

    trainings: tuple[Training, ...]
    #: Both ends of the axis where it is logarithmic; none where it is linear.
    ends: tuple[float, float] | None
    #: None on a linear axis, and before the first completed trials.
    range: StudyRange | None
