"""Where latent spaces are clean: what trainings say about it, and the range that is known."""

import math
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from polar.records.certificates import Certificates, is_refuted
from polar.records.latents import Flaw, Regime
from polar.records.record import Record
from polar.spec.study_parts import Of as Of

Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=0)]
Steps = Annotated[int, Field(ge=1)]
Std = Annotated[float, Field(ge=0)]
EdgeSide = Literal["left", "right"]


class Action(Record):
    """A training that a search wants next: at a new weight, with a new seed, or for more steps.

    Or a training that goes on from the end of another, to see how far the band is held.
    """

    weight: Positive
    seed: int
    #: Weight of another training of the same seed and number of steps, from whose end the training
    #: goes on. None for a training from scratch.
    warm_start: Positive | None = None
    #: The number of steps after which the training ends.
    steps: Steps
    #: The number of steps that this training has behind it already; 0 for a new training. Its
    #: cost is what remains.
    done: Count = 0

    @property
    def cost(self) -> int:
        """The number of steps that are to be trained."""
        return self.steps - self.done


class Snapshot(Record):
    """What a training shows at one of its evaluations, as far as the range depends on it."""

    #: Number of steps after which it was evaluated.
    steps: Steps
    regime: Regime
    flaws: tuple[Flaw, ...] = ()
    #: The verdict by P alone, which decides where the search is for polarised spaces. None if
    #: nobody has measured it; the regime then decides.
    paper_regime: Regime | None = None
    #: Numbers of latents, which show on which side of the band a forming space probably lies.
    n_active: Count | None = None
    n_passive: Count | None = None
    #: Whether the measures keep the limits of the study's constraints. A space that does not is
    #: not inside the band.
    keeps_limits: bool = True

    def is_inside(self, of: Of) -> bool:
        """Whether the space is in a band of this kind; one that exceeds the limits is not."""
        paper = self.paper_regime or self.regime
        inside = self.regime is Regime.CLEAN if of == "clean" else paper is Regime.POLARISED
        return inside and self.keeps_limits


class SeedOutcome(Snapshot):
    """The outcome of one seed's training that matters for the range, and the way there."""

    #: Equivalent standard deviations of the latents with the least and the largest entropy, from
    #: which the edges are guessed. They steer proposals and do not enter what is reported.
    weakest_std: Std | None = None
    strongest_std: Std | None = None
    #: Whether the training has settled, so that its verdict holds for larger budgets too; none if
    #: that is not known.
    settled: bool | None = None
    #: What the earlier evaluations showed, in ascending order of their steps.
    trajectory: tuple[Snapshot, ...] = ()


class Observation(SeedOutcome):
    """The outcome of one seed's training at one weight.

    A training that went on has several observations, which differ in their steps.
    """

    weight: Positive
    seed: int
    #: Weight of the training from whose end it went on, as in `Action`; none from scratch.
    warm_start: Positive | None = None


class Outcome(StrEnum):
    """The outcome of the search for a band so far."""

    #: Both edges are known as finely as wanted.
    FOUND = "found"
    #: There is a band, but its edges are not known as finely as wanted; more trials would help.
    COARSE = "coarse"
    #: The band reaches an end of the search.
    OPEN = "open"
    #: No weight that was tested is in a band.
    NO_BAND = "no_band"
    #: The study does not sweep exactly one field on a logarithmic axis, so nothing is searched.
    NOT_ONE_FIELD = "not_one_field"


#: Said of an edge of which no movement is known.
NOT_KNOWN_TO_BE_SETTLED = "not known to be settled"


class Movement(Record):
    """How an edge moves while the number of steps doubles."""

    #: True if the edge stands still, false if it moves; none if the budgets are known too coarsely
    #: to tell.
    is_settled: bool | None
    #: The edge's weight divided by its weight at half the steps; none if either is open. `low` and
    #: `high` are the ends of the factor's 90 % interval, by the trainings whose verdict has
    #: changed in between; for a single seed they are the least and the largest factor that the
    #: edge's intervals allow.
    factor: Positive | None
    low: Positive | None
    high: Positive | None

    def words(self) -> str:
        """Such as `settled`, `moving by 1/2.1 per doubling` or `not known to be settled`."""
        if self.is_settled is None:
            return NOT_KNOWN_TO_BE_SETTLED
        if self.is_settled:
            return "settled"
        if self.factor is None:
            return "moving"
        times = max(self.factor, 1 / self.factor)
        by = f"{times:.2g}" if times >= 1.05 else f"{times:.4g}"
        return f"moving by {by if self.factor > 1 else f'1/{by}'} per doubling"


class Edge(Record):
    """An edge of the band, and what is known of its place.

    An edge is the weight at which half of the seeds have passed it. The share that has is a
    logistic function of the logarithm of the weight.
    """

    #: Ends of the interval in which the edge lies: the 90 % credible interval over seeds, or for
    #: a single seed the two tested weights between which its own verdict changes. None if nothing
    #: bounds the edge on that side; the band may then reach beyond the search.
    low: float | None
    high: float | None
    #: Chance that the edge lies in the interval; none for a single seed, whose interval says
    #: nothing of other seeds.
    confidence: float | None
    #: The weight that the edge exceeds with chance 0.5; none where the edge is open or has no
    #: confidence.
    at: Positive | None = None
    #: Scale of the logistic in natural logarithms of the weight, as the median of the belief: the
    #: verdict of one seed in eight still differs from that of most at a distance of twice this.
    #: None where no verdicts of seeds differ next to the edge, and for a single seed.
    width: Positive | None = None
    #: How the edge moves with the budget, by trainings that have made the steps; none if they do
    #: not lie on both sides of it, if only one budget is known, and for the edges of gaps.
    movement: Movement | None = None

    def words(self) -> str:
        """Where the edge lies, such as `0.31..0.34`, `below 0.01`, `above 100` or `anywhere`."""
        if self.low is None:
            return "anywhere" if self.high is None else f"below {self.high:.4g}"
        return f"above {self.low:.4g}" if self.high is None else f"{self.low:.4g}..{self.high:.4g}"

    def movement_words(self) -> str:
        """How the edge moves, `not known to be settled` where no movement is known."""
        return NOT_KNOWN_TO_BE_SETTLED if self.movement is None else self.movement.words()

    @property
    def middle(self) -> float | None:
        """A single weight for the edge; none where the edge is open."""
        if self.at is not None or self.low is None or self.high is None:
            return self.at
        return math.sqrt(self.low * self.high)


class Interval(Record):
    """Weights at which latent spaces are in the band, at least from `left.high` to `right.low`.

    Where seeds contradict each other, the intervals of both edges are wide and may overlap.
    """

    left: Edge
    right: Edge

    @property
    def sides(self) -> tuple[tuple[EdgeSide, Edge], ...]:
        """Both edges with the words for their sides."""
        return ("left", self.left), ("right", self.right)

    def words(self) -> str:
        """The extent of the interval, such as `0.31..0.34 to 12.1..13`."""
        return f"{self.left.words()} to {self.right.words()}"

    @property
    def core(self) -> tuple[float, float] | None:
        """The weights between the edges; None where an end is open or the edges overlap."""
        low, high = self.left.high, self.right.low
        return None if low is None or high is None or low > high else (low, high)

    @property
    def is_overlapping(self) -> bool:
        """Whether the intervals of the edges overlap, so that no weight is between them."""
        low, high = self.left.high, self.right.low
        return low is not None and high is not None and low > high


class AtBudget(Record):
    """The band after a number of steps."""

    steps: Steps
    #: Number of trainings that have made so many steps and whose verdict there is known. The edges
    #: may rest on others too, which settled before.
    trainings: Count
    #: None if no training was in the band.
    envelope: Interval | None


class RangeReport(Record):
    """What a search for the band has found so far."""

    outcome: Outcome
    of: Of
    #: Budget: the number of steps for which the edges are given. It is the largest at which both
    #: are known and that trainings on both sides of an edge have made; without any, the largest
    #: that all trainings next to an edge have made, the least with a band, or that of the search.
    #: While a study trains on for more steps and has no band there yet, it is that of before.
    steps: Steps
    #: The seeds whose trainings have a verdict at this budget.
    seeds: tuple[int, ...]
    #: The intervals of the band in ascending order; gaps shorter than a factor 1.25 are closed.
    intervals: tuple[Interval, ...]
    #: From the first interval's left edge to the last interval's right edge; none without a band.
    envelope: Interval | None
    #: The held edges at the budget: how far spaces stay in the band in trainings that go on from
    #: the end of a training inside it. Trainings from scratch that are inside count as held; all
    #: other parts of the report are about trainings from scratch alone. None without a band, and
    #: where no training that went on so has a verdict.
    held: Interval | None = None
    #: The band at every budget that the trainings have passed, in ascending order.
    by_steps: tuple[AtBudget, ...]
    #: Whether all trainings next to the envelope's edges had settled; none if that is not known of
    #: all.
    settled: bool | None
    #: Number of trainings that are inside the band by their own verdict and that others
    #: contradict, so that there is no envelope; 0 with an envelope.
    overruled: Count = 0
    #: Weights at which seeds gave different verdicts.
    disagreeing: tuple[float, ...]
    #: Number of weights with a verdict at this budget.
    weights: int
    #: Number of all trainings from scratch.
    trainings: int
    #: How many of them say nothing at this budget, because they had not begun to learn, or because
    #: they have made fewer steps without having settled.
    untrained: Count = 0
    unmade: Count = 0
    #: The answer in one sentence, with its budget, its seeds, and how its edges move.
    headline: str
    #: What else a researcher should know, in sentences.
    remarks: tuple[str, ...]


class StudyRange(RangeReport):
    """What a study has found about the range, and the fields that it swept."""

    #: The dotted names of the swept fields.
    fields: tuple[str, ...]
    #: What the models of the same problem say about the trainings and the edges; none where no
    #: loss was kept.
    certificates: Certificates | None = None

    def refutes(self, side: EdgeSide, edge: Edge) -> bool:
        """Whether the known models refute an edge of an interval or of the envelope.

        They speak of the outermost edges alone; the edges of gaps are never refuted.
        """
        if self.certificates is None or self.envelope is None:
            return False
        certificate = self.certificates.left if side == "left" else self.certificates.right
        return is_refuted(certificate) and edge == dict(self.envelope.sides)[side]
