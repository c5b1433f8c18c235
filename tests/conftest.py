"""Fixtures of all rooms: one real Postgres for the session, one fresh database for each test."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import uuid
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
from hypothesis import settings as hypothesis_settings
from sqlalchemy import Engine, ExecutionContext, event

from polar.records.events import (
    ArtifactSaved,
    Evaluation,
    Event,
    Progress,
    Result,
    Started,
    Summary,
)
from polar.records.latents import Label, LatentDiagnostics, Regime, Verdict
from polar.spec import SCIENCE_VERSION, ExperimentSpec
from service.embedded.postgres import Postgres
from service.storage.roles import Role, make_roles
from tests.processes import Mlflow, Stage

#: Removed with the process.
_CACHE = tempfile.TemporaryDirectory(prefix="polar-cache-")


def pytest_configure(config: pytest.Config) -> None:
    for name in [name for name in os.environ if name.startswith("POLAR_")]:
        if name != "POLAR_DATA_DIR":
            del os.environ[name]
    # how fast a machine is, is not what tests assert
    hypothesis_settings.register_profile("polar", deadline=None, max_examples=30)
    hypothesis_settings.register_profile("thorough", deadline=None, max_examples=300)
    hypothesis_settings.load_profile(config.getoption("--hypothesis-profile") or "polar")
    # before workers start: threads of two workers on two cores wait for each other
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    # jobs in a shell's background ignore Ctrl-C, and so would all processes that tests start
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # prepared images of tests go where they are removed again
    os.environ["POLAR_CACHE_DIR"] = _CACHE.name


#: Nobody needs the data of tests after a crash, and without care for them a database is made in
#: half the time.
FORGETFUL = {
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "autovacuum": "off",
    "file_copy_method": "clone",
}


#: Folders of tests that wait for processes most of the time.
WAITING = {"e2e", "workers"}


@pytest.fixture(scope="session", autouse=True)
def _no_rows_in_a_pipeline() -> Iterator[None]:
    """Refuse statements of many rows that psycopg would send in a pipeline.

    A process that is stopped within a pipeline looks busy to Postgres and keeps its row locks for
    ever (`tests/service/storage/test_frozen_processes.py`).
    """
    event.listen(Engine, "do_executemany", _refuse_a_pipeline)
    yield
    event.remove(Engine, "do_executemany", _refuse_a_pipeline)


def _refuse_a_pipeline(
    _cursor: object, statement: str, _rows: object, context: ExecutionContext
) -> None:
    if context.dialect.driver == "psycopg":
        raise AssertionError(f"psycopg would send this in a pipeline: {statement}")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # The longest files come first: at the end, one worker would wait for the other.
    items.sort(key=lambda item: WAITING.isdisjoint(item.path.parts))


@pytest.fixture(scope="session")
def chromium() -> str:
    """The program of the browser; without it, tests are skipped here, and fail where CI is set."""
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        end = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
        end("there is no chromium on this machine (apt-get install chromium)")
    return program


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
def admin(postgres: Postgres) -> Iterator[psycopg.Connection]:
    """The connection that makes and drops the databases of tests."""
    with psycopg.connect(postgres.url("postgres"), autocommit=True) as admin:
        for name, value in FORGETFUL.items():
            admin.execute(f"ALTER SYSTEM SET {name} = {value}")
        admin.execute("SELECT pg_reload_conf()")
        make_roles(admin, postgres.passwords)
        yield admin


@pytest.fixture(scope="session")
def migrated_template(postgres: Postgres, admin: psycopg.Connection) -> str:
    """The name of a database that has been migrated and that nobody is connected to."""
    admin.execute("CREATE DATABASE migrated")
    subprocess.run(
        [sys.executable, "-m", "service.storage.migrate"],
        env=os.environ | {"POLAR_DATABASE_URL": postgres.url("migrated")},
        check=True,
        timeout=120,
    )
    return "migrated"


@pytest.fixture
def database_url(
    postgres: Postgres, admin: psycopg.Connection, migrated_template: str
) -> Iterator[str]:
    """A database of this test's own, migrated and empty, as a superuser opens it."""
    name = f"test_{uuid.uuid4().hex}"
    admin.execute(f'CREATE DATABASE "{name}" TEMPLATE {migrated_template} STRATEGY FILE_COPY')
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
    "POLAR_MLFLOW_TOKEN": "theirs",
    "POLAR_API_URL": "http://127.0.0.1:9",
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

    def started(self, step: int = 0, steps: int = 100) -> Started:
        return Started(
            step=step,
            steps=steps,
            device="cpu",
            images=1438,
            images_evaluated=1438,
            dataset_digest="d" * 64,
            parameters=1000,
        )

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
                regime=Regime.CLEAN,
                flaws=(),
                paper_regime=Regime.POLARISED,
                tau_std=0.134,
                tau_nats=0.25,
                n_active=1,
                n_passive=1,
                polarisation=0.99,
                margin_nats=1.49,
                gap_factor=30.0,
                explained=0.9,
                explained_se=0.01,
                explained_by_prior=None,
                explains_nothing=False,
                sufficiency=0.99,
                n_idle=0,
                clean_polarisation=0.9,
                settled=True,
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
            settled=True,
            largest_move_nats=0.01,
            rise_of_explained=0.001,
            labels_changed=0,
            held_out=None,
            loss_terms=None,
            explanation="One latent of two is active.",
            summary=Summary.model_validate(summary),
            dataset_note="",
        )

    def _latent(self, latent: int, entropy_nats: float, label: Label) -> LatentDiagnostics:
        measured = dict.fromkeys(LatentDiagnostics.model_fields, 0.5)
        measured |= {"entropy_nats": entropy_nats, "judged_entropy_nats": entropy_nats}
        measured |= {"usage_nats": 10 * entropy_nats, "is_idle": False}
        return LatentDiagnostics.model_validate({**measured, "latent": latent, "label": label})


@pytest.fixture(scope="session")
def reports() -> Reports:
    return Reports()


@pytest.fixture
def agents_url(database_url: str, postgres: Postgres) -> str:
    """The database as agents open it."""
    return postgres.url(urlsplit(database_url).path.removeprefix("/"), Role.AGENT)


@pytest.fixture
def app_url(database_url: str, postgres: Postgres) -> str:
    """The database as API, broker and tracker open it."""
    return postgres.url(urlsplit(database_url).path.removeprefix("/"), Role.APP)


@pytest.fixture
async def stage(app_url: str, agents_url: str, tmp_path: Path) -> AsyncIterator[Stage]:
    """Agents on a database of this test's own."""
    stage = Stage(app_url, agents_url, tmp_path)
    try:
        yield stage
    finally:
        await stage.close()


@pytest.fixture(scope="session")
def _mlflow_of_the_session(
    postgres: Postgres, admin: psycopg.Connection, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Mlflow]:
    admin.execute("CREATE DATABASE mlflow")
    store = postgres.url("mlflow").replace("postgresql://", "postgresql+psycopg://", 1)
    mlflow = Mlflow(store, tmp_path_factory.mktemp("mlflow"))
    yield mlflow
    mlflow.kill()


@pytest.fixture
def mlflow(_mlflow_of_the_session: Mlflow) -> Iterator[Mlflow]:
    """An MLflow on Postgres that is there when the test begins; all tests share it.

    MLflow's own client gets in.
    """
    _mlflow_of_the_session.start()
    with pytest.MonkeyPatch.context() as patch:  # not the test's own, which it may undo
        patch.setenv("MLFLOW_TRACKING_TOKEN", Mlflow.token)
        yield _mlflow_of_the_session


@pytest.fixture
def mlflow_url(mlflow: Mlflow) -> str:
    return mlflow.url


@pytest.fixture
def unrendered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures are made, and their pictures are left empty.

    Rendering the pictures of a run takes ten times as long as the smallest training.
    """
    # Here, because what a conftest imports at its top escapes the checks of shapes.
    from polar.figures import files

    monkeypatch.setattr(files, "write", lambda _figure, _kind, _file: None)


@dataclass(frozen=True)
class Training:
    """A real training, of the smallest kind, as a worker tells it."""

    spec: ExperimentSpec
    #: The paths in the events are relative to this folder.
    folder: Path
    events: Sequence[Event]


@pytest.fixture(scope="session")
def training(tmp_path_factory: pytest.TempPathFactory) -> Training:
    # Here, because what a conftest imports at its top escapes the checks of shapes.
    from polar.experiment import run as experiment

    spec = ExperimentSpec.model_validate(
        {
            "name": "the smallest",
            "dataset": {"name": "digits", "images": 64},
            "model": {"beta": 0.5, "latent_dim": 3, "widths": [4, 4, 4, 4, 4]},
            "training": {"steps": 30, "batch_size": 16},
            "diagnostics": {"evaluations_per_doubling": 1},
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
