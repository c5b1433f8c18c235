"""The search for a band: where to look, with which seeds, for how many steps, and how finely."""

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Annotated, TypeVar

from pydantic import Field, model_validator

from polar.errors import InvalidInput
from polar.records.ranges import Action, Observation, Of, Positive, Steps
from polar.records.record import Record

T = TypeVar("T", Observation, Action)

#: Most cells of an axis: the time of a proposal grows with them, to about a second.
MOST_CELLS = 1000


class Search(Record):
    """Where to look for the band, with which seeds, for how many steps, and how finely."""

    #: Ends of the log axis, both included.
    low: Positive
    high: Positive
    #: An edge is known when its interval spans at most this factor.
    factor: Annotated[float, Field(ge=1.001, le=10)] = 1.1
    of: Of = "clean"
    #: The seeds that trainings may have. A single seed says nothing of other seeds: each weight is
    #: then trained once, and no edge gets a confidence.
    seeds: tuple[int, ...] = Field((0,), min_length=1)
    #: The number of steps of a training. The search first looks for the edges at this budget.
    steps: Steps = 3000
    #: The largest budget. Where an edge moves, or trainings have not begun to learn, the search
    #: doubles its budget up to this number and trains on; none keeps the budget as it is.
    max_steps: Steps | None = None
    #: Whether the search goes on, once the edges from scratch are known, with trainings that start
    #: inside the band, to see how far it is held.
    held: bool = False

    @model_validator(mode="after")
    def _refuse_what_cannot_be(self) -> "Search":
        if not self.low < self.high:
            raise ValueError(
                f"the search goes from {self.low:g} to {self.high:g}; allowed: low < high"
            )
        if self.cells > MOST_CELLS:
            raise ValueError(
                f"{self.low:g} to {self.high:g} in steps of a factor {self.factor} are "
                f"{self.cells} cells; allowed: at most {MOST_CELLS}"
            )
        if self.max_steps is not None and self.max_steps < self.steps:
            raise ValueError(
                f"max_steps is {self.max_steps}; allowed: at least steps, which is {self.steps}"
            )
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError(f"the seeds are {self.seeds}; allowed: each seed once")
        return self

    @property
    def cells(self) -> int:
        """The number of cells of width `factor` that cover the axis."""
        return math.ceil((math.log(self.high) - math.log(self.low)) / math.log(self.factor) - 1e-9)

    @property
    def budgets(self) -> Iterator[int]:
        """The numbers of steps at which edges are searched, doubled from the first to the last."""
        budget = self.steps
        while budget < self.last_budget:
            yield budget
            budget *= 2
        yield self.last_budget

    @property
    def last_budget(self) -> int:
        """The largest budget."""
        return self.max_steps or self.steps

    def is_fine(self, low: float, high: float) -> bool:
        """Whether two weights differ by at most `factor`."""
        return high / low <= self.factor * (1 + 1e-9)  # the ratios of the grid itself are rounded

    def check(self, weights: Iterable[float]) -> None:
        """Refuse weights that are not on the axis.

        Raises:
            InvalidInput: a weight lies outside the search.
        """
        for weight in weights:
            if not self.low <= weight <= self.high:
                raise InvalidInput(
                    f"a weight is {weight}; allowed: {self.low:g} to {self.high:g}, the search"
                )


#: Observations in any order; the seeds of a weight, and the ends of a training that went on, are
#: several observations.
History = Sequence[Observation]
#: Trainings without an outcome, in any order.
InFlight = Sequence[Action]


def by_start(trainings: Sequence[T]) -> tuple[list[T], list[T]]:
    """The trainings from scratch, and those that go on from the end of another."""
    scratch = [each for each in trainings if each.warm_start is None]
    return scratch, [each for each in trainings if each.warm_start is not None]


def canonical(history: History) -> list[Observation]:
    """The observations in an order that does not depend on when they came."""
    return sorted(history, key=lambda seen: (seen.weight, seen.seed, seen.steps, repr(seen)))
