"""Where latent spaces are polarised: what trainings say about it, and the range that is known."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from polar.records.latents import Regime
from polar.records.record import Record

Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=0)]
Std = Annotated[float, Field(ge=0)]


class SeedOutcome(Record):
    """The outcome of one seed's training that matters for the range."""

    regime: Regime
    #: Numbers of latents, which show on which side of the band a forming space probably lies.
    n_active: Count | None = None
    n_passive: Count | None = None
    #: Equivalent standard deviations of the latents with the least and the largest entropy, from
    #: which the edges are guessed. They steer proposals and do not enter what is reported.
    weakest_std: Std | None = None
    strongest_std: Std | None = None
    #: Whether the training had converged; none if that is not known.
    converged: bool | None = None


class Observation(SeedOutcome):
    """The outcome of one seed's training at one weight."""

    weight: Positive


class Outcome(StrEnum):
    """The outcome of the search for a band so far."""

    #: Both edges are known as finely as wanted.
    FOUND = "found"
    #: There is a band, but its edges are not known as finely as wanted; more trials would help.
    COARSE = "coarse"
    #: The band reaches an end of the search.
    OPEN = "open"
    #: No weight that was tested is polarised.
    NO_BAND = "no_band"
    #: The study does not sweep exactly one field on a logarithmic axis, so nothing is searched.
    NOT_ONE_FIELD = "not_one_field"


class Edge(Record):
    """An edge of the band: the two tested weights between which it lies."""

    #: None if no weight below the edge was tested; the band may then reach beyond the search.
    low: float | None
    #: None if no weight above the edge was tested; the band may then reach beyond the search.
    high: float | None
    #: Chance that the edge lies between the two, at least 0.9 for the envelope's edges.
    confidence: float

    def words(self) -> str:
        """Where the edge lies, such as `0.31..0.34`, `below 0.01`, `above 100` or `anywhere`."""
        if self.low is None:
            return "anywhere" if self.high is None else f"below {self.high:.4g}"
        return f"above {self.low:.4g}" if self.high is None else f"{self.low:.4g}..{self.high:.4g}"


class Interval(Record):
    """Weights at which latent spaces are polarised, at least from `left.high` to `right.low`.

    Where seeds contradict each other, the brackets of both edges are wide and may overlap.
    """

    left: Edge
    right: Edge

    def words(self) -> str:
        """The extent of the interval, such as `0.31..0.34 to 12.1..13`."""
        return f"{self.left.words()} to {self.right.words()}"

    @property
    def core(self) -> tuple[float, float] | None:
        """The weights between the edges; None where an end is open or the edges overlap."""
        low, high = self.left.high, self.right.low
        return None if low is None or high is None or low > high else (low, high)


class RangeReport(Record):
    """What a search for the band has found so far."""

    outcome: Outcome
    #: The polarised intervals in ascending order; gaps shorter than a factor 1.25 are closed.
    intervals: tuple[Interval, ...]
    #: From the first interval's left edge to the last interval's right edge; none without a band.
    envelope: Interval | None
    #: Whether all trainings at the weights that bracket the envelope's edges had converged; none
    #: if that is not known of all.
    converged: bool | None
    #: Weights at which seeds gave different verdicts.
    disagreeing: tuple[float, ...]
    #: Numbers of tested weights and of their trainings; 0 where nothing is searched.
    weights: int
    trainings: int
    #: What a researcher should know, in sentences.
    remarks: tuple[str, ...]


class StudyRange(RangeReport):
    """What a study has found about the range, and the settings that its verdicts depend on."""

    #: The dotted names of the swept fields.
    fields: tuple[str, ...]
    #: Number of steps of each training.
    steps: int
    #: The seeds of every trial.
    seeds: tuple[int, ...]
