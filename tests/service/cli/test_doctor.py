"""`polar doctor`: what it finds wrong, what it mends, and that it works while all else is down."""

import asyncio
import socket
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from uuid import UUID

import psycopg
import pytest
from mlflow import MlflowClient
from optuna.study import StudyDirection
from pydantic import SecretStr
from sqlalchemy import text, update
from typer.testing import CliRunner, Result

from polar.spec import StudySpec
from service.embedded.postgres import Postgres
from service.settings import Settings
from service.storage import studies, tracking
from service.storage.agents import code_version
from service.storage.database import Database
from service.storage.roles import Role
from service.storage.states import FindingsState, RunState
from service.storage.tables import Agent, FindingsRow, Run, Tracking
from service.studies.advancing import optuna_storage
from service.studies.optimiser import forget_study
from tests.service.cli.specs import as_json
from workers.tracking.server import MLflowServer
from workers.tracking.tracker import Tracker

if TYPE_CHECKING:
    from tests.processes import Mlflow
    from tests.service.conftest import SpecMaker, StudyMaker, Submitter, Trials, Worker

Doctor = Callable[..., "Seen"]


class Seen:
    """What the doctor has said, by the name of the check."""

    def __init__(self, result: Result) -> None:
        self.exit_code = result.exit_code
        self.checks: dict[str, dict[str, Any]] = {each["name"]: each for each in as_json(result)}

    def faults(self) -> set[str]:
        return {name for name, check in self.checks.items() if check["level"] == "fault"}

    def says(self, name: str) -> str:
        return str(self.checks[name]["says"])


def look(*options: str) -> Seen:
    from service.cli import app

    return Seen(CliRunner().invoke(app, ["doctor", *options, "-o", "json"]))


@pytest.fixture
def environment(
    settings: Settings, database_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> pytest.MonkeyPatch:
    """A service that is described by the environment, whose API is that of `served`."""
    for name, value in {
        "POLAR_DATABASE_URL": settings.database_url.get_secret_value(),
        "POLAR_OPTUNA_URL": database_url,
        "POLAR_ARTIFACTS": str(tmp_path),
        "POLAR_HOME": str(tmp_path),
        "POLAR_MLFLOW_URL": "http://127.0.0.1:9",
        "POLAR_CACHE_DIR": str(tmp_path),
    }.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


@pytest.fixture
async def told(
    environment: pytest.MonkeyPatch,
    served: str,
    mlflow: "Mlflow",
    submit: "Submitter",
    spec_of: "SpecMaker",
    worker: "Worker",
    database: Database,
    tmp_path: Path,
) -> UUID:
    """A run that has succeeded and that a real MLflow has; returns its id."""
    environment.setenv("POLAR_URL", served)
    environment.setenv("POLAR_MLFLOW_URL", mlflow.url)
    environment.setenv("POLAR_MLFLOW_TOKEN", mlflow.token)
    environment.setenv("MLFLOW_TRACKING_TOKEN", mlflow.token)
    await worker.announce()
    run_id = (await submit(spec_of())).runs[0].id
    await worker.claim(run_id)
    await worker.finish(run_id)
    await tell(database, mlflow, tmp_path)
    return run_id


async def tell(database: Database, mlflow: "Mlflow", folder: Path) -> None:
    async with MLflowServer(mlflow.url, SecretStr(mlflow.token)) as server:
        tracker = Tracker(database, server, folder)
        await tracker.tell_all()
        await tracker.close()


@pytest.mark.parametrize("code", ["0.0.1, science 1", None])
async def test_an_agent_with_other_code_than_the_api_is_named(
    code: str | None,
    environment: pytest.MonkeyPatch,
    served: str,
    worker: "Worker",
    database: Database,
) -> None:
    environment.setenv("POLAR_URL", served)
    await worker.announce()
    await worker.announce(name="other")
    async with database.transaction() as session:
        await session.execute(update(Agent).where(Agent.name == "other").values(code_version=code))

    seen = await asyncio.to_thread(look)

    assert seen.checks["agents"]["level"] == "warning"
    other = code or "an earlier version"
    assert seen.says("agents") == f"other runs {other}, and the API {code_version()}"


@pytest.mark.usefixtures("told")
async def test_a_service_without_faults_has_none() -> None:
    seen = await asyncio.to_thread(look)

    assert (seen.exit_code, seen.faults()) == (0, set())
    assert list(seen.checks) == [
        "versions", "devices", "disk of home", "disk of artifacts", "disk of caches", "api",
        "clock of the API", "database", "clock of the database", "connections", "schema", "agents",
        "queue", "MLflow", "Optuna",
    ]  # fmt: skip
    assert seen.says("MLflow").startswith(
        "runs in MLflow, counting trainings, trials and studies: 1;"
    )
    assert "torch" in seen.says("versions")


async def test_a_run_whose_findings_are_to_come_counts_as_one_that_mlflow_has(
    told: UUID, database: Database
) -> None:
    # Five of thirty runs were counted while the others waited for their findings.
    async with database.transaction() as session:
        await session.execute(update(Tracking).values(complete=False))
        session.add(FindingsRow(run_id=told, state=FindingsState.TO_COME))

    seen = await asyncio.to_thread(look)

    assert seen.says("MLflow") == (
        "runs in MLflow, counting trainings, trials and studies: 1; still being trained or "
        "waiting for findings: 1; trainings with news to copy: 0"
    )


async def test_a_run_that_mlflow_lacks_is_named_and_copied_again(
    told: UUID, database: Database, mlflow: "Mlflow", tmp_path: Path
) -> None:
    client = MlflowClient(mlflow.url)
    async with database.transaction() as session:
        position = await tracking.position_of(session, told)
    assert position is not None
    client.delete_run(position.mlflow_run_id)

    seen = await asyncio.to_thread(look)
    mended = await asyncio.to_thread(look, "--repair")
    await tell(database, mlflow, tmp_path)
    after = await asyncio.to_thread(look)

    assert (seen.exit_code, seen.faults()) == (1, {"MLflow"})
    assert position.mlflow_run_id in seen.says("MLflow")
    assert "--repair" in seen.checks["MLflow"]["do"]
    assert (mended.exit_code, mended.faults()) == (0, set())
    assert (after.exit_code, after.faults()) == (0, set())
    (again,) = client.search_runs(
        [position.mlflow_experiment_id], f"tags.`polar.run_id` = '{told}'"
    )
    assert again.info.run_id != position.mlflow_run_id


async def test_with_the_role_of_an_agent_it_says_what_it_may_not_look_at(
    environment: pytest.MonkeyPatch, postgres: Postgres, mlflow: "Mlflow", database_url: str
) -> None:
    name = urlsplit(database_url).path.removeprefix("/")
    environment.setenv("POLAR_DATABASE_URL", postgres.url(name, Role.AGENT))
    environment.setenv("POLAR_MLFLOW_URL", mlflow.url)
    environment.setenv("POLAR_MLFLOW_TOKEN", mlflow.token)

    seen = await asyncio.to_thread(look)

    assert {"versions", "disk of home", "schema", "agents", "queue"} <= seen.checks.keys()
    assert seen.checks["schema"]["level"] == "ok"
    for check in ("MLflow", "Optuna"):
        assert seen.checks[check]["level"] == "warning"
        assert "permission denied for table" in seen.says(check)
        assert "role polar_app" in seen.checks[check]["do"]


@pytest.mark.usefixtures("environment")
async def test_a_run_without_a_job_is_queued_again(
    submit: "Submitter",
    spec_of: "SpecMaker",
    worker: "Worker",
    database: Database,
) -> None:
    await worker.announce()
    run_id = (await submit(spec_of())).runs[0].id
    async with database.transaction() as session:
        await session.execute(text("delete from queue.procrastinate_jobs"))

    seen = await asyncio.to_thread(look)
    mended = await asyncio.to_thread(look, "--repair")
    after = await asyncio.to_thread(look)

    assert "queue" in seen.faults()
    assert "1 runs wait without a job" in seen.says("queue")
    assert "queue" not in mended.faults() | after.faults()
    async with database.transaction() as session:
        jobs = await session.scalars(
            text("select args ->> 'run_id' from queue.procrastinate_jobs")
        )
        assert list(jobs) == [str(run_id)]


@pytest.mark.usefixtures("environment")
async def test_a_run_whose_agent_is_gone_is_a_fault_and_is_mended(
    submit: "Submitter",
    spec_of: "SpecMaker",
    worker: "Worker",
    database: Database,
) -> None:
    run_id = (await submit(spec_of())).runs[0].id
    await worker.claim(run_id)
    async with database.transaction() as session:
        over = text("now() - interval '1 second'")
        lost_often = Settings.read().max_attempts - 1  # the agents may allow more than this shell
        await session.execute(update(Run).values(lease_until=over, losses=lost_often))

    seen = await asyncio.to_thread(look, "--repair")

    assert "queue" not in seen.faults()
    assert "1 runs had no job or no agent" in seen.says("queue")
    async with database.transaction() as session:
        assert (await session.get_one(Run, run_id)).state is RunState.QUEUED
    assert "agents" in seen.faults()  # none has announced itself


@pytest.mark.usefixtures("environment")
async def test_a_job_without_a_run_is_a_warning(
    submit: "Submitter",
    spec_of: "SpecMaker",
    database: Database,
) -> None:
    await submit(spec_of())
    async with database.transaction() as session:
        for table in ("transitions", "experiment_runs", "runs"):
            await session.execute(text(f"delete from app.{table}"))

    seen = await asyncio.to_thread(look)

    assert seen.checks["queue"]["level"] == "warning"
    assert seen.says("queue") == "1 jobs wait for runs that are gone"


@pytest.mark.usefixtures("environment")
async def test_trials_that_optuna_lacks_are_a_fault_that_stays(
    study_of: "StudyMaker",
    trials: "Trials",
    database: Database,
) -> None:
    async with database.transaction() as session:
        spec = StudySpec.model_validate(study_of(name="mine"))
        study_id = (await studies.create(session, spec, "d" * 64)).id
    storage = optuna_storage(Settings.read())
    number = storage.create_new_study([StudyDirection.MAXIMIZE], f"mine {study_id}")
    await trials.begin(study_id, beta=1)
    storage.create_new_trial(number)
    well = await asyncio.to_thread(look)
    forget_study(storage, study_id)
    storage.remove_session()
    storage.engine.dispose()

    seen = await asyncio.to_thread(look, "--repair")

    assert well.says("Optuna") == "it has the trials of all 1 studies"
    assert "Optuna" in seen.faults()
    assert str(study_id) in seen.says("Optuna")


@pytest.mark.usefixtures("environment")
async def test_an_older_schema_is_named_and_no_table_is_read(database_url: str) -> None:
    with psycopg.connect(database_url) as connection:
        connection.execute("update app.alembic_version set version_num = '0003'")

    seen = await asyncio.to_thread(look)

    assert "schema" in seen.faults()
    assert "is at migration 0003" in seen.says("schema")
    assert "queue" not in seen.checks


async def test_it_says_what_is_wrong_when_everything_is_down(
    environment: pytest.MonkeyPatch,
) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        port = nobody.getsockname()[1]
        environment.setenv("POLAR_DATABASE_URL", f"postgresql://a:b@127.0.0.1:{port}/app")
        environment.setenv("POLAR_API_PORT", str(port))

        seen = await asyncio.to_thread(look)

    assert seen.exit_code == 1
    assert seen.faults() == {"api", "database"}
    assert "does not answer" in seen.says("api")
    assert "does not answer" in seen.says("database")
    assert {"versions", "disk of artifacts"} <= seen.checks.keys()


def test_the_api_of_the_environment_goes_before_that_of_the_home(
    environment: pytest.MonkeyPatch,
) -> None:
    environment.setattr(
        "service.cli.doctor_machine.stack_of", lambda _home: ("http://127.0.0.1:1", None, None)
    )
    environment.setenv("POLAR_API_PORT", "9")

    seen = look()

    assert "http://127.0.0.1:9" in seen.says("api")


@pytest.mark.usefixtures("environment")
def test_a_home_beside_the_database_of_another_service_is_refused(tmp_path: Path) -> None:
    from service.cli import app

    said = CliRunner().invoke(app, ["doctor", "--home", str(tmp_path)])

    assert said.exit_code == 2
    assert "POLAR_DATABASE_URL names another" in " ".join(said.stderr.split())


def test_an_empty_home_is_to_be_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLAR_HOME", str(tmp_path / "new"))

    seen = look()

    assert seen.exit_code == 1
    assert seen.faults() == {"api", "settings"}
    assert "polar up" in seen.checks["api"]["do"]
    assert "database.json" in seen.says("settings")
    assert not (tmp_path / "new").exists()


def test_wrong_settings_are_named(
    environment: pytest.MonkeyPatch,
) -> None:
    environment.setenv("POLAR_LEASE_S", "soon")

    seen = look()

    assert "POLAR_LEASE_S is 'soon'" in seen.says("settings")
    assert seen.exit_code == 1


@pytest.mark.parametrize(
    ("free", "level"), [(2**40, "ok"), (3 * 2**30, "warning"), (2**20, "fault")]
)
def test_a_disk_is_judged_by_what_is_free(
    free: int, level: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POLAR_HOME", str(tmp_path))
    monkeypatch.setattr("shutil.disk_usage", lambda _path: type("Usage", (), {"free": free}))

    seen = look()

    assert seen.checks["disk of home"]["level"] == level
    assert ("polar clean" in seen.checks["disk of home"]["do"]) == (level != "ok")
