"""A real MLflow, and runs for it to be told of."""

import math
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run as MlflowRun
from pydantic import SecretStr
from sqlalchemy import delete

from polar.records.latents import Regime
from polar.records.ranges import Edge, Interval, Outcome, SeedOutcome, StudyRange
from polar.records.trials import Measured, Measures
from polar.spec import ExperimentSpec, StudySpec
from polar.spec.points import SEED, STEPS, Point
from service.storage import experiments, runs, studies, study_extensions, study_tracking, tracking
from service.storage.database import Database
from service.storage.states import RunState, StudyState, TrialState
from service.storage.tables import Tracking
from service.storage.tracking_tables import StudyTracking, TrialTracking
from workers.tracking.server import MLflowServer
from workers.tracking.tracker import Tracker

if TYPE_CHECKING:
    from tests.conftest import Training
    from tests.processes import Mlflow

DIGEST = "d" * 64
#: As a range report has it.
BAND = Interval(
    left=Edge(low=0.3, high=0.4, confidence=0.9), right=Edge(low=4.0, high=5.0, confidence=0.9)
)
FOUND = StudyRange(
    outcome=Outcome.COARSE,
    of="clean",
    steps=30,
    seeds=(0, 1),
    intervals=(BAND,),
    envelope=BAND,
    by_steps=(),
    settled=True,
    disagreeing=(),
    weights=4,
    trainings=4,
    headline="Clean over 2 seeds.",
    remarks=(),
    fields=("model.beta",),
)


@pytest.fixture
async def server(mlflow: "Mlflow") -> AsyncIterator[MLflowServer]:
    async with MLflowServer(mlflow.url, SecretStr(mlflow.token)) as server:
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

    async def run_of(self, spec: ExperimentSpec) -> UUID:
        """A run that others may share, in its first attempt."""
        async with self._database.transaction() as session:
            submission = await experiments.create(session, spec, DIGEST)
        (run,) = submission.new
        await self.claim(run.id)
        return run.id

    async def claim(self, run_id: UUID) -> None:
        async with self._database.transaction() as session:
            assert await runs.claim(session, run_id, "agent", 30.0)

    async def release(self, run_id: UUID, attempt: int = 1, reason: str = "lease_lost") -> None:
        async with self._database.transaction() as session:
            await runs.release(session, run_id, attempt, reason=reason, message="gone")

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


class StudyStory:
    """A study in the tables, written as the broker writes it, and what MLflow shows of it."""

    def __init__(self, database: Database, client: MlflowClient, story: Story) -> None:
        self._database = database
        self._client = client
        self._story = story

    async def begin(self, spec: StudySpec) -> UUID:
        async with self._database.transaction() as session:
            return (await studies.create(session, spec, DIGEST)).id

    async def begin_trial(self, study_id: UUID, number: int, beta: float) -> list[UUID]:
        """Returns its runs, by seed; those that are new are in their first attempt.

        A trial of a range is one training, here with the first seed.
        """
        async with self._database.transaction() as session:
            study = await studies.locked(session, study_id)
            spec = studies.spec_of(study)
            point: Point = {"model.beta": beta}
            if spec.sampler == "range":
                point = {**point, SEED: spec.base.seeds[0], STEPS: spec.steps}
            submission = await experiments.create(session, spec.experiment(point), DIGEST)
            await studies.begin_trial(
                session,
                study,
                number=number,
                point=point,
                experiment_id=submission.experiment.id,
                turn=0,
            )
        for run in submission.new:
            await self._story.claim(run.id)
        return [run.id for run in submission.runs]

    async def end_trial(
        self,
        study_id: UUID,
        number: int,
        state: TrialState = TrialState.COMPLETED,
        reason: str | None = None,
        **observed: Any,  # noqa: ANN401
    ) -> None:
        """End a trial; if it says what was observed, such as `n_active`, it can be drawn."""
        is_completed = state is TrialState.COMPLETED
        means = Measures(
            clean_polarisation=0.5,
            polarisation=0.75,
            explained=0.67,
            reconstruction=100.0,
            n_active=number + 1.0,
        )
        measured = Measured(
            **means.model_dump(),
            of_seeds=(means,),
            regimes=(Regime.CLEAN,),
            settled=(True,),
            observations=(SeedOutcome(steps=30, regime=Regime.CLEAN, **observed),),
        )
        async with self._database.transaction() as session:
            study = await studies.locked(session, study_id)
            trials = await studies.trials_of(session, study_id)
            await studies.end_trial(
                session,
                trials[number],
                state,
                values=[0.5 + number / 100] if is_completed else None,
                measured=measured if is_completed else None,
                reason=reason,
                message=reason and f"it was {state}",
            )
            study.range = FOUND

    async def end(
        self, study_id: UUID, state: StudyState = StudyState.COMPLETED, reason: str = "any"
    ) -> None:
        async with self._database.transaction() as session:
            study = await studies.locked(session, study_id)
            await studies.end(session, study, state, reason, "as it is told")

    async def complete(self, spec: StudySpec, betas: Sequence[float]) -> UUID:
        """A study from its beginning to its end, with trials one after the other."""
        study_id = await self.begin(spec)
        for number, beta in enumerate(betas):
            for run_id in await self.begin_trial(study_id, number, beta):
                await self._story.finish(run_id)
            await self.end_trial(study_id, number)
        await self.end(study_id)
        return study_id

    async def extend(self, study_id: UUID, **more: Any) -> None:  # noqa: ANN401
        async with self._database.transaction() as session:
            await study_extensions.extend(session, study_id, **more)

    async def change(self, study_id: UUID, change: Callable[..., Awaitable[object]]) -> None:
        async with self._database.transaction() as session:
            await change(session, study_id)

    async def forget(self, study_id: UUID) -> None:
        """As if the tracker had been killed before it could store anything."""
        async with self._database.transaction() as session:
            await session.execute(delete(StudyTracking).where(StudyTracking.study_id == study_id))

    async def forget_trials(self, study_id: UUID) -> None:
        """As if it had been killed before it could store that trials are in MLflow."""
        async with self._database.transaction() as session:
            await session.execute(delete(TrialTracking).where(TrialTracking.study_id == study_id))

    async def is_told(self) -> bool:
        """Whether nothing of any study is new to MLflow."""
        async with self._database.transaction() as session:
            new = await study_tracking.studies_to_tell(session)
            apart = await study_tracking.runs_to_nest(session)
        return not new and not apart

    async def runs_of_trials(self, study_id: UUID) -> dict[int, str]:
        async with self._database.transaction() as session:
            return await study_tracking.mlflow_runs_of_trials(session, study_id)

    def in_mlflow(self, study_id: UUID) -> MlflowRun:
        """The one MLflow run that says it is this study."""
        (found,) = self._search(f"tags.`polar.kind` = 'study' AND {self._is_of(study_id)}")
        return found

    def trials_in_mlflow(self, study_id: UUID) -> list[MlflowRun]:
        """The MLflow runs that say they are a trial of it, by number."""
        found = self._search(f"tags.`polar.kind` = 'trial' AND {self._is_of(study_id)}")
        return sorted(found, key=lambda run: int(run.data.tags["polar.trial"]))

    def below(self, parent: MlflowRun) -> list[MlflowRun]:
        """What its page shows as its children."""
        return self._search(f"tags.`mlflow.parentRunId` = '{parent.info.run_id}'")

    def _search(self, what: str) -> list[MlflowRun]:
        everywhere = [found.experiment_id for found in self._client.search_experiments()]
        return list(self._client.search_runs(everywhere, what))

    def _is_of(self, study_id: UUID) -> str:
        return f"tags.`polar.study_id` = '{study_id}'"


@pytest.fixture
async def database(app_url: str) -> AsyncIterator[Database]:
    database = Database(app_url.replace("postgresql://", "postgresql+psycopg://", 1))
    yield database
    await database.close()


@pytest.fixture
def story(database: Database, client: MlflowClient, training: "Training") -> Story:
    return Story(database, client, training)


@pytest.fixture
def study_story(database: Database, client: MlflowClient, story: Story) -> StudyStory:
    return StudyStory(database, client, story)


@pytest.fixture
def study_spec(training: "Training") -> StudySpec:
    """A study that searches a range, so that each trial is one training."""
    axis = {"log_uniform": (0.01, 100.0)}
    return StudySpec.model_validate(
        {"name": "where is beta clean?", "base": training.spec, "search": {"model.beta": axis}}
    )


@pytest.fixture
def study_spec_of_two_seeds(study_spec: StudySpec) -> StudySpec:
    return study_spec.with_seeds((0, 1)).model_copy(update={"sampler": "tpe"})


class PatientTracker(Tracker):
    """A tracker whose passes wait for its drawing, so that a test sees all of what it tells."""

    async def tell_all(self) -> None:
        await super().tell_all()
        if self.drawing is not None:
            await self.drawing


TrackerMaker = Callable[..., Tracker]


@pytest.fixture
async def make_tracker(
    database: Database, server: MLflowServer, training: "Training"
) -> AsyncIterator[TrackerMaker]:
    """Trackers, of which one at a time is at work; they are closed in the end."""
    trackers: list[Tracker] = []

    def make(
        database: Database = database,
        server: MLflowServer = server,
        artifacts: Path = training.folder,
    ) -> Tracker:
        trackers.append(PatientTracker(database, server, artifacts))
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
