"""A service without agents, MLflow and broker, so that nothing but what is measured is at work."""

import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
from procrastinate import App
from pydantic import SecretStr

from benchmarks.homes import temporary_home
from polar.spec import ExperimentSpec
from service import queue
from service.embedded.postgres import Postgres
from service.embedded.state import choose_port
from service.embedded.supervised import last_lines
from service.embedded.supervisor import prepare
from service.programs import Program, python
from service.settings import Settings
from service.storage import agents, experiments, runs
from service.storage.database import Database
from service.storage.roles import Role
from service.storage.states import RunState
from service.storage.tables import Run
from service.tokens import new_token

#: The digest of a dataset, at which nothing here looks.
DIGEST = "d" * 64
LEASE_S = 300.0
START_S = 60.0


@dataclass(frozen=True)
class BareService:
    """Its API, and what stands behind it."""

    #: A client of the API that knows no proxies.
    client: httpx.Client
    settings: Settings
    database: Database
    queue: App
    #: The process of the API.
    pid: int

    async def submit(self, seeds: Iterable[int], **fields: Any) -> list[UUID]:  # noqa: ANN401
        """Store and queue an experiment with new runs, as the API does; returns their ids."""
        spec = ExperimentSpec.model_validate(content(seeds, **fields))
        async with self.database.transaction() as session:
            made = await experiments.create(session, spec, DIGEST, force=True)
            await queue.enqueue(self.queue, session, made.new)
            return [run.id for run in made.new]

    async def claim(self, run_id: UUID) -> Run | None:
        """Begin an attempt at a run, as an agent does."""
        async with self.database.transaction() as session:
            return await runs.claim(session, run_id, "benchmark", LEASE_S)

    async def finish(self, run: Run) -> None:
        """End a run at once, as an agent does that had no work with it."""
        async with self.database.transaction() as session:
            await runs.finish(session, run.id, run.attempt, RunState.SUCCEEDED)

    async def work_off(self, workers: int) -> None:
        """Claim and finish all queued runs, with so many workers of the queue in this process."""
        worker = queue.queue_app(self.settings)

        async def train(run_id: str) -> None:
            run = await self.claim(UUID(run_id))
            assert run
            await self.finish(run)

        worker.task(name=queue.TRAIN)(train)
        async with worker.open_async():
            await worker.run_worker_async(
                queues=["auto"], concurrency=workers, wait=False, install_signal_handlers=False
            )


def content(seeds: Iterable[int], **fields: Any) -> dict[str, Any]:  # noqa: ANN401
    """The smallest spec with these seeds, as JSON."""
    return {"dataset": {"name": "digits"}, "model": {}, "seeds": list(seeds), **fields}


@asynccontextmanager
async def bare_service() -> AsyncIterator[BareService]:
    """Postgres and the API, which are there as long as this is."""
    with _servers() as (settings, client, pid):
        database = Database(settings.sqlalchemy_url)
        await _announce(database, ("auto", "cpu"))
        yield BareService(client, settings, database, queue.queue_app(settings), pid)
        await database.close()


@contextmanager
def _servers() -> Iterator[tuple[Settings, httpx.Client, int]]:
    """Both in a home that is removed at the end."""
    with temporary_home() as home, Postgres(home) as postgres:
        prepare(postgres)
        settings = Settings(
            database_url=SecretStr(postgres.url("app", Role.APP)),
            artifacts=home,
            mlflow_url="http://127.0.0.1:9",  # nobody asks it
            home=home,
            api_port=choose_port(),
            token=SecretStr(new_token()),
        )
        with _api(settings) as (client, pid):
            yield settings, client, pid


@contextmanager
def _api(settings: Settings) -> Iterator[tuple[httpx.Client, int]]:
    assert settings.token
    token = settings.token.get_secret_value()
    environment = os.environ | {
        "POLAR_DATABASE_URL": settings.database_url.get_secret_value(),
        "POLAR_ARTIFACTS": str(settings.artifacts),
        "POLAR_MLFLOW_URL": settings.mlflow_url,
        "POLAR_API_PORT": f"{settings.api_port}",
        "POLAR_HOME": str(settings.home),
        "POLAR_TOKEN": token,
    }
    headers = {"Authorization": f"Bearer {token}"}
    log = settings.home / "api.log"
    with log.open("wb") as errors:
        api = subprocess.Popen(python(Program.API), env=environment, stderr=errors)
    address = f"http://127.0.0.1:{settings.api_port}/api/v1"
    try:
        with httpx.Client(base_url=address, headers=headers, trust_env=False) as client:
            _wait_for(client, log)
            yield client, api.pid
    finally:
        api.terminate()
        api.wait()


async def _announce(database: Database, queues: Sequence[str]) -> None:
    """Offer the dataset, as an agent would: without an offer the API refuses specs."""
    async with database.transaction() as session:
        await agents.announce(
            session,
            name="benchmark",
            host="here",
            pid=os.getpid(),
            device="cpu",
            queues=queues,
            datasets={"digits": DIGEST},
        )


def _wait_for(client: httpx.Client, log: Path) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        try:
            if client.get("/experiments").is_success:  # it is not "ready" without an agent
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    sys.exit(f"the API does not answer within {START_S:.0f} s: {last_lines(log)}")
