"""A real MLflow, and runs for it to be told of."""

import math
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run as MlflowRun
from sqlalchemy import delete

from polar.spec import ExperimentSpec
from service.storage import experiments, runs, tracking
from service.storage.database import Database
from service.storage.tables import RunState, Tracking
from workers.mlflow_server import MLflowServer
from workers.tracking import Tracker

if TYPE_CHECKING:
    from tests.conftest import Mlflow, Training

DIGEST = "d" * 64


@pytest.fixture
async def server(mlflow: "Mlflow") -> AsyncIterator[MLflowServer]:
    async with MLflowServer(mlflow.url) as server:
        yield server


@pytest.fixture
def client(mlflow: "Mlflow") -> MlflowClient:
    """MLflow's own client: another way to the same server."""
    return MlflowClient(mlflow.url)


class Story:
    """A run in the tables, written as an agent writes it, and what MLflow shows of it."""

    def __init__(self, database: Database, client: MlflowClient, training: "Training") -> None:
        self._database = database
        self._client = client
        self._training = training

    async def begin(self, spec: ExperimentSpec | None = None) -> UUID:
        """A run in its first attempt."""
        async with self._database.transaction() as session:
            spec = spec or self._training.spec
            submission = await experiments.create(session, spec, DIGEST, force=True)
        run_id = submission.runs[0].id
        await self.claim(run_id)
        return run_id

    async def claim(self, run_id: UUID) -> None:
        async with self._database.transaction() as session:
            assert await runs.claim(session, run_id, "agent", 30.0)

    async def release(self, run_id: UUID, attempt: int = 1) -> None:
        async with self._database.transaction() as session:
            await runs.release(session, run_id, attempt, reason="lease_lost", message="gone")

    async def train(self, run_id: UUID, attempt: int = 1) -> None:
        """Everything that a real training told."""
        for event in self._training.events:
            async with self._database.transaction() as session:
                await runs.record(session, run_id, attempt, event)

    async def finish(
        self,
        run_id: UUID,
        state: RunState = RunState.SUCCEEDED,
        attempt: int = 1,
        reason: str | None = None,
        message: str | None = None,
    ) -> None:
        async with self._database.transaction() as session:
            await runs.finish(session, run_id, attempt, state, reason=reason, message=message)

    async def succeed(self) -> UUID:
        """A run from its beginning to its end."""
        run_id = await self.begin()
        await self.train(run_id)
        await self.finish(run_id)
        return run_id

    async def position(self, run_id: UUID) -> Tracking:
        async with self._database.transaction() as session:
            position = await tracking.position_of(session, run_id)
        assert position is not None
        return position

    async def move(self, run_id: UUID, **back: object) -> None:
        """As if the tracker had been killed before it could store its position."""
        async with self._database.transaction() as session:
            await tracking.advance(session, run_id, **back)

    async def forget(self, run_id: UUID) -> None:
        """As if it had been killed before it could store that there is an MLflow run."""
        async with self._database.transaction() as session:
            await session.execute(delete(Tracking).where(Tracking.run_id == run_id))

    async def numbers(self, run_id: UUID) -> dict[str, list[tuple[int, float]]]:
        """Our own numbers, and the weight of the smallest spec; by key, in the order of steps."""
        async with self._database.transaction() as session:
            rows = await tracking.metrics_after(session, run_id, 0, limit=1_000_000)
        numbers = {"weight": [(0, 0.5)], "weight_log10": [(0, math.log10(0.5))]}
        for row in sorted(rows, key=lambda row: row.step):
            numbers.setdefault(row.key, []).append((row.step, row.value))
        return numbers

    def in_mlflow(self, run_id: UUID) -> list[MlflowRun]:
        """The MLflow runs that say they are this run; there should be one."""
        everywhere = [found.experiment_id for found in self._client.search_experiments()]
        found = self._client.search_runs(everywhere, f"tags.`polar.run_id` = '{run_id}'")
        return list(found)

    def numbers_in_mlflow(self, run: MlflowRun) -> dict[str, list[tuple[int, float]]]:
        return {
            key: sorted(
                (point.step, point.value)
                for point in self._client.get_metric_history(run.info.run_id, key)
            )
            for key in run.data.metrics
        }

    def files_in_mlflow(self, run: MlflowRun, folder: str = "") -> list[str]:
        found = self._client.list_artifacts(run.info.run_id, folder or None)
        return [
            path
            for file in found
            for path in (self.files_in_mlflow(run, file.path) if file.is_dir else [file.path])
        ]


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = Database(database_url.replace("postgresql://", "postgresql+psycopg://", 1))
    yield database
    await database.close()


@pytest.fixture
def story(database: Database, client: MlflowClient, training: "Training") -> Story:
    return Story(database, client, training)


TrackerMaker = Callable[..., Tracker]


@pytest.fixture
async def make_tracker(
    database: Database, server: MLflowServer, training: "Training"
) -> AsyncIterator[TrackerMaker]:
    """Trackers, of which one at a time is at work; they are closed in the end."""
    trackers = []

    def make(
        database: Database = database,
        server: MLflowServer = server,
        artifacts: Path = training.folder,
    ) -> Tracker:
        trackers.append(Tracker(database, server, artifacts))
        return trackers[-1]

    yield make
    for tracker in trackers:
        await tracker.close()


@pytest.fixture
def tracker(make_tracker: TrackerMaker) -> Tracker:
    return make_tracker()


@pytest.fixture
async def nobody() -> AsyncIterator[MLflowServer]:
    """An MLflow that is away."""
    async with MLflowServer(f"http://127.0.0.1:{_port_of_nobody()}") as server:
        yield server


def _port_of_nobody() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
