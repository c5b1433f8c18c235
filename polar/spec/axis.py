"""The values that a study may give to one field."""

from typing import Annotated, Any, ClassVar, Self, TypeAlias

from pydantic import (
    Field,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from polar.spec.fields import INTEGRAL, MOST_INTEGER, MOST_REAL, SpecPart

#: One value of a field, as it stands in the point of a trial.
Value: TypeAlias = bool | int | float | str
#: Float32 loses precision below 1.2e-38.
LEAST_LOG = 1e-37


def _one_value(given: Any, handler: ValidatorFunctionWrapHandler) -> Any:  # noqa: ANN401
    """Words one fault, where the union would list why the value is none of its members."""
    try:
        value = handler(given)
    except ValidationError:
        raise PydanticCustomError("value_type", "this is no value that a field can have") from None
    if isinstance(value, int | float) and not abs(value) <= MOST_REAL:
        raise PydanticCustomError("value_too_large", "this is larger than any field allows")
    return value


_OneValue = Annotated[Value, WrapValidator(_one_value)]
_Real = Annotated[float, Field(strict=True, ge=-MOST_REAL, le=MOST_REAL)]
_Integer = Annotated[int, Field(strict=True, ge=-MOST_INTEGER, le=MOST_INTEGER), INTEGRAL]
_Points = Annotated[int, Field(strict=True, ge=2, le=1000), INTEGRAL]


class Axis(SpecPart):
    """The values of one field: exactly one of the first five."""

    #: Real numbers between two ends, evenly on a logarithmic scale.
    log_uniform: tuple[_Real, _Real] | None = None
    #: Real numbers between two ends.
    uniform: tuple[_Real, _Real] | None = None
    #: Integers from the first to the last.
    integer: tuple[_Integer, _Integer] | None = None
    #: Any values, numbers or names.
    choices: tuple[_OneValue, ...] | None = Field(None, min_length=1, max_length=1000)
    #: One value, for all trials.
    fixed: _OneValue | None = None
    #: How many points of a uniform or log-uniform axis a grid takes, ends included.
    points: _Points | None = None

    kinds: ClassVar[tuple[str, ...]] = ("log_uniform", "uniform", "integer", "choices", "fixed")

    @model_validator(mode="after")
    def _refuse_other_than_one_kind(self) -> Self:
        given = [kind for kind in self.kinds if getattr(self, kind) is not None]
        if len(given) != 1:
            raise ValueError(
                f"an axis has one of {', '.join(self.kinds)}; here: {', '.join(given) or 'none'}"
            )
        if self.points is not None and not self.is_continuous:
            raise ValueError("points are of a uniform or log_uniform axis; others have their own")
        return self

    @field_validator("log_uniform", "uniform", "integer")
    @classmethod
    def _ends_ascend(cls, ends: tuple[float, float] | None) -> tuple[float, float] | None:
        if ends is not None and not ends[0] < ends[1]:
            raise ValueError(f"{ends[0]} to {ends[1]}: the first end must be below the second")
        return ends

    @field_validator("log_uniform")
    @classmethod
    def _a_logarithm_starts_above_0(
        cls, ends: tuple[float, float] | None
    ) -> tuple[float, float] | None:
        if ends is not None and ends[0] < LEAST_LOG:
            message = f"a logarithmic range cannot include {ends[0]}; it starts at {LEAST_LOG:g}"
            raise ValueError(f"{message} or above")
        return ends

    @field_validator("choices")
    @classmethod
    def _choices_are_distinct(cls, values: tuple[Value, ...] | None) -> tuple[Value, ...] | None:
        if values is not None and len(set(values)) < len(values):
            raise ValueError("a choice is listed twice; list each once")
        return values

    @property
    def is_continuous(self) -> bool:
        """Whether its values are real numbers between two ends."""
        return self.log_uniform is not None or self.uniform is not None

    @property
    def ends(self) -> tuple[Value, ...]:
        """Both ends of a range, which stand for all values in between, or every choice."""
        return self.log_uniform or self.uniform or self.integer or self._listed

    @property
    def _listed(self) -> tuple[Value, ...]:
        return self.choices or (() if self.fixed is None else (self.fixed,))

    @property
    def size(self) -> int | None:
        """How many values a grid has on it; None for a continuous axis without `points`."""
        if self.is_continuous:
            return self.points
        return self.integer[1] - self.integer[0] + 1 if self.integer else len(self._listed)

    @property
    def grid(self) -> tuple[Value, ...]:
        """Its values on a grid, ascending, or in the order of the choices."""
        if self.integer is not None:
            return tuple(range(self.integer[0], self.integer[1] + 1))
        if not self.is_continuous:
            return self._listed
        steps = (self.points or 2) - 1
        if self.log_uniform is not None:
            low, high = self.log_uniform
            inner = [low * (high / low) ** (step / steps) for step in range(1, steps)]
        else:
            assert self.uniform is not None
            low, high = self.uniform
            inner = [low + (high - low) * step / steps for step in range(1, steps)]
        return (low, *inner, high)
