"""Server-sent events about a study, for each of its watchers."""

import asyncio
import logging
from collections.abc import AsyncIterator
from uuid import UUID

from fastapi.sse import ServerSentEvent
from sqlalchemy.ext.asyncio import AsyncSession

from service.api.dependencies import Parts
from service.api.studies import answers
from service.storage import studies
from service.storage.errors import DatabaseAway, NotFound
from service.storage.pages import StudyStanding, standing_of_study

log = logging.getLogger(__name__)

#: Seconds between two looks at a study; no database connection is held in between.
POLL_S = 1.0


async def standing_of(parts: Parts, study_id: UUID) -> StudyStanding:
    """The standing of a study, by a look that its pages and its streams of events share.

    Raises:
        DatabaseAway: the database does not answer.
    """
    return await parts.reads.of(study_id, lambda session: standing_of_study(session, study_id))


async def follow(parts: Parts, study_id: UUID) -> AsyncIterator[ServerSentEvent]:
    """The study as `GET /studies/{id}` shows it, now and after every change, until it has ended.

    Args:
        parts: The objects of the app.
        study_id: Id of a study that exists; the events end if it is deleted meanwhile.
    """

    async def shown(session: AsyncSession) -> tuple[str, bool]:
        study = await studies.get(session, study_id)
        view = await answers.study_view(session, parts.settings, study)
        return view.model_dump_json(), view.finished_at is not None

    seen: StudyStanding | None = None
    while True:
        try:
            now = await standing_of(parts, study_id)
            # what the runs of its trials do is not shown
            if seen is None or (now.itself, now.trials) != (seen.itself, seen.trials):
                view, has_ended = await parts.reads.of((study_id, now.itself, now.trials), shown)
                seen = now
                yield ServerSentEvent(event="study", raw_data=view)
                if has_ended:
                    return
        except DatabaseAway as error:
            log.warning("the events continue when the database is back: %s", error)
        except NotFound:
            return
        await asyncio.sleep(POLL_S)
