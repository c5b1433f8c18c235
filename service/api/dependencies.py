"""What routes are given: the service's parts, a transaction, checked headers."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from dataclasses import dataclass
from typing import Annotated, TypeVar

from fastapi import Depends, Header, Request
from procrastinate import App
from sqlalchemy.ext.asyncio import AsyncSession

from service.api.measuring import Measuring
from service.api.problems import Refused
from service.api.short_processes import ShortProcesses
from service.settings import Settings
from service.storage.database import Database

T = TypeVar("T")


@dataclass(frozen=True)
class Parts:
    """What lives as long as the app."""

    settings: Settings
    database: Database
    queue: App
    measuring: Measuring
    drawing: ShortProcesses


def parts_of_app(request: Request) -> Parts:
    return request.app.state.parts


Service = Annotated[Parts, Depends(parts_of_app)]


async def open_session(service: Service) -> AsyncIterator[AsyncSession]:
    async with service.database.transaction() as session:
        yield session


#: One transaction for one request. The scope matters: without it, the commit comes after the
#: answer, and a commit that fails leaves the client with its 202.
Session = Annotated[AsyncSession, Depends(open_session, scope="function")]


IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=255,
        pattern="^[!-~]+$",
        description="Makes it safe to repeat the request: it is carried out once for each key.",
    ),
]


def only_json(content_type: Annotated[str, Header(include_in_schema=False)] = "") -> None:
    """Refuse what is not called JSON; browsers send nothing else across sites unasked."""
    _only("application/json", content_type)


def only_forms(content_type: Annotated[str, Header(include_in_schema=False)] = "") -> None:
    """Refuse what is not called a form with files."""
    _only("multipart/form-data", content_type)


def only_own_pages(request: Request) -> None:
    """Refuse what a page of another site sends: browsers send forms across sites unasked."""
    origin = request.headers.get("origin")  # which every browser names, and no other client
    if origin is not None and origin.partition("://")[2] != request.headers.get("host"):
        detail = f"the form comes from a page of {origin!r}; allowed: pages of this service"
        raise Refused(403, "cross-site", detail)


async def unless_gone(request: Request, work: Coroutine[None, None, T]) -> T:
    """The result of some work, which is given up as soon as nobody waits for it any more.

    Raises:
        Refused: the client has gone; nobody sees this answer.
    """
    working, gone = asyncio.ensure_future(work), asyncio.ensure_future(_until_gone(request))
    try:
        await asyncio.wait((working, gone), return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise Refused(499, "client-gone", "the client went away before its answer")
        return working.result()
    finally:
        working.cancel()
        gone.cancel()
        await asyncio.gather(working, gone, return_exceptions=True)


async def _until_gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _only(allowed: str, content_type: str) -> None:
    kind = content_type.partition(";")[0].strip().lower()
    if kind != allowed:
        detail = f"the body is {kind or 'of no type'}; allowed: {allowed}"
        raise Refused(415, "unsupported-media-type", detail)
