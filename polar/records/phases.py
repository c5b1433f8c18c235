"""The content of a study's figures, as records that travel to the process that draws them."""

from polar.records.latents import Flaw, Regime
from polar.records.ranges import StudyRange
from polar.records.record import Record


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


class Phases(Record):
    """The trainings of a study along its single swept field, and the range that it has found."""

    trainings: tuple[Training, ...]
    #: Both ends of a logarithmic axis; none for a linear axis.
    ends: tuple[float, float] | None
    #: The range; none on a linear axis, and before the first completed trial.
    range: StudyRange | None
