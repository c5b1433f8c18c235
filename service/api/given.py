"""What routes are given: the service's parts, a transaction, checked headers."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Header, Request
from procrastinate import App
from sqlalchemy.ext.asyncio import AsyncSession

from service.api.problems import Refused
from service.settings import Settings
from service.storage.database import Database


@dataclass(frozen=True)
class Parts:
    """What lives as long as the app."""

    settings: Settings
    database: Database
    queue: App


def parts_of_app(request: Request) -> Parts:
    return request.app.state.parts


Service = Annotated[Parts, Depends(parts_of_app)]


async def open_session(service: Service) -> AsyncIterator[AsyncSession]:
    async with service.database.transaction() as session:
        yield session


#: One transaction for one request. The scope matters: without it, the commit comes after the
#: answer, and a commit that fails leaves the client with its 202.
Session = Annotated[AsyncSession, Depends(open_session, scope="function")]


def only_json(content_type: Annotated[str, Header(include_in_schema=False)] = "") -> None:
    """Refuse what is not called JSON; browsers send nothing else across sites unasked."""
    kind = content_type.partition(";")[0].strip().lower()
    if kind != "application/json":
        detail = f"the body is {kind or 'of no type'}; allowed: application/json"
        raise Refused(415, "unsupported-media-type", detail)
