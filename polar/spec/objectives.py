"""What a study looks for: the measures of a latent space, objectives and constraints."""

import math
from collections.abc import Iterator, Sequence
from typing import Annotated, Literal, Self, TypeAlias

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from polar.spec.faults import pointer_to
from polar.spec.fields import INTEGRAL, MOST_REAL, SpecPart
from polar.spec.misfit import misfit
from polar.spec.models import ModelSpec

Measure: TypeAlias = Literal[
    "clean_polarisation", "polarisation", "explained", "reconstruction", "n_active", "kl"
]
Target: TypeAlias = Annotated[int, Field(strict=True, ge=0, le=1024), INTEGRAL]
#: Limit of a constraint, so small that its difference from any measure is finite.
Limit: TypeAlias = Annotated[float, Field(strict=True, ge=-MOST_REAL, le=MOST_REAL)]


class Objective(SpecPart):
    """How a trial is judged: by a measure of its final latent space, aggregated over its seeds."""

    measure: Measure = "clean_polarisation"
    #: The number of active latents to approach; without a target, more active latents are better.
    target: Target | None = None

    @property
    def direction(self) -> Literal["maximize", "minimize"]:
        """The direction in which the objective improves, in Optuna's words."""
        is_loss = self.measure in ("reconstruction", "kl") or self.target is not None
        return "minimize" if is_loss else "maximize"

    @model_validator(mode="after")
    def _only_a_number_has_a_target(self) -> Self:
        if self.target is not None and self.measure != "n_active":
            raise ValueError(f"a target belongs to n_active, not to {self.measure}")
        return self


class Bound(SpecPart):
    """A constraint: which values of a measure a trial must have to count."""

    measure: Measure
    at_least: Limit | None = None
    at_most: Limit | None = None

    @model_validator(mode="after")
    def _bounds_something(self) -> Self:
        low = -math.inf if self.at_least is None else self.at_least
        high = math.inf if self.at_most is None else self.at_most
        if self.at_least is None and self.at_most is None:
            raise ValueError("a constraint needs at_least, at_most, or both")
        if low > high:
            raise ValueError(f"nothing is at least {low:g} and at most {high:g}")
        return self

    def violations(self, mean: float) -> dict[str, float]:
        """How far a mean of the measure misses each limit, by the limit's words.

        Args:
            mean: Mean of the measure over the seeds of a trial, in the measure's unit.

        Returns:
            One number for each limit, in the measure's unit; at most 0 where the limit is kept.
        """
        missed = {}
        if self.at_least is not None:
            missed[f"{self.measure} at least {self.at_least:g}"] = self.at_least - mean
        if self.at_most is not None:
            missed[f"{self.measure} at most {self.at_most:g}"] = mean - self.at_most
        return missed

    def is_kept(self, mean: float) -> bool:
        """Whether a mean of the measure keeps all limits; the limits themselves are allowed."""
        return all(missed <= 0 for missed in self.violations(mean).values())


def measures_that_cannot_be(
    objectives: Sequence[Objective], constraints: Sequence[Bound], model: ModelSpec
) -> Iterator[PydanticCustomError]:
    """The faults of a study that asks for what its model has not, or for the same thing twice."""
    asked = [("objectives", place, each.measure) for place, each in enumerate(objectives)]
    asked += [("constraints", place, each.measure) for place, each in enumerate(constraints)]
    for part, place, measure in asked:
        if measure == "kl" and not model.is_variational:
            message = f"a {model.name} is deterministic and has no KL divergence"
            pointer = pointer_to((part, place))
            yield misfit("impossible", message, pointer, measure, "a measure of its latents")
    measures = [objective.measure for objective in objectives]
    for place, measure in enumerate(measures):
        pointer = pointer_to(("objectives", place))
        if measure in measures[:place]:
            yield misfit("twice", "an objective is listed twice", pointer, measure, "each once")
