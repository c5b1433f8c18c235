"""/healthz and /readyz: whether the process is up, and whether runs would be carried out."""

from fastapi import APIRouter

from migrations.newest import newest_revision
from service.api.dependencies import Service
from service.api.health.schemas import Health, Readiness
from service.api.problems import Refused, refusals
from service.storage import agents
from service.storage.database import Database
from service.storage.errors import DatabaseAway
from service.storage.revisions import revision_of

router = APIRouter(tags=["health"])


@router.get("/healthz")
async def healthz(service: Service) -> Health:
    """Answer as soon as the process is up."""
    home_id = service.settings.home_id
    return Health(status="ok", home_id=home_id, code_version=agents.code_version())


@router.get("/readyz", responses=refusals(503))
async def readyz(service: Service) -> Readiness:
    """Check that the database answers and is migrated, and that an agent is there and takes runs.

    Agents whose machine fails take none until it works again; `faults` names what fails.
    """
    try:
        faults = await _faults_of_agents(service.database)
    except DatabaseAway as error:
        raise Refused(503, "not-ready", str(error)) from error
    return Readiness(
        status="ready",
        home_id=service.settings.home_id,
        code_version=agents.code_version(),
        faults=faults,
    )


async def _faults_of_agents(database: Database) -> list[str]:
    """What keeps some agents from taking runs.

    Raises:
        Refused: no agent takes runs.
        DatabaseAway: the database does not answer.
    """
    newest = newest_revision()
    async with database.reading() as session:
        revision = await revision_of(session)
        if revision != newest:
            why = f"the database is at migration {revision}, this service needs {newest}"
            raise Refused(503, "not-ready", why)
        present = await agents.seen_lately(session, agents.AGENT_LASTS)
    if not present:
        why = f"no agent was seen within {agents.AGENT_LASTS.seconds} s; start one"
        raise Refused(503, "not-ready", why)
    faults = [f"{agent.name}: {agent.fault}" for agent in present if agent.fault]
    if len(faults) == len(present):
        why = "no agent takes runs until its machine works again: "
        raise Refused(503, "not-ready", why + "; ".join(faults))
    return faults
