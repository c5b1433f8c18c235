"""What a study looks for: the measures of a latent space, objectives and constraints."""

import math
from typing import Annotated, Literal, Self, TypeAlias

from pydantic import Field, model_validator

from polar.spec.fields import INTEGRAL, MOST_REAL, SpecPart

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
