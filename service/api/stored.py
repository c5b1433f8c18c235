"""Reads the stored parts of an answer; one that this version cannot read becomes None."""

from collections.abc import Mapping
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

R = TypeVar("R", bound=BaseModel)


class _Shape(BaseModel):
    """The fields that the API itself looks at; all others are sent as they are stored."""

    model_config = ConfigDict(extra="allow", strict=True)


class _NoRange(_Shape):
    outcome: Literal["not_one_field"]
    seeds: list[int]
    steps: int
    remarks: list[str] = Field(min_length=1)


class _Edge(_Shape):
    low: float | None
    high: float | None
    confidence: float


class _Interval(_Shape):
    left: _Edge
    right: _Edge


class RangeShape(_Shape):
    outcome: Literal["no_band", "open", "coarse", "found"]
    seeds: list[int]
    steps: int
    remarks: list[str]
    intervals: list[_Interval]
    envelope: _Interval | None
    converged: bool | None
    disagreeing: list[float]
    weights: int
    trainings: int


_RANGE: TypeAdapter[_NoRange | RangeShape] = TypeAdapter(_NoRange | RangeShape)


class Reader:
    """Reads the parts of one answer, and remembers the names of those that it cannot read."""

    def __init__(self) -> None:
        self.of_earlier_version: list[str] = []

    def read(self, name: str, kind: type[R], stored: Mapping[str, Any] | None) -> R | None:
        """The part of this name; none where nothing is stored, or nothing that can be read."""
        try:
            return None if stored is None else kind.model_validate(stored)
        except ValidationError:
            self.of_earlier_version.append(name)
            return None

    def range(self, stored: dict[str, Any] | None) -> dict[str, Any] | None:
        """The range of a study as it is stored."""
        try:
            if stored is not None:
                _RANGE.validate_python(stored)
        except ValidationError:
            self.of_earlier_version.append("range")
            return None
        return stored
