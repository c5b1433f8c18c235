"""The tracker and MLflow, killed in every order: no value is missing, none is there twice."""

import asyncio
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run as MlflowRun
from playwright.async_api import async_playwright, expect
from pydantic import SecretStr
from sqlalchemy import func, select

from polar.records.events import LAST_STATE_FILE, Event, Progress
from service.api import links
from service.settings import Settings
from service.storage import experiments, runs, tracking
from service.storage.artifacts import artifacts_of
from service.storage.database import Database
from service.storage.states import RunState
from service.storage.tables import Tracking

if TYPE_CHECKING:
    from tests.conftest import Training
    from tests.processes import Mlflow

PATIENCE_S = 90.0
POLL_S = 0.05
#: Numbers of the spec, which only MLflow has.
WEIGHTS = {"weight", "weight_log10"}


class TrackerProcess:
    """`python -m workers.tracking`, again and again."""

    def __init__(self, database_url: str, mlflow: "Mlflow", artifacts: Path, log: Path) -> None:
        self._environment = {
            "POLAR_DATABASE_URL": database_url,
            "POLAR_MLFLOW_URL": mlflow.url,
            "POLAR_MLFLOW_TOKEN": mlflow.token,
            "POLAR_ARTIFACTS": str(artifacts),
        }
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "workers.tracking"],
                env=os.environ | self._environment,
                stdout=log,
                stderr=log,
            )

    def end(self, number: signal.Signals = signal.SIGKILL) -> int:
        """Returns the exit code."""
        assert self._process
        self._process.send_signal(number)
        return self._process.wait(PATIENCE_S)

    @property
    def log(self) -> str:
        return self._log.read_text()

    async def until_it_says(self, text: str, times: int = 1) -> None:
        await _until(lambda: self._says(text, times), self)

    async def _says(self, text: str, times: int) -> bool:
        return self.log.count(text) >= times

    def close(self) -> None:
        if self._process and self._process.poll() is None:
            self.end()


class Book:
    """Runs in the tables, written as an agent writes them, and compared with MLflow."""

    def __init__(self, database: Database, client: MlflowClient, training: "Training") -> None:
        self._database = database
        self._client = client
        self._training = training

    async def begin(self) -> UUID:
        async with self._database.transaction() as session:
            submission = await experiments.create(session, self._training.spec, "d", force=True)
            run_id = submission.runs[0].id
            assert await runs.claim(session, run_id, "agent", 30.0)
        return run_id

    async def record(self, run_id: UUID, *events: Event) -> None:
        async with self._database.transaction() as session:
            for event in events:
                await runs.record(session, run_id, 1, event)

    async def train(self, run_id: UUID) -> None:
        await self.record(run_id, *self._training.events)

    async def succeed(self, run_id: UUID) -> None:
        async with self._database.transaction() as session:
            await runs.finish(session, run_id, 1, RunState.SUCCEEDED)

    async def told(self) -> int:
        """How far MLflow has been told of everything, as a number that grows."""
        async with self._database.transaction() as session:
            total = func.sum(Tracking.metric_sequence) + func.count()
            return int(await session.scalar(select(func.coalesce(total, 0))) or 0)

    async def is_told(self, *run_ids: UUID) -> bool:
        """Whether MLflow has been told of these runs to their ends."""
        async with self._database.transaction() as session:
            positions = [await tracking.position_of(session, run_id) for run_id in run_ids]
        return all(position is not None and position.complete for position in positions)

    async def has_moved(self, before: int, run_ids: Sequence[UUID]) -> bool:
        """Whether MLflow has been told of anything new, or there is nothing left to tell."""
        return await self.told() > before or await self.is_told(*run_ids)

    async def check(self, run_id: UUID) -> None:
        """MLflow has this run once, and every number and file of it once."""
        (found,) = self._in_mlflow(run_id)
        async with self._database.transaction() as session:
            rows = await tracking.metrics_after(session, run_id, 0, limit=1_000_000)
            files = await artifacts_of(session, run_id)
        ours: dict[str, list[tuple[int, float]]] = {}
        for row in sorted(rows, key=lambda row: row.step):
            ours.setdefault(row.key, []).append((row.step, row.value))
        assert set(found.data.metrics) == set(ours) | WEIGHTS
        for key, values in ours.items():
            assert self._history(found, key) == values
        for key in WEIGHTS:
            assert len(self._history(found, key)) == 1
        names = [file.name for file in files]
        names.remove(LAST_STATE_FILE)  # only Polar can read it, from its own folder
        figures = [name for name in names if name.endswith(".png")]
        assert figures
        assert len(self._files(found, "images")) == 2 * len(figures)
        drawn = [name for name in names if name.startswith("figures/")]
        assert self._files(found, "figures") == sorted(drawn)
        assert self._files(found) == sorted(["spec.yaml", *(set(names) - set(drawn))])
        assert (found.info.status, found.data.tags["polar.state"]) == ("FINISHED", "succeeded")

    async def links_to_mlflow(self, *run_ids: UUID, settings: Settings) -> dict[str, str | None]:
        """Where the API says that an experiment of these runs is."""
        async with self._database.transaction() as session:
            positions = [await tracking.position_of(session, run_id) for run_id in run_ids]
        return links.of_experiment(settings, run_ids[0], list(filter(None, positions)))

    def _in_mlflow(self, run_id: UUID) -> list[MlflowRun]:
        everywhere = [found.experiment_id for found in self._client.search_experiments()]
        return list(self._client.search_runs(everywhere, f"tags.`polar.run_id` = '{run_id}'"))

    def _history(self, run: MlflowRun, key: str) -> list[tuple[int, float]]:
        points = self._client.get_metric_history(run.info.run_id, key)
        return sorted((point.step, point.value) for point in points)

    def _files(self, run: MlflowRun, folder: str | None = None) -> list[str]:
        found = self._client.list_artifacts(run.info.run_id, folder)
        return sorted(file.path for file in found if not file.is_dir)


def progress(step: int) -> Progress:
    return Progress(
        step=step,
        steps=100_000,
        epoch=step / 10,
        loss=100 + 1 / step,
        reconstruction_nats=90 + 1 / step,
        penalty=10.0,
        images_per_s=1000.0,
        eta_s=1.0,
    )


@pytest.fixture
async def book(app_url: str, mlflow: "Mlflow", training: "Training") -> AsyncIterator[Book]:
    database = Database(app_url.replace("postgresql://", "postgresql+psycopg://", 1))
    yield Book(database, MlflowClient(mlflow.url), training)
    await database.close()


@pytest.fixture
def trackers(
    app_url: str, mlflow: "Mlflow", training: "Training", tmp_path: Path
) -> Iterator[list[TrackerProcess]]:
    """Two of them, not started."""
    trackers = [
        TrackerProcess(app_url, mlflow, training.folder, tmp_path / f"{number}.log")
        for number in range(2)
    ]
    yield trackers
    for tracker in trackers:
        tracker.close()


async def test_a_tracker_killed_while_mlflow_is_down_misses_and_doubles_nothing(
    book: Book, trackers: list[TrackerProcess], mlflow: "Mlflow"
) -> None:
    tracker = trackers[0]
    run_id = await book.begin()
    await book.record(run_id, *(progress(step) for step in range(100, 200)))
    tracker.start()
    await _until(book.told, tracker)

    mlflow.kill()
    await book.record(run_id, *(progress(step) for step in range(200, 300)))
    await tracker.until_it_says("MLflow is away")
    tracker.end()
    await book.train(run_id)
    tracker.start()
    await tracker.until_it_says("MLflow is away", times=2)
    await book.succeed(run_id)
    mlflow.start()

    await _until(lambda: book.is_told(run_id), tracker)
    await book.check(run_id)
    assert tracker.log.count("telling MLflow again") == 1
    assert tracker.log.count("MLflow is away") == 2  # once in each life of the tracker


async def test_a_tracker_killed_at_any_moment_misses_and_doubles_nothing(
    book: Book, trackers: list[TrackerProcess], mlflow: "Mlflow"
) -> None:
    tracker, chance = trackers[0], random.Random(0)
    run_ids = [await book.begin() for _ in range(4)]
    for run_id in run_ids:
        await book.train(run_id)
        await book.record(run_id, *(progress(step) for step in range(100, 1100)))
        await book.succeed(run_id)

    for kill in range(10):
        before = await book.told()
        tracker.start()
        await _until(partial(book.has_moved, before, run_ids), tracker)
        await asyncio.sleep(chance.uniform(0, 0.4))
        if kill % 4 == 3:  # both at once
            mlflow.kill()
        tracker.end()
        mlflow.start()
    tracker.start()

    await _until(lambda: book.is_told(*run_ids), tracker)
    for run_id in run_ids:
        await book.check(run_id)


async def test_a_second_tracker_takes_over_from_one_that_was_killed(
    book: Book, trackers: list[TrackerProcess]
) -> None:
    first, second = trackers
    run_id = await book.begin()
    first.start()
    await first.until_it_says("appears in MLflow")

    second.start()
    await second.until_it_says("another tracker is at work")
    first.end()
    await book.train(run_id)
    await book.succeed(run_id)

    await _until(lambda: book.is_told(run_id), second)
    await book.check(run_id)
    assert second.end(signal.SIGTERM) == 0
    assert "Traceback" not in second.log


@pytest.mark.browser
async def test_the_saved_view_opens_in_mlflows_page(
    book: Book,
    trackers: list[TrackerProcess],
    mlflow: "Mlflow",
    app_url: str,
    tmp_path: Path,
    chromium: str,
) -> None:
    run_id = await book.begin()
    await book.train(run_id)
    await book.succeed(run_id)
    trackers[0].start()
    await _until(lambda: book.is_told(run_id), trackers[0])
    settings = Settings(database_url=SecretStr(app_url), artifacts=tmp_path, mlflow_url=mlflow.url)
    link = (await book.links_to_mlflow(run_id, settings=settings))["mlflow_all"]
    assert link is not None

    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--disable-background-networking"]
        )
        context = await browser.new_context(
            viewport={"width": 1600, "height": 1000},
            extra_http_headers={"Authorization": f"Bearer {mlflow.token}"},
        )
        table = await context.new_page()
        await table.goto(link)
        for column in ("weight", "polar.regime", "regime/polarisation", "polar.state"):
            await expect(table.get_by_text(column, exact=True).first).to_be_visible(timeout=60_000)
        charts = await context.new_page()
        await charts.goto(f"{link}&compareRunsMode=CHART")
        for chart in ("entropy/by_rank", "weight_log10 vs. regime/explained"):
            await expect(charts.get_by_text(chart).first).to_be_visible(timeout=60_000)
        await expect(charts.locator("img").first).to_be_visible(timeout=60_000)
        await browser.close()


async def _until(is_so: Callable[[], Awaitable[object]], tracker: TrackerProcess) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not await is_so():
        if time.monotonic() > deadline:
            pytest.fail(f"it did not come true; the tracker's log:\n{tracker.log}")
        await asyncio.sleep(POLL_S)
