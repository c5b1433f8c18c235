"""Where latent spaces are polarised: what trainings say of it, and the range that is known."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from polar.records.latents import Regime
from polar.records.record import Record

Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=0)]
Std = Annotated[float, Field(ge=0)]


class SeedOutcome(Record):
    """What the training of one seed ended with."""

    regime: Regime
    #: The numbers of latents tell on which side of the band a forming space probably lies.
    n_active: Count | None = None
    n_passive: Count | None = None
    #: Equivalent standard deviations of the latents with the least and the largest entropy: they
    #: guess how far the edges are. They steer proposals and are no part of what is claimed.
    weakest_std: Std | None = None
    strongest_std: Std | None = None
    #: Whether the training had converged; none when nobody knows.
    converged: bool | None = None


class Observation(SeedOutcome):
    """What the training of one seed at one weight ended with."""

    weight: Positive


class Outcome(StrEnum):
    """How the search for a band stands."""

    #: Both edges are known as finely as wanted.
    FOUND = "found"
    #: There is a band; more trials would bring its edges closer.
    COARSE = "coarse"
    #: The band reaches an end of the search.
    OPEN = "open"
    #: No weight that was tested is polarised.
    NO_BAND = "no_band"
    #: The study does not sweep exactly one field on a logarithmic axis, so nothing is searched.
    NOT_ONE_FIELD = "not_one_field"


class Edge(Record):
    """Two tested weights with an edge between them."""

    #: None: nothing is tested below, the band may reach beyond the search.
    low: float | None
    #: None: nothing is tested above.
    high: float | None
    #: Chance that the edge lies there, from 0.9 up for the envelope's edges.
    confidence: float

    def words(self) -> str:
        """Where the edge lies, such as `0.31..0.34`, `below 0.01`, `above 100` or `anywhere`."""
        if self.low is None:
            return "anywhere" if self.high is None else f"below {self.high:.4g}"
        return f"above {self.low:.4g}" if self.high is None else f"{self.low:.4g}..{self.high:.4g}"


class Interval(Record):
    """Weights in which latent spaces are polarised: from `left.high` to `right.low` at least.

    Where seeds contradict each other the brackets are wide and may reach over each other.
    """

    left: Edge
    right: Edge

    def words(self) -> str:
        """From where to where the interval reaches, such as `0.31..0.34 to 12.1..13`."""
        return f"{self.left.words()} to {self.right.words()}"

    @property
    def core(self) -> tuple[float, float] | None:
        """The weights between the edges; none where an end is open or the edges overlap."""
        low, high = self.left.high, self.right.low
        return None if low is None or high is None or low > high else (low, high)


class RangeReport(Record):
    """The product of a search."""

    outcome: Outcome
    #: By ascending weight, gaps shorter than a factor 1.25 closed.
    intervals: tuple[Interval, ...]
    #: From the first interval's left edge to the last one's right edge; none without a band.
    envelope: Interval | None
    #: Whether all trainings at the weights of the envelope's brackets had converged; none when
    #: that is not known of all.
    converged: bool | None
    #: Weights at which seeds gave different verdicts.
    disagreeing: tuple[float, ...]
    #: Weights that were tested, and trainings that tested them; 0 where nothing is searched.
    weights: int
    trainings: int
    #: What a researcher should know, in sentences.
    remarks: tuple[str, ...]


class StudyRange(RangeReport):
    """What a study has found: the report, and what its verdicts depend on."""

    #: The dotted names of the swept fields.
    fields: tuple[str, ...]
    #: How many steps each training takes.
    steps: int
    #: The seeds of every trial.
    seeds: tuple[int, ...]
