"""The search for a band: where to look, how finely, and how far to trust a verdict."""

import math
from collections.abc import Iterable, Sequence
from typing import Annotated

from pydantic import Field, model_validator

from polar.errors import InvalidInput
from polar.records.ranges import Observation, Positive
from polar.records.record import Record

#: Most cells of an axis: the memory of the belief grows with their square, to 8 MB.
MOST_CELLS = 1000


class Search(Record):
    """Where to look for the band, how finely, and how far to trust a verdict."""

    #: Ends of the log axis, both included.
    low: Positive
    high: Positive
    #: An edge is known when it lies between two weights that differ by at most this factor.
    factor: Annotated[float, Field(ge=1.001, le=10)] = 1.1
    #: Chance that a training's verdict differs from the weight's true verdict. At 0 trainings
    #: repeat exactly and no weight is proposed twice; above 0 weights are measured again, with
    #: other seeds.
    flip_rate: Annotated[float, Field(ge=0, le=0.5)] = 0.0

    @model_validator(mode="after")
    def _refuse_empty_or_too_fine(self) -> "Search":
        if not self.low < self.high:
            raise ValueError(
                f"the search goes from {self.low:g} to {self.high:g}; allowed: low < high"
            )
        if self.cells > MOST_CELLS:
            raise ValueError(
                f"{self.low:g} to {self.high:g} in steps of a factor {self.factor} are "
                f"{self.cells} cells; allowed: at most {MOST_CELLS}"
            )
        return self

    @property
    def cells(self) -> int:
        """The number of cells of width `factor` that cover the axis."""
        return math.ceil(math.log(self.high / self.low) / math.log(self.factor) - 1e-9)

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


#: Observations in any order; several seeds at the same weight are several observations.
History = Sequence[Observation]


def canonical(history: History) -> list[Observation]:
    """The observations in an order that does not depend on when they came."""
    return sorted(history, key=lambda observation: (observation.weight, repr(observation)))
