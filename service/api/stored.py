"""Reads the stored parts of an answer; one that this version cannot read becomes None."""

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from service.storage.forms import Unreadable

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

    def readable(self, name: str, stored: R | Unreadable | None) -> R | None:
        """The part of this name, from a column that gives records."""
        if isinstance(stored, Unreadable):
            self.of_earlier_version.append(name)
            return None
        return stored
