"""Opening a study with Optuna itself, in Python that was printed."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

import psycopg
import pytest
from optuna.storages import RDBStorage
from sqlalchemy import NullPool

from polar.spec import StudySpec
from service.embedded.postgres import Postgres
from service.embedded.running import RunningStack, publish
from service.embedded.state import lock
from service.storage.roles import Role, make_database
from service.studies.optimiser import Optimiser

if TYPE_CHECKING:
    from tests.service.cli.conftest import Polar, Write
    from tests.service.conftest import Worker

SPEC = """
name: it's "mine"
base: {dataset: {name: digits}, model: {}}
search: {model.beta: {log_uniform: [1e-2, 100]}}
"""


@pytest.fixture
async def study_id(polar: "Polar", write: "Write", worker: "Worker") -> UUID:
    await worker.announce()
    result = await polar("study", "create", write(SPEC), "-o", "json")
    return UUID(json.loads(result.stdout)["id"])


@pytest.fixture
def optuna_url(postgres: Postgres) -> Iterator[str]:
    """Optuna's database, by the name that it has beside ours, as the broker opens it."""
    url = postgres.url("postgres")
    with psycopg.connect(url, autocommit=True) as admin:
        make_database(admin, url, "optuna")
        yield postgres.url("optuna", Role.OPTUNA)
        admin.execute("DROP DATABASE optuna WITH (FORCE)")


def begin(study_id: UUID, optuna_url: str) -> None:
    """As the broker does."""
    storage = RDBStorage(
        optuna_url.replace("postgresql:", "postgresql+psycopg:"),
        engine_kwargs={"poolclass": NullPool},
    )
    Optimiser(storage, study_id, StudySpec.from_yaml(SPEC)).ask([], [], question="")


def trials_by(lines: list[str]) -> str:
    """What these lines of Python have opened."""
    program = "\n".join([*lines, "print(study.study_name, len(study.trials))"])
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


async def test_the_printed_lines_open_the_study_of_the_home(
    study_id: UUID,
    polar: "Polar",
    served: str,
    postgres: Postgres,
    optuna_url: str,
    tmp_path: Path,
) -> None:
    begin(study_id, optuna_url)
    (tmp_path / "database.json").write_bytes((postgres.home / "database.json").read_bytes())

    with lock(tmp_path):
        publish(tmp_path, RunningStack(served, "", "", os.getpid(), {}, "the home"))
        result = await polar("study", "dsn", study_id, "--home", tmp_path)

    storage, study, _, *lines = result.stdout.splitlines()
    to_read = postgres.url("optuna", Role.VIEWER)
    assert storage.split() == ["storage", to_read.replace("sql:", "sql+psycopg:")]
    assert study == f'study    it\'s "mine" {study_id}'
    assert trials_by(lines) == f'it\'s "mine" {study_id} 1'


@pytest.mark.parametrize("name", ["POLAR_DATABASE_URL", "POLAR_OPTUNA_URL"])
async def test_the_environment_names_the_database_where_there_is_no_home(
    name: str,
    study_id: UUID,
    polar: "Polar",
    postgres: Postgres,
    optuna_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    begin(study_id, optuna_url)
    database = "app" if name == "POLAR_DATABASE_URL" else "optuna"
    monkeypatch.setenv(name, postgres.url(database))

    result = await polar("study", "dsn", study_id)

    assert trials_by(result.stdout.splitlines()[-2:]).endswith(" 1")


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("POLAR_DATABASE_URL", "secret-nonsense", "not the address of a PostgreSQL database"),
        ("POLAR_OPTUNA_URL", "mysql://u:secret@h/db", "not the address of a PostgreSQL database"),
        ("POLAR_LEASE_S", "soon", "wrong settings: POLAR_LEASE_S is 'soon'; allowed: a number"),
    ],
)
async def test_wrong_settings_are_named_and_passwords_not_shown(
    polar: "Polar",
    study_id: UUID,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    value: str,
    words: str,
) -> None:
    monkeypatch.setenv("POLAR_DATABASE_URL", "postgresql://polar@localhost/app")
    monkeypatch.setenv(name, value)

    result = await polar("study", "dsn", study_id)

    assert result.exit_code == 2
    assert words in " ".join(result.output.split())
    assert name in result.output
    assert "secret" not in result.output


async def test_a_home_of_another_service_is_not_taken_for_this_ones(
    study_id: UUID, polar: "Polar", served: str, tmp_path: Path
) -> None:
    with lock(tmp_path):
        other = RunningStack("http://127.0.0.1:1", "", "", os.getpid(), {}, "the home")
        publish(tmp_path, other)
        result = await polar("study", "dsn", study_id, "--home", tmp_path)

    assert result.exit_code == 2
    assert result.stdout == ""
    assert f"the database of {served} is not in {tmp_path}" in result.stderr
    assert "POLAR_OPTUNA_URL" in result.stderr


async def test_a_password_that_is_gone_is_said_to_be(
    study_id: UUID, polar: "Polar", served: str, tmp_path: Path
) -> None:
    with lock(tmp_path):
        publish(tmp_path, RunningStack(served, "", "", os.getpid(), {}, "the home"))
        result = await polar("study", "dsn", study_id, "--home", tmp_path)

    assert result.exit_code == 2
    assert "there is no" in result.stderr
    assert "database.json" in result.stderr


async def test_the_api_never_tells_the_password(
    study_id: UUID, polar: "Polar", postgres: Postgres
) -> None:
    shown = await polar("study", "show", study_id, "-o", "json")

    assert study_id.hex[:8] in shown.stdout
    assert not [role for role, secret in postgres.passwords.items() if secret in shown.stdout]
