"""Fixtures of all rooms: one real Postgres for the session, one fresh database for each test."""

import asyncio
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx
import psycopg
import pytest
from hypothesis import settings as hypothesis_settings
from pydantic import SecretStr

from polar.records.events import ArtifactSaved, Evaluation, Event, Progress, Result, Summary
from polar.records.latents import Label, LatentDiagnostics, Regime, Verdict
from polar.spec import SCIENCE_VERSION, ExperimentSpec
from service import queue
from service.embedded.postgres import Postgres
from service.embedded.state import choose_port
from service.settings import Settings
from service.storage import agents, experiments, runs, tracking
from service.storage.database import Database
from service.storage.tables import Agent, Metric, Run

#: Removed with the process.
_CACHE = tempfile.TemporaryDirectory(prefix="polar-cache-")


def pytest_configure() -> None:
    for name in [name for name in os.environ if name.startswith("POLAR_")]:
        if name != "POLAR_DATA_DIR":
            del os.environ[name]
    # how fast a machine is, is not what tests assert
    hypothesis_settings.register_profile("polar", deadline=None)
    hypothesis_settings.load_profile("polar")
    # before workers start: threads of two workers on two cores wait for each other
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    # jobs in a shell's background ignore Ctrl-C, and so would all processes that tests start
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # prepared images of tests go where they are removed again
    os.environ["POLAR_CACHE_DIR"] = _CACHE.name


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


#: Each of them would lead a process of `polar up` elsewhere, or keep it from starting.
HOSTILE = {
    "HTTP_PROXY": "http://127.0.0.1:9",
    "https_proxy": "http://127.0.0.1:9",
    "ALL_PROXY": "socks5://127.0.0.1:9",
    "NO_PROXY": "example.org",
    "PGSSLMODE": "require",
    "PGOPTIONS": "-c search_path=nowhere",
    "PGHOSTADDR": "10.255.255.1",
    "PGSERVICE": "nobody",
    "PGTZ": "Mars",
    "PGCLIENTENCODING": "LATIN1",
    "PSYCOPG_IMPL": "nonsense",
    "SSL_CERT_FILE": "/nonexistent",
    "SSL_CERT_DIR": "/nonexistent",
    "SSLKEYLOGFILE": "/nonexistent/keys",
    "REQUESTS_CA_BUNDLE": "/nonexistent",
    "CURL_CA_BUNDLE": "/nonexistent",
    "PYTHONWARNINGS": "error",
    "PYTHONOPTIMIZE": "2",
    "PYTHONSTARTUP": "/nonexistent",
    "PYTHONIOENCODING": "latin-1",
    "WEB_CONCURRENCY": "4",
    "FORWARDED_ALLOW_IPS": "nonsense",
    "UVICORN_PORT": "1",
    "UVICORN_HOST": "10.255.255.1",
    "FLASK_DEBUG": "1",
    "MLFLOW_TRACKING_URI": "http://127.0.0.1:9",
    "MLFLOW_SQLALCHEMYSTORE_POOLCLASS": "Nonsense",
    "_MLFLOW_SERVER_ARTIFACTS_ONLY": "true",
    "prometheus_multiproc_dir": "/nonexistent",
    "OTEL_PROPAGATORS": "nonsense",
    "MPLBACKEND": "nonsense",
    "MKL_NUM_THREADS": "7",
    "MKL_CBWR": "AVX2",
    "OMP_DYNAMIC": "true",
    "GOMP_CPU_AFFINITY": "0",
    "KMP_DETERMINISTIC_REDUCTION": "false",
    "OPENBLAS_CORETYPE": "Prescott",
    "POLAR_DATABASE_URL": "postgresql://127.0.0.1:9/elsewhere",
    "POLAR_OPTUNA_URL": "postgresql://127.0.0.1:9/elsewhere",
    "POLAR_MLFLOW_URL": "http://127.0.0.1:9",
    "POLAR_ARTIFACTS": "/nonexistent",
    "POLAR_API_HOST": "example.org",
    "POLAR_API_FD": "99",
    "POLAR_DASHBOARD_FD": "99",
}


@pytest.fixture(scope="session")
def hostile_environment() -> dict[str, str]:
    """What people's shells, notebooks and clusters set for programs other than ours."""
    return HOSTILE


class Reports:
    """Records as a worker sends them, made up here and nowhere else."""

    def progress(self, step: int) -> Progress:
        return Progress(
            step=step,
            steps=100,
            epoch=step / 10,
            loss=200.0 - step,
            reconstruction_nats=190.0 - step,
            penalty=10.0,
            images_per_s=1000.0,
            eta_s=float(100 - step),
        )

    def evaluation(self, step: int) -> Evaluation:
        latents = (self._latent(0, 1.5, Label.ACTIVE), self._latent(1, 0.01, Label.PASSIVE))
        return Evaluation(
            step=step,
            epoch=step / 10,
            reconstruction_nats=190.0 - step,
            latents=latents,
            verdict=Verdict(
                regime=Regime.POLARISED,
                tau_nats=0.25,
                n_active=1,
                n_passive=1,
                polarisation=0.99,
                margin_nats=1.49,
                explained=0.9,
                clean_polarisation=0.9,
                no_reconstruction_gain=False,
            ),
        )

    def result(self, spec: ExperimentSpec) -> Result:
        by_name = {"n_active": {"entropy": 1}, "usage_auc": {}, "downstream_gain": {}}
        summary = {**dict.fromkeys(Summary.model_fields, 0), **by_name}
        return Result(
            spec_hash=spec.content_hash(),
            science_version=SCIENCE_VERSION,
            seed=spec.seeds[0],
            steps=100,
            dataset_digest="d" * 64,
            images=1797,
            images_evaluated=1797,
            final=self.evaluation(100),
            converged=True,
            largest_move_nats=0.01,
            labels_changed=0,
            explanation="One latent of two is active.",
            summary=Summary.model_validate(summary),
            dataset_note="",
        )

    def _latent(self, latent: int, entropy_nats: float, label: Label) -> LatentDiagnostics:
        measured = dict.fromkeys(LatentDiagnostics.model_fields, 0.5)
        measured |= {"entropy_nats": entropy_nats, "judged_entropy_nats": entropy_nats}
        return LatentDiagnostics.model_validate({**measured, "latent": latent, "label": label})


@pytest.fixture(scope="session")
def reports() -> Reports:
    return Reports()


#: Far more than anything takes here, also on a busy machine.
PATIENCE_S = 180.0
POLL_S = 0.02


class Stage:
    """A database, a folder, and agents on them: real processes, which are always ended."""

    def __init__(self, database_url: str, folder: Path) -> None:
        self.folder = folder
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

    async def announcement(self) -> Agent:
        """What the first agent says that it has, as soon as it has said so."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            async with self.database.transaction() as session:
                found = await agents.seen_lately(session)
            if found:
                return found[0]
            self._check(deadline, "no agent has announced itself")
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


@pytest.fixture
async def stage(database_url: str, tmp_path: Path) -> AsyncIterator[Stage]:
    """Agents on a database of this test's own."""
    stage = Stage(database_url, tmp_path)
    try:
        yield stage
    finally:
        await stage.close()


class Mlflow:
    """A real MLflow server in a process of its own, always at the same address."""

    def __init__(self, store: str, folder: Path) -> None:
        self._folder = folder
        self._port = choose_port()
        self.url = f"http://127.0.0.1:{self._port}"
        self._environment = {
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
        server = ("-m", "uvicorn", "mlflow.server.fastapi_app:app", "--port", str(self._port))
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


@pytest.fixture(scope="session")
def _mlflow_of_the_session(
    postgres: Postgres, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Mlflow]:
    with psycopg.connect(postgres.url("postgres"), autocommit=True) as admin:
        admin.execute("CREATE DATABASE mlflow")
    store = postgres.url("mlflow").replace("postgresql://", "postgresql+psycopg://", 1)
    mlflow = Mlflow(store, tmp_path_factory.mktemp("mlflow"))
    yield mlflow
    mlflow.kill()


@pytest.fixture
def mlflow(_mlflow_of_the_session: Mlflow) -> Mlflow:
    """An MLflow on Postgres that is there when the test begins; all tests share it."""
    _mlflow_of_the_session.start()
    return _mlflow_of_the_session


@pytest.fixture
def mlflow_url(mlflow: Mlflow) -> str:
    return mlflow.url


@dataclass(frozen=True)
class Training:
    """A real training, of the smallest kind, as a worker tells it."""

    spec: ExperimentSpec
    #: The paths in the events are relative to this folder.
    folder: Path
    events: Sequence[Event]


@pytest.fixture(scope="session")
def training(tmp_path_factory: pytest.TempPathFactory) -> Training:
    # Here, since what a conftest imports at its top escapes the checks of shapes.
    from polar.experiment import run as experiment

    spec = ExperimentSpec.model_validate(
        {
            "name": "the smallest",
            "dataset": {"name": "digits", "images": 64},
            "model": {"beta": 0.5, "latent_dim": 3, "widths": [4, 4, 4, 4, 4]},
            "training": {"steps": 30, "batch_size": 16},
            "diagnostics": {"evaluations": 5},
        }
    )
    folder = tmp_path_factory.mktemp("training")
    events = [
        event.model_copy(update={"path": str(Path(event.path).relative_to(folder))})
        if isinstance(event, ArtifactSaved)
        else event
        for event in experiment.run(spec, out=folder / "out")
    ]
    return Training(spec, folder, events)
