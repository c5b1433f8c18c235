"""Fixtures of all rooms: one real Postgres for the session, one fresh database for each test."""

import asyncio
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from pydantic import SecretStr

from polar.spec import ExperimentSpec
from service import queue
from service.embedded.postgres import Postgres
from service.settings import Settings
from service.storage import experiments, runs, tracking
from service.storage.database import Database
from service.storage.tables import Metric, Run


def pytest_configure() -> None:
    for name in [name for name in os.environ if name.startswith("POLAR_")]:
        if name != "POLAR_DATA_DIR":
            del os.environ[name]


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A server for the whole session; tests take `database_url`."""
    home = Path(tempfile.mkdtemp(prefix="polar-"))
    home.chmod(0o755)  # as root, Postgres runs as another user, who must get in
    with Postgres(home) as server:
        yield server
    shutil.rmtree((home / "postgres").resolve())
    shutil.rmtree(home)


@pytest.fixture(scope="session")
def migrated_template(postgres: Postgres) -> str:
    """The name of a database that has been migrated and that nobody is connected to."""
    with psycopg.connect(postgres.url("postgres"), autocommit=True) as admin:
        admin.execute("CREATE DATABASE migrated")
    subprocess.run(
        [sys.executable, "-m", "service.storage.migrate"],
        env=os.environ | {"POLAR_DATABASE_URL": postgres.url("migrated")},
        check=True,
        timeout=120,
    )
    return "migrated"


@pytest.fixture
def database_url(postgres: Postgres, migrated_template: str) -> Iterator[str]:
    """A database of this test's own, migrated and empty."""
    name = f"test_{uuid.uuid4().hex}"
    with psycopg.connect(postgres.url("postgres"), autocommit=True) as admin:
        admin.execute(f'CREATE DATABASE "{name}" TEMPLATE {migrated_template}')
        yield postgres.url(name)
        admin.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


class Stage:
    """A database, a folder, and agents on them: real processes, which are always ended."""

    def __init__(self, database_url: str, folder: Path) -> None:
        self.folder = folder
        self.settings = Settings(
            database_url=SecretStr(database_url),
            artifacts=folder / "artifacts",
            mlflow_url="",
            lease_s=3,
            renew_s=0.5,
            rescue_s=0.5,
            heartbeat_s=0.5,
            heartbeat_over_s=2,
            grace_s=5,
        )
        self.database = Database(self.settings.sqlalchemy_url)
        self.app = queue.queue_app(self.settings)
        #: What an agent runs; tests of the agent alone give it another child.
        self.program = ["-m", "workers"]
        self.environment: dict[str, str] = {}
        self.agents: list[subprocess.Popen[bytes]] = []

    def start_agent(self) -> subprocess.Popen[bytes]:
        settings = self.settings.model_dump(mode="json", exclude={"database_url"})
        environment = {f"POLAR_{name}".upper(): str(value) for name, value in settings.items()}
        environment["POLAR_DATABASE_URL"] = self.settings.database_url.get_secret_value()
        with self._log(len(self.agents)).open("wb") as log:
            agent = subprocess.Popen(
                [sys.executable, *self.program, "--device", "cpu"],
                env=os.environ | environment | self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self.agents.append(agent)
        return agent

    def log_of(self, agent: subprocess.Popen[bytes]) -> str:
        return self._log(self.agents.index(agent)).read_text()

    def child_of(self, agent: subprocess.Popen[bytes]) -> int:
        """The process of the newest child of this agent."""
        return int(re.findall(r"started child (\d+)", self.log_of(agent))[-1])

    async def submit(self, spec: ExperimentSpec, digest: str = "any") -> uuid.UUID:
        """Queue a new run of this spec."""
        async with self.database.transaction() as session:
            submission = await experiments.create(session, spec, digest, force=True)
            await queue.enqueue(self.app, session, submission.new)
        return submission.runs[0].id

    async def run(
        self, run_id: uuid.UUID, is_so: Callable[[Run], bool], *, within_s: float = 30
    ) -> Run:
        """The run, as soon as it is so."""
        deadline = time.monotonic() + within_s
        while True:
            async with self.database.transaction() as session:
                run = await runs.get(session, run_id)
            if is_so(run):
                return run
            if time.monotonic() > deadline:
                logs = "\n".join(self.log_of(agent) for agent in self.agents)
                pytest.fail(f"run is {run.state} at {run.progress}, not as expected:\n{logs}")
            await asyncio.sleep(0.02)

    async def end_of(self, run_id: uuid.UUID) -> Run:
        return await self.run(run_id, lambda run: run.state.is_final)

    async def cancel(self, run_id: uuid.UUID) -> None:
        async with self.database.transaction() as session:
            run = await runs.request_cancel(session, run_id)
            await queue.cancel(self.app, session, run)

    async def metrics_of(self, run_id: uuid.UUID) -> dict[tuple[str, int], Metric]:
        """By key and step."""
        async with self.database.transaction() as session:
            found = await tracking.metrics_after(session, run_id, 0, limit=1_000_000)
        return {(metric.key, metric.step): metric for metric in found}

    async def history(self, run_id: uuid.UUID) -> list[tuple[int, str, str | None]]:
        """Attempt, state and reason of all changes of a run."""
        async with self.database.transaction() as session:
            changes = await runs.transitions_of(session, run_id)
        return [(change.attempt, str(change.state), change.reason) for change in changes]

    @staticmethod
    def is_gone(pid: int) -> bool:
        """Whether the process has ended, be it that nobody has asked for its exit code yet."""
        try:
            return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
        except FileNotFoundError:
            return True

    async def close(self) -> None:
        for agent in self.agents:
            agent.kill()  # its child dies with it
            agent.wait()
        await self.database.close()

    def _log(self, number: int) -> Path:
        return self.folder / f"agent-{number}.log"


@pytest.fixture
async def stage(database_url: str, tmp_path: Path) -> AsyncIterator[Stage]:
    """Agents on a database of this test's own."""
    stage = Stage(database_url, tmp_path)
    try:
        yield stage
    finally:
        await stage.close()
