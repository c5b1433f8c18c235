"""Real processes that tests start and always end: agents, and a server of MLflow."""

import asyncio
import os
import re
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr

from polar.spec import ExperimentSpec
from service import queue
from service.embedded.state import choose_port
from service.programs import TRACKING_SERVER
from service.settings import Settings
from service.storage import agents, experiments, findings, runs, tracking
from service.storage.database import Database
from service.storage.states import FindingsState
from service.storage.tables import Agent, FindingsRow, Metric, Run

#: Far more than anything takes here, also on a busy machine.
PATIENCE_S = 180.0
POLL_S = 0.02


class Stage:
    """A database, a folder, and agents on them: real processes, which are always ended."""

    def __init__(self, database_url: str, agents_url: str, folder: Path) -> None:
        self.folder = folder
        self.agents_url = agents_url
        self.settings = Settings(
            database_url=SecretStr(database_url),
            artifacts=folder / "artifacts",
            mlflow_url="",
            lease_s=30,
            renew_s=0.5,
            rescue_s=0.5,
            heartbeat_s=0.5,
            heartbeat_over_s=2,
            grace_s=10,  # a disk that others use, too, may take seconds for a checkpoint
        )
        self.database = Database(self.settings.sqlalchemy_url)
        self.app = queue.queue_app(self.settings)
        #: What an agent runs; tests of the agent alone give it another child.
        self.program = ["-m", "workers"]
        self.environment: dict[str, str] = {}
        self.agents: list[subprocess.Popen[bytes]] = []

    def start_agent(self) -> subprocess.Popen[bytes]:
        settings = self.settings.model_dump(
            mode="json", exclude={"database_url"}, exclude_none=True
        )
        environment = {f"POLAR_{name}".upper(): str(value) for name, value in settings.items()}
        environment["POLAR_DATABASE_URL"] = self.agents_url
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

    def template_of(self, agent: subprocess.Popen[bytes]) -> int:
        """The process that forks the children of this agent."""
        return int(re.findall(r"started template (\d+)", self.log_of(agent))[-1])

    async def submit(self, spec: ExperimentSpec, digest: str = "any") -> uuid.UUID:
        """Queue a new run of this spec."""
        async with self.database.transaction() as session:
            submission = await experiments.create(session, spec, digest, force=True)
            await queue.enqueue(self.app, session, submission.new)
        return submission.runs[0].id

    async def run(self, run_id: uuid.UUID, is_so: Callable[[Run], bool]) -> Run:
        """The run, as soon as it is so."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            async with self.database.transaction() as session:
                run = await runs.get(session, run_id)
            if is_so(run):
                return run
            self._check(deadline, f"the run is {run.state}, {run.status_reason}, {run.progress}")
            await asyncio.sleep(POLL_S)

    async def until(self, claim: Callable[[], bool]) -> None:
        """Wait for what the database does not know."""
        deadline = time.monotonic() + PATIENCE_S
        while not claim():
            self._check(deadline, "the claim did not come true")
            await asyncio.sleep(POLL_S)

    async def end_of(self, run_id: uuid.UUID) -> Run:
        return await self.run(run_id, lambda run: run.state.is_final)

    async def findings(
        self, run_id: uuid.UUID, is_so: Callable[[FindingsRow], bool]
    ) -> FindingsRow:
        """The findings of a run, as soon as there are any of which it is so."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            async with self.database.transaction() as session:
                row = await findings.of_run(session, run_id)
            if row is not None and is_so(row):
                return row
            self._check(deadline, f"the findings are {row and (row.state, row.message)}")
            await asyncio.sleep(POLL_S)

    async def findings_of(self, run_id: uuid.UUID) -> FindingsRow:
        """How the findings of a run ended, as soon as they have."""
        return await self.findings(run_id, lambda row: row.state is not FindingsState.TO_COME)

    def checkpoints_of(self, run_id: uuid.UUID) -> list[Path]:
        """Those of all attempts that are still there."""
        run = self.settings.artifacts / "runs" / str(run_id)
        return sorted(run.glob("attempt-*/checkpoints/step-*"))

    async def cancel(self, run_id: uuid.UUID) -> None:
        async with self.database.transaction() as session:
            run = await runs.request_cancel(session, run_id)
            await queue.cancel(session, [run])

    async def metrics_of(self, run_id: uuid.UUID) -> dict[tuple[str, int], Metric]:
        """By key and step."""
        async with self.database.transaction() as session:
            found = await tracking.metrics_after(session, run_id, 0, limit=1_000_000)
        return {(metric.key, metric.step): metric for metric in found}

    async def announcement(self, is_so: Callable[[Agent], bool] = lambda _: True) -> Agent:
        """What the first agent says that it has, as soon as it has said what is so."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            async with self.database.transaction() as session:
                found = await agents.seen_lately(session)
            if found and is_so(found[0]):
                return found[0]
            self._check(deadline, "no agent has announced itself, or not what was waited for")
            await asyncio.sleep(POLL_S)

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

    def _check(self, deadline: float, otherwise: str) -> None:
        if time.monotonic() > deadline:
            logs = "\n".join(self.log_of(agent) for agent in self.agents)
            pytest.fail(f"{otherwise}; the agents' logs:\n{logs}")

    def _log(self, number: int) -> Path:
        return self.folder / f"agent-{number}.log"


class Mlflow:
    """A real MLflow behind our door, in a process of its own, always at the same address."""

    #: What opens the door: the owner's token.
    token = "polar_" + "m" * 43

    def __init__(self, store: str, folder: Path) -> None:
        self._folder = folder
        self._port = choose_port()
        self.url = f"http://127.0.0.1:{self._port}"
        self._environment = {
            "POLAR_TOKEN": self.token,
            "_MLFLOW_SERVER_FILE_STORE": store,
            "_MLFLOW_SERVER_ARTIFACT_ROOT": "mlflow-artifacts:/",
            "_MLFLOW_SERVER_ARTIFACT_DESTINATION": str(folder),
            "_MLFLOW_SERVER_SERVE_ARTIFACTS": "true",
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            "MLFLOW_DISABLE_TELEMETRY": "true",
        }
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Return when it answers; nothing happens when it already does."""
        if self._process:
            return
        server = ("-m", "uvicorn", TRACKING_SERVER, "--port", str(self._port))
        with (self._folder / "mlflow.log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, *server, "--log-level", "warning"],
                env=os.environ | self._environment,
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + 2 * PATIENCE_S  # its own migrations take long
        while not self._answers():
            if time.monotonic() > deadline or self._process.poll() is not None:
                pytest.fail(f"MLflow does not start: {(self._folder / 'mlflow.log').read_text()}")
            time.sleep(POLL_S)

    def kill(self) -> None:
        if self._process:
            self._process.kill()
            self._process.wait()
            self._process = None

    def _answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/health", timeout=5).is_success
        except httpx.TransportError:
            return False
