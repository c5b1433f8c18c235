"""What tests of storage, queue and API share: a database, specs, a worker that only pretends."""

import socket
import threading
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import uvicorn
from procrastinate import App
from pydantic import SecretStr
from sqlalchemy import update

from polar.records.certificates import LossTerms
from polar.records.events import ArtifactSaved, Event
from polar.records.latents import Verdict
from polar.records.ranges import StudyRange
from polar.records.trials import Measured
from polar.spec import ExperimentSpec
from polar.spec.own_images import AddedImages
from polar.spec.own_models import AllowedModels
from polar.spec.points import SEED
from service import queue
from service.api.app import create_app
from service.settings import Settings
from service.storage import agents, experiments, runs, studies
from service.storage.database import Database
from service.storage.experiments import Submission
from service.storage.states import RunState, StudyState, TrialState
from service.storage.study_tables import Trial
from service.storage.tables import Run

DIGEST = "d" * 64
LEASE_S = 30.0
#: The token of the owner of the service.
TOKEN = "polar_" + "t" * 43
OWNER = {"Authorization": f"Bearer {TOKEN}"}


NO_BAND: Mapping[str, Any] = {
    "outcome": "no_band",
    "of": "clean",
    "by_steps": [],
    "headline": "no band found",
    "intervals": [],
    "envelope": None,
    "settled": None,
    "disagreeing": [],
    "weights": 1,
    "trainings": 1,
    "remarks": [],
    "fields": ["model.beta"],
    "steps": 30,
    "seeds": [0],
}
MEANS: Mapping[str, float] = {
    "clean_polarisation": 0.5,
    "polarisation": 0.5,
    "explained": 0.5,
    "reconstruction": 100.0,
    "n_active": 4.0,
    "kl": 8.0,
}


def measured_with(**fields: Any) -> Measured:  # noqa: ANN401
    """What a trial of as many seeds as it has regimes measured, all of them the same."""
    regimes = fields.get("regimes", ["clean"])
    means = {name: fields.get(name, mean) for name, mean in MEANS.items()}
    seeds = {
        "regimes": regimes,
        "settled": [True for _ in regimes],
        "of_seeds": [means for _ in regimes],
        "observations": [{"regime": regime, "steps": 30} for regime in regimes],
    }
    return Measured.model_validate({**means, **seeds, **fields})


def result_with(gain: float, penalty: float, regime: str) -> dict[str, Any]:
    """The result of a training of the study net on digits, made up."""
    terms = LossTerms(
        images=1437,
        reconstruction_nats=463.7 - gain,
        penalty=penalty,
        floor_nats=333.7,
        mean_image_nats=463.7,
        collapsed_penalty=0.0,
        nats_per_penalty=1.0,
        gain_variance=0.25,
        penalty_variance=0.0,
        covariance=0.0,
    )
    verdict = dict.fromkeys(Verdict.model_fields, 0) | {"regime": regime, "flaws": []}
    paper = {"paper_regime": "polarised" if regime == "clean" else "collapsed"}
    final = {
        "verdict": Verdict.model_validate(verdict | paper).model_dump(mode="json"),
        "reconstruction_nats": terms.reconstruction_nats,
        "latents": [{"kl_nats": penalty}],
    }
    return {"steps": 30, "final": final, "loss_terms": terms.model_dump(mode="json")}


class Worker:
    """Does with runs what an agent does, in this process and without training."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def announce(
        self,
        datasets: Mapping[str, str] | None = None,
        device: str = "cpu",
        name: str = "agent",
        own_images: Mapping[str, AddedImages] | None = None,
        models: AllowedModels | None = None,
        fault: str | None = None,
    ) -> None:
        async with self._database.transaction() as session:
            await agents.announce(
                session,
                name=name,
                host="here",
                pid=1,
                device=device,
                queues=("auto", device),
                datasets={"digits": DIGEST} if datasets is None else datasets,
                own_images=own_images,
                models=models,
                fault=fault,
            )

    async def claim(self, run_id: UUID, owner: str = "agent") -> Run | None:
        async with self._database.transaction() as session:
            return await runs.claim(session, run_id, owner, LEASE_S)

    async def record(self, run_id: UUID, *events: Event, attempt: int = 1) -> None:
        for event in events:
            async with self._database.transaction() as session:
                await runs.record(session, run_id, attempt, event)

    async def save(self, run_id: UUID, artifacts: Path, name: str, content: bytes) -> None:
        """Store a file of a run in its first attempt."""
        path = f"runs/{run_id}/attempt-1/out/{name}"
        (artifacts / path).parent.mkdir(parents=True, exist_ok=True)
        (artifacts / path).write_bytes(content)
        await self.record(run_id, ArtifactSaved(name=name, path=path))

    async def finish(
        self, run_id: UUID, state: RunState = RunState.SUCCEEDED, attempt: int = 1
    ) -> None:
        async with self._database.transaction() as session:
            await runs.finish(session, run_id, attempt, state)

    async def solve(
        self, experiment_id: UUID, gain: float, penalty: float, regime: str
    ) -> list[UUID]:
        """End the runs of an experiment with models that gain so much over the mean image.

        Returns:
            The ids of the runs.
        """
        async with self._database.transaction() as session:
            wanted = [run.id for run in await experiments.runs_of(session, experiment_id)]
        for run_id in wanted:
            await self.claim(run_id)
            async with self._database.transaction() as session:
                result = result_with(gain, penalty, regime)
                await session.execute(update(Run).where(Run.id == run_id).values(result=result))
            await self.finish(run_id)
        return wanted


class Submitter:
    """Stores and queues experiments, as the API does."""

    def __init__(self, database: Database, app: App) -> None:
        self._database = database
        self._app = app

    async def __call__(
        self, spec: ExperimentSpec, digest: str = DIGEST, *, force: bool = False
    ) -> Submission:
        async with self._database.transaction() as session:
            submission = await experiments.create(session, spec, digest, force=force)
            await queue.enqueue(self._app, session, submission.new)
        return submission


class Trials:
    """Does with studies what the broker does, in this process and without Optuna."""

    def __init__(self, database: Database, app: App) -> None:
        self._database = database
        self._app = app

    async def begin(self, study_id: UUID, **point: Any) -> Trial:  # noqa: ANN401
        """The next trial of a study, in flight; `beta=2` is the point `model.beta` 2.

        The point of a training of a range study has its `seed` and its `training.steps` as well.
        """
        named = {
            name if name == SEED or "." in name else f"model.{name}": value
            for name, value in point.items()
        }
        async with self._database.transaction() as session:
            study = await studies.locked(session, study_id)
            number = len(await studies.trials_of(session, study_id))
            spec = studies.spec_of(study).experiment(named)
            submission = await experiments.create(session, spec, study.dataset_digest)
            await queue.enqueue(self._app, session, submission.new)
            return await studies.begin_trial(
                session,
                study,
                number=number,
                point=named,
                experiment_id=submission.experiment.id,
                turn=0,
            )

    async def end(
        self,
        trial: Trial,
        *values: float,
        state: TrialState = TrialState.COMPLETED,
        reason: str | None = None,
        **measured: Any,  # noqa: ANN401
    ) -> None:
        """End a trial; with values it has measured this, and something else besides."""
        async with self._database.transaction() as session:
            await studies.end_trial(
                session,
                await session.merge(trial),
                state,
                values=list(values) or None,
                measured=measured_with(**measured) if values else None,
                reason=reason,
                message=None if values else "it went wrong",
            )

    async def find(self, study_id: UUID, **found: Any) -> None:  # noqa: ANN401
        """Store a range of a study that goes on; what is not said of it is as without a band."""
        async with self._database.transaction() as session:
            study = await studies.locked(session, study_id)
            study.range = StudyRange.model_validate({**NO_BAND, **found})

    async def end_study(
        self,
        study_id: UUID,
        state: StudyState = StudyState.COMPLETED,
        **found: Any,  # noqa: ANN401
    ) -> None:
        """End a study that has found this range; what is not said of it is as without a band."""
        async with self._database.transaction() as session:
            study = await studies.locked(session, study_id)
            study.range = StudyRange.model_validate({**NO_BAND, **found}) if found else None
            await studies.end(session, study, state, "budget_spent", "it has what it wanted")


class StudyMaker:
    """The smallest study, with other fields at the top, as JSON."""

    def __call__(self, **fields: Any) -> dict[str, Any]:  # noqa: ANN401
        return {
            "base": {"dataset": {"name": "digits"}, "model": {}},
            "search": {"model.beta": {"log_uniform": [0.01, 100]}},
            "budget": {"trials": 3},
            **fields,
        }


class SpecMaker:
    """The smallest spec, with other fields at the top."""

    def __call__(self, **fields: Any) -> ExperimentSpec:  # noqa: ANN401
        return ExperimentSpec.model_validate(self.as_json(**fields))

    def as_json(self, **fields: Any) -> dict[str, Any]:  # noqa: ANN401
        return {"dataset": {"name": "digits"}, "model": {}, **fields}


@pytest.fixture
def settings(app_url: str, tmp_path: Path) -> Settings:
    return Settings(
        database_url=SecretStr(app_url),
        artifacts=tmp_path,
        mlflow_url="http://mlflow.test:5650",
        home=tmp_path,
        token=SecretStr(TOKEN),
    )


@pytest.fixture
async def database(settings: Settings) -> AsyncIterator[Database]:
    database = Database(settings.sqlalchemy_url)
    yield database
    await database.close()


@pytest.fixture
def app(settings: Settings) -> App:
    """The queue; it needs no connections of its own as long as nobody works on it."""
    return queue.queue_app(settings)


@pytest.fixture
def served(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of the API, served over real sockets by a thread of this process.

    Clients and commands of the test send the owner's token.
    """
    monkeypatch.setenv("POLAR_TOKEN", TOKEN)
    config = uvicorn.Config(
        create_app(settings), log_config=None, timeout_graceful_shutdown=1, access_log=False
    )
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        server.should_exit = True
        thread.join()


@pytest.fixture
def worker(database: Database) -> Worker:
    return Worker(database)


@pytest.fixture
def submit(database: Database, app: App) -> Submitter:
    return Submitter(database, app)


@pytest.fixture
def spec_of() -> SpecMaker:
    return SpecMaker()


@pytest.fixture
async def run_id(submit: Submitter, spec_of: SpecMaker, worker: Worker) -> UUID:
    """The id of a run in its first attempt."""
    run_id = (await submit(spec_of())).runs[0].id
    await worker.claim(run_id)
    return run_id


@pytest.fixture
def study_of() -> StudyMaker:
    return StudyMaker()


@pytest.fixture
def trials(database: Database, app: App) -> Trials:
    return Trials(database, app)
