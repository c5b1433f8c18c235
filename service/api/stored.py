"""Reads the stored fields of an answer; a field that this version cannot read becomes None."""

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from polar.spec.axis import Value
from service.storage.forms import Unreadable
from service.storage.points import readable

R = TypeVar("R", bound=BaseModel)


class Reader:
    """Reads the fields of one answer, and remembers the names of those that it cannot read."""

    def __init__(self) -> None:
        self.of_earlier_version: list[str] = []

    def read(self, name: str, kind: type[R], stored: Mapping[str, Any] | None) -> R | None:
        """The field of this name; None if nothing is stored or this version cannot read it."""
        try:
            return None if stored is None else kind.model_validate(stored)
        except ValidationError:
            self.of_earlier_version.append(name)
            return None

    def point(self, stored: object) -> dict[str, Value]:
        """The point of a trial; empty where it cannot be read."""
        point = readable(stored)
        if point is None:
            self.of_earlier_version.append("point")
            return {}
        return point

    def readable(self, name: str, stored: R | Unreadable | None) -> R | None:
        """The field of this name, which storage has read already; None as in `read`."""
        if isinstance(stored, Unreadable):
            self.of_earlier_version.append(name)
            return None
        return stored
