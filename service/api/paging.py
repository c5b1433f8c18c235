"""Pages of lists: a token names the last row of a page, so new rows do not shift the next page."""

import base64
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Protocol, TypeVar
from uuid import UUID

from fastapi import Depends, Query

from polar.spec.faults import Fault
from service.api.problems import Refused, refusal_of
from service.storage.problems import Place


class Listed(Protocol):
    """A row of a list."""

    @property
    def created_at(self) -> datetime: ...
    @property
    def id(self) -> UUID: ...


L = TypeVar("L", bound=Listed)


def token_of(row: Listed) -> str:
    return _token(row.created_at.isoformat(), row.id)


def cut(rows: Sequence[L], page_size: int) -> tuple[Sequence[L], str | None]:
    """The rows of a page, and the token of the next, which exists if there are more rows."""
    page = rows[:page_size]
    return page, token_of(page[-1]) if len(rows) > page_size else None


def position_of(page_token: str | None = None) -> tuple[datetime, UUID] | None:
    if page_token is None:
        return None
    try:
        created_at, id = _parts(page_token)
        return datetime.fromisoformat(created_at), UUID(id)
    except ValueError:
        raise _no_token(page_token) from None


def token_of_place(place: Place) -> str:
    """Token of the page that follows the model at this place among those of its problem."""
    return _token(*place)


def place_of(page_token: str | None = None) -> Place | None:
    if page_token is None:
        return None
    try:
        weight, seed, steps, run_id = _parts(page_token)
        return float(weight), int(seed), int(steps), run_id
    except ValueError:
        raise _no_token(page_token) from None


def _token(*parts: object) -> str:
    return base64.urlsafe_b64encode(" ".join(map(str, parts)).encode()).decode()


def _parts(page_token: str) -> list[str]:
    """The parts of a token.

    Raises:
        ValueError: it is not made like a token.
    """
    return base64.urlsafe_b64decode(page_token).decode().split()


def _no_token(page_token: str) -> Refused:
    fault = Fault(
        pointer="/query/page_token",
        message="this is not the token of a page",
        type="page_token",
        value=repr(page_token[:80]),
        allowed="the next_page_token of an answer",
        suggestion=None,
    )
    return refusal_of(fault)


Position = Annotated[tuple[datetime, UUID] | None, Depends(position_of)]
ModelPlace = Annotated[Place | None, Depends(place_of)]
PageSize = Annotated[int, Query(ge=1, le=200)]
