"""The content of a phase diagram, as records that travel to the process that draws it."""

from polar.records.latents import Flaw, Regime
from polar.records.ranges import StudyRange
from polar.records.record import Record


class Training(Record):
    """A training of a study: one row of the table that `polar.figures.phase_diagram` draws."""

    model: str
    dataset: str
    field: str
    steps: int
    weight: float
    seed: int
    regime: Regime
    #: What keeps a forming space from being clean; empty for all other regimes.
    flaws: tuple[Flaw, ...] = ()
    n_active: int
    #: This field and the next are means over the seeds if a trial lacks the measures of each seed.
    polarisation: float
    explained: float
    settled: bool


class Phases(Record):
    """The trainings of a study along its single swept field, and the range that it has found."""

    trainings: tuple[Training, ...]
    #: Both ends of a logarithmic axis; none for a linear axis.
    ends: tuple[float, float] | None
    #: The range; none on a linear axis, and before the first completed trial.
    range: StudyRange | None
