"""Stored parts of an answer: what another version wrote and this one cannot read is none there."""

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

R = TypeVar("R", bound=BaseModel)


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
