"""Pages that fetch themselves anew while what they show changes.

A page is made once for all who look at it, and says what this took, so that the script of a page
asks the less often, the longer it takes to make.
"""

import time
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Annotated
from uuid import UUID

from fastapi import Depends, Header, Response
from sqlalchemy.ext.asyncio import AsyncSession

from service.api.dependencies import Parts, Reading, Service
from service.api.pages.filtering import Filter
from service.api.pages.lists import standing_of_list
from service.api.studies.events import standing_of as standing_of_study
from service.storage.pages import standing_of_experiment, standing_of_run

Make = Callable[[AsyncSession], Awaitable[Response]]


async def standing_of(parts: Parts, kind: str, id: UUID) -> Hashable:
    """A digest of what the page of a study, an experiment or a run shows.

    Raises:
        DatabaseAway: the database does not answer.
    """
    if kind == "studies":
        return await standing_of_study(parts, id)
    if kind == "runs":
        return await parts.reads.of(id, lambda session: standing_of_run(session, id))
    return await parts.reads.of(id, lambda session: standing_of_experiment(session, id))


@dataclass(frozen=True)
class Refreshing:
    """How the page is made that a request asks for."""

    parts: Parts
    session: AsyncSession
    #: Whether an open page fetches itself anew; somebody who opens a page gets one of this moment.
    is_refresh: bool

    async def page(self, kind: str, id: UUID, make: Make) -> Response:
        """The page that this makes, or that others got who looked at the same standing."""
        return await self._page((kind, id), lambda: standing_of(self.parts, kind, id), make)

    async def page_of_list(
        self, kind: str, position: tuple[datetime, UUID] | None, filter: Filter, make: Make
    ) -> Response:
        """A page of a list, as `page` answers; pages after the first stay as they are."""
        if position is not None:
            return await make(self.session)
        look = partial(standing_of_list, self.parts, kind, filter)
        return await self._page((kind, filter.query), look, make)

    async def _page(
        self, which: tuple[str, Hashable], look: Callable[[], Awaitable[Hashable]], make: Make
    ) -> Response:
        if not self.is_refresh:
            return await make(self.session)
        await self.session.commit()  # which gives its connection to whoever makes the page
        standing = await look()
        shared = await self.parts.reads.of(
            (*which, standing), lambda session: _timed(session, make)
        )
        # each a copy, because what compresses an answer changes its headers
        return Response(shared.body, shared.status_code, dict(shared.headers))


async def _timed(session: AsyncSession, make: Make) -> Response:
    """The page, and in a header what this process took meanwhile, also for other requests."""
    begin = time.process_time()
    page = await make(session)
    page.headers["Server-Timing"] = f"page;dur={1e3 * (time.process_time() - begin):.1f}"
    return page


async def _refreshing(
    service: Service,
    session: Reading,
    polar_refresh: Annotated[str | None, Header(include_in_schema=False)] = None,
) -> Refreshing:
    return Refreshing(service, session, polar_refresh is not None)


Refresh = Annotated[Refreshing, Depends(_refreshing)]
