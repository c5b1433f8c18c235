"""/healthz and /readyz: whether the process is up, and whether runs would be carried out."""

from fastapi import APIRouter

from migrations.newest import newest_revision
from service.api.dependencies import Service
from service.api.health.schemas import Health
from service.api.problems import Refused, refusals
from service.storage import agents
from service.storage.database import Database
from service.storage.errors import DatabaseAway
from service.storage.revisions import revision_of

router = APIRouter(tags=["health"])


@router.get("/healthz")
async def healthz(service: Service) -> Health:
    """Answer as soon as the process is up."""
    return Health(status="ok", home_id=service.settings.home_id)


@router.get("/readyz", responses=refusals(503))
async def readyz(service: Service) -> Health:
    """Check that the database answers and is migrated, and that at least one agent is present."""
    obstacles = await _obstacles(service.database)
    if obstacles:
        raise Refused(503, "not-ready", "; ".join(obstacles))
    return Health(status="ready", home_id=service.settings.home_id)


async def _obstacles(database: Database) -> list[str]:
    newest = newest_revision()
    try:
        async with database.transaction() as session:
            revision = await revision_of(session)
            if revision != newest:
                return [f"the database is at migration {revision}, this service needs {newest}"]
            if not await agents.seen_lately(session, agents.AGENT_LASTS):
                return [f"no agent was seen within {agents.AGENT_LASTS.seconds} s; start one"]
    except DatabaseAway as error:
        return [str(error)]
    return []
