"""Migrations: they make the tables that the code declares, and can be taken back."""

import json
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from alembic import command
from alembic.script import ScriptDirectory

from migrations.newest import newest_revision
from service.embedded.postgres import Postgres
from service.exit_codes import LOCKED
from service.storage import migrate
from service.storage.database import Database
from service.storage.migrate import MIGRATION_LOCK, alembic_config, upgrade
from service.storage.revisions import revision_of


@pytest.fixture
def empty_url(postgres: Postgres) -> Iterator[str]:
    """A database that nobody has migrated."""
    name = f"empty_{uuid.uuid4().hex}"
    with psycopg.connect(postgres.url("postgres"), autocommit=True) as admin:
        admin.execute(f'CREATE DATABASE "{name}"')
        yield postgres.url(name)
        admin.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


def schema_of(url: str) -> set[tuple[str, ...]]:
    """All columns, indices, constraints and functions of both schemas."""
    query = """
        select table_schema, table_name, column_name, data_type, column_default, is_nullable
        from information_schema.columns where table_schema in ('app', 'queue')
        union all
        select schemaname, tablename, indexname, indexdef, '', ''
        from pg_indexes where schemaname in ('app', 'queue')
        union all
        select n.nspname, c.conrelid::regclass::text, c.conname,
            pg_get_constraintdef(c.oid), '', ''
        from pg_constraint c join pg_namespace n on n.oid = c.connamespace
        where n.nspname in ('app', 'queue')
        union all
        select n.nspname, p.proname, pg_get_functiondef(p.oid), '', '', ''
        from pg_proc p join pg_namespace n on n.oid = p.pronamespace
        where n.nspname in ('app', 'queue')
    """
    with psycopg.connect(url) as connection:
        return set(connection.execute(query).fetchall())


def test_the_migrations_make_the_tables_that_the_code_declares(empty_url: str) -> None:
    upgrade(empty_url)

    command.check(alembic_config(empty_url))  # raises where they differ


def test_migrations_can_be_taken_back_and_made_again(empty_url: str) -> None:
    upgrade(empty_url)
    before = schema_of(empty_url)

    command.downgrade(alembic_config(empty_url), "base")
    taken_back = schema_of(empty_url)
    upgrade(empty_url)

    assert {table for _, table, *_ in taken_back} == {"alembic_version", "app.alembic_version"}
    assert schema_of(empty_url) == before


def test_a_second_upgrade_changes_nothing(empty_url: str) -> None:
    upgrade(empty_url)
    before = schema_of(empty_url)

    upgrade(empty_url)

    assert schema_of(empty_url) == before


def test_two_processes_at_once_migrate_once(empty_url: str, database_url: str) -> None:
    command_line = [sys.executable, "-m", "service.storage.migrate"]
    environment = os.environ | {"POLAR_DATABASE_URL": empty_url}
    processes = [
        subprocess.Popen(command_line, env=environment, stderr=subprocess.PIPE) for _ in range(2)
    ]
    said = [process.communicate(timeout=120)[1] for process in processes]

    assert [process.returncode for process in processes] == [0, 0], said
    assert schema_of(empty_url) == schema_of(database_url)


def test_a_migration_that_cannot_have_a_table_lets_others_pass_and_tries_again(
    empty_url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(migrate, "PAUSE_S", 1.0)
    command.upgrade(alembic_config(empty_url), "0006")
    with (
        psycopg.connect(empty_url) as reader,
        psycopg.connect(empty_url, autocommit=True) as other,
        ThreadPoolExecutor() as threads,
    ):
        reader.execute("select from app.runs")  # and no end of its transaction
        migrating = threads.submit(upgrade, empty_url)
        _wait_for_waiting(other)

        other.execute("set statement_timeout = '30s'")
        other.execute("select from app.runs")  # would wait as long as the migration does
        reader.rollback()
        migrating.result()

    assert "a table is in use, next try in 1 s" in caplog.text


def _wait_for_waiting(connection: psycopg.Connection) -> None:
    """Return as soon as somebody waits for a table."""
    deadline = time.monotonic() + 60
    query = """
        select from pg_locks l join pg_database d on d.oid = l.database
        where d.datname = current_database() and l.relation is not null and not l.granted
    """
    while connection.execute(query).fetchone() is None:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_migration_that_never_gets_a_table_names_who_has_it(
    empty_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(migrate, "TRIES", 1)
    monkeypatch.setenv("POLAR_DATABASE_URL", empty_url)
    command.upgrade(alembic_config(empty_url), "0014")
    with psycopg.connect(empty_url) as reader:
        reader.execute("select from app.agents")
        holder = f"session {reader.info.backend_pid} of polar holds app.agents"

        with pytest.raises(SystemExit) as exit_:
            migrate.main()

    assert exit_.value.code == LOCKED
    assert f"error: a table is in use, also at try 1: {holder}" in capsys.readouterr().err
    upgrade(empty_url)


def test_what_it_logs_has_the_form_of_the_environment(empty_url: str) -> None:
    command.upgrade(alembic_config(empty_url), "0014")
    short = "from service.storage import migrate; migrate.TRIES, migrate.PAUSE_S = 2, 0"
    environment = {"POLAR_DATABASE_URL": empty_url, "POLAR_LOG_FORMAT": "json"}
    with psycopg.connect(empty_url) as reader:
        reader.execute("select from app.agents")
        done = subprocess.run(
            [sys.executable, "-c", f"{short}; migrate.main()"],
            env=os.environ | environment,
            capture_output=True,
            check=False,
        )

    assert done.returncode == LOCKED
    assert json.loads(done.stderr.splitlines()[0])["level"] == "warning"


def test_a_migration_that_never_ends_does_not_keep_the_next_one_for_ever(
    empty_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(migrate, "OTHERS_S", 1)
    monkeypatch.setenv("POLAR_DATABASE_URL", empty_url)
    with psycopg.connect(empty_url) as other:
        other.execute("select pg_advisory_lock(%s)", [MIGRATION_LOCK])

        with pytest.raises(SystemExit) as exit_:
            migrate.main()

    assert exit_.value.code == LOCKED
    assert "another process has been migrating this database for 1 s" in capsys.readouterr().err


def test_a_database_that_is_away_is_said_to_be(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("POLAR_DATABASE_URL", "postgresql://polar:secret@127.0.0.1:9/app")

    with pytest.raises(SystemExit, match="error: the database does not answer: connection failed"):
        migrate.main()

    assert "secret" not in capsys.readouterr().err


def test_studies_that_had_ended_are_told_and_those_that_go_on_are_not(empty_url: str) -> None:
    command.upgrade(alembic_config(empty_url), "0010")
    states = ("running", "paused", "cancelled", "completed", "failed")
    with psycopg.connect(empty_url) as connection:
        for state in (*states, "cancelled, a trial in flight"):
            _insert_study(connection, state)

    upgrade(empty_url)

    with psycopg.connect(empty_url) as connection:
        told: dict[str, bool] = dict(
            connection.execute("select name, is_told from app.studies").fetchall()
        )
    assert told == {
        "running": False,
        "paused": False,
        "cancelled": True,
        "completed": True,
        "failed": True,
        "cancelled, a trial in flight": False,
    }


def _insert_study(connection: psycopg.Connection, name: str) -> None:
    """A study in the state that its name begins with; what follows asks for a trial in flight."""
    state, _, in_flight = name.partition(", ")
    study = connection.execute(
        """
        insert into app.studies
            (id, name, spec, dataset_digest, state, trials_wanted, seeds_wanted, to_repeat,
             finished_at)
        values (gen_random_uuid(), %s, '{}', '', %s, 1, '[0]', '[]',
            case when %s in ('running', 'paused') then null else now() end)
        returning id
        """,
        (name, state, state),
    ).fetchone()
    assert study is not None
    if in_flight:
        connection.execute(
            """
            with experiment as (
                insert into app.experiments (id, name, spec, spec_hash)
                values (gen_random_uuid(), '', '{}', '') returning id
            )
            insert into app.trials (study_id, number, point, experiment_id, state)
            select %s, 0, '{}', id, 'running' from experiment
            """,
            study,
        )


async def test_a_database_says_which_schema_it_has(empty_url: str, database: Database) -> None:
    empty = Database(empty_url.replace("postgresql://", "postgresql+psycopg://"))

    async with empty.transaction() as session:
        of_empty = await revision_of(session)
    async with database.transaction() as session:
        of_migrated = await revision_of(session)
    await empty.close()

    assert of_empty is None
    assert of_migrated == newest_revision()


def test_the_names_of_the_files_say_which_revision_is_the_newest() -> None:
    script = ScriptDirectory.from_config(alembic_config(""))

    assert newest_revision() == script.get_current_head()
