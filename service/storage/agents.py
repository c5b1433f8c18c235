"""Agents: which workers are there to take runs, and which datasets they have."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from functools import cache
from importlib.metadata import PackageNotFoundError, version

from pydantic import ValidationError
from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from polar.spec import SCIENCE_VERSION
from polar.spec.own_images import AddedImages
from polar.spec.own_models import AllowedModels
from service.storage.tables import Agent

#: How long after it was last seen an agent's offer still counts, so that a restart does not make
#: the service refuse specs.
OFFER_LASTS = timedelta(hours=1)
#: How long an agent counts as alive after it was last seen: it reports every 15 s, and may miss
#: four reports in a row.
AGENT_LASTS = timedelta(seconds=60)


@cache
def code_version() -> str:
    """Which code this process runs: the versions of the package and of the science."""
    try:
        package = version("polar-latents")
    except PackageNotFoundError:
        package = "not installed"
    return f"{package}, science {SCIENCE_VERSION}"


async def announce(
    session: AsyncSession,
    *,
    name: str,
    host: str,
    pid: int,
    device: str,
    queues: Sequence[str],
    datasets: Mapping[str, str],
    own_images: Mapping[str, AddedImages] | None = None,
    models: AllowedModels | None = None,
    fault: str | None = None,
) -> None:
    """Record that an agent is alive, what it offers, and what keeps it from taking runs."""
    values = {
        "host": host,
        "pid": pid,
        "device": device,
        "queues": ",".join(queues),
        "datasets": dict(datasets),
        "own_images": {name: known.model_dump() for name, known in (own_images or {}).items()},
        "models": (models or AllowedModels()).model_dump(),
        "fault": fault,
        "code_version": code_version(),
    }
    await session.execute(
        insert(Agent)
        .values(name=name, **values)
        .on_conflict_do_update(index_elements=[Agent.name], set_={**values, "seen_at": func.now()})
    )


def able(present: Sequence[Agent], device: str) -> int:
    """How many of these agents take runs of a device."""
    return sum(device in agent.queues.split(",") for agent in present)


async def seen_lately(session: AsyncSession, within: timedelta = OFFER_LASTS) -> Sequence[Agent]:
    """The agents that were seen within this time, the most recently seen first."""
    return (
        await session.scalars(
            select(Agent)
            .where(Agent.seen_at > func.now() - within)
            .order_by(Agent.seen_at.desc(), Agent.name)
        )
    ).all()


async def of_queue(session: AsyncSession, queue: str) -> Sequence[Agent]:
    """The agents that take runs of a queue and were seen lately, the most recently seen first."""
    return [agent for agent in await seen_lately(session) if queue in agent.queues.split(",")]


async def datasets(session: AsyncSession, queue: str = "auto") -> dict[str, str]:
    """The digest of each dataset that agents of this queue have, by its name.

    Where agents differ on a digest, that of the most recently seen agent counts.
    """
    digests: dict[str, str] = {}
    for agent in await of_queue(session, queue):
        digests = {**agent.datasets, **digests}
    return digests


async def own_images(session: AsyncSession) -> dict[str, AddedImages]:
    """What is known of each dataset that a user has added to the machine of an agent.

    Where agents differ, the most recently seen agent counts.
    """
    known: dict[str, AddedImages] = {}
    for agent in await seen_lately(session):
        known = {**images_of(agent), **known}
    return known


def images_of(agent: Agent) -> dict[str, AddedImages]:
    """What an agent knows of added images, without those that another version describes."""
    known = {}
    for name, content in agent.own_images.items():
        with suppress(ValidationError):
            known[name] = AddedImages.model_validate(content)
    return known


def models_of(agent: Agent) -> AllowedModels:
    """The models of users that an agent allows; none of an agent of another version."""
    with suppress(ValidationError):
        return AllowedModels.model_validate(agent.models)
    return AllowedModels()
