"""What routes depend on: the objects of the app, a transaction, checked headers."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from dataclasses import dataclass
from typing import Annotated, TypeVar

from fastapi import Depends, Header, Request
from procrastinate import App
from prometheus_client import CollectorRegistry
from sqlalchemy.ext.asyncio import AsyncSession

from polar.spec.own_images import known_images
from polar.spec.own_models import known_code
from service.api.measuring import Measuring
from service.api.problems import Refused, client_gone
from service.api.shared_looks import SharedLooks
from service.api.shared_reads import SharedReads
from service.settings import Settings
from service.short_processes import ShortProcesses
from service.storage import agents
from service.storage.database import Database

T = TypeVar("T")


@dataclass(frozen=True)
class Parts:
    """The objects that live as long as the app."""

    settings: Settings
    database: Database
    queue: App
    measuring: Measuring
    drawing: ShortProcesses
    looks: SharedLooks
    reads: SharedReads
    #: What this process measures of itself, for Prometheus.
    metrics: CollectorRegistry


def parts_of_app(request: Request) -> Parts:
    return request.app.state.parts


Service = Annotated[Parts, Depends(parts_of_app)]


async def open_session(service: Service) -> AsyncIterator[AsyncSession]:
    async with service.database.transaction() as session:
        yield session


#: One transaction for each request. The scope matters: without it the answer would be sent before
#: the commit, and a client would keep its 202 although the commit failed.
Session = Annotated[AsyncSession, Depends(open_session, scope="function")]


async def open_reading(service: Service) -> AsyncIterator[AsyncSession]:
    async with service.database.reading() as session:
        yield session


#: For requests that only read, a session that is quicker than a transaction.
Reading = Annotated[AsyncSession, Depends(open_reading, scope="function")]


async def know_what_agents_have(session: Session) -> None:
    """Let the spec of this request name images and models that are on the agents' machines."""
    await _know_what_agents_have(session)


async def know_for_a_page(session: Reading) -> None:
    """Let the draft on this page name the same."""
    await _know_what_agents_have(session)


async def _know_what_agents_have(session: AsyncSession) -> None:
    known = await agents.own_images(session)
    known_images.set(lambda: known)
    seen = await agents.seen_lately(session)

    def code_of(kind: str, device: str) -> str | None:
        able = (agent for agent in seen if device in agent.queues.split(","))
        codes = (agents.models_of(agent).code_of(kind) for agent in able)
        return next(filter(None, codes), None)

    known_code.set(code_of)


def only_json(content_type: Annotated[str, Header(include_in_schema=False)] = "") -> None:
    """Refuse a body that is not declared as JSON, which pages of other sites cannot send here."""
    _only("application/json", content_type)


#: What every route depends on that takes a spec.
TAKES_SPEC = (Depends(only_json), Depends(know_what_agents_have))


def only_forms(content_type: Annotated[str, Header(include_in_schema=False)] = "") -> None:
    """Refuse a body that is not declared as a form with files."""
    _only("multipart/form-data", content_type)


async def unless_gone(request: Request, work: Coroutine[None, None, T]) -> T:
    """Result of the work, which is cancelled as soon as the client goes away.

    Raises:
        Refused: the client has gone, so nobody will see this answer.
    """
    working, gone = asyncio.ensure_future(work), asyncio.ensure_future(_until_gone(request))
    try:
        await asyncio.wait((working, gone), return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise client_gone()
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
