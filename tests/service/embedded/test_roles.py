"""What each role may do in a server that `polar up` has prepared, and what it may not."""

import json
import os
import re
import subprocess
import sys
from contextlib import nullcontext, suppress
from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest
from alembic import command
from psycopg.errors import InsufficientPrivilege, UndefinedObject

from service.embedded.errors import EmbeddedError
from service.embedded.postgres import SETTINGS, Postgres
from service.embedded.supervisor import prepare
from service.queue import RESCUE_LOCK
from service.storage import roles
from service.storage.all_tables import Base
from service.storage.errors import DatabaseLocked
from service.storage.grants import OF_AGENTS
from service.storage.migrate import alembic_config
from service.storage.roles import DATABASES, GUESTS, Role
from service.storage.tracking import TRACKER_LOCK

#: What only a superuser may do, or who owns what it is done to.
FORBIDDEN = (
    "copy (select 1) to program 'true'",
    "create temporary table stolen (line text)",
    "copy pg_db_role_setting from program 'id'",
    "select pg_read_file('/etc/passwd')",
    "select pg_ls_dir('/')",
    "select lo_import('/etc/passwd')",
    "create role other superuser",
    "alter role polar password 'mine'",
    "alter role polar_owner password 'mine'",
    "set role polar",
    "alter system set fsync = off",
    "create database other",
    "create extension file_fdw",
    "select rolpassword from pg_authid",
    "create table public.mine ()",
    "create schema mine",
    "create function app.mine() returns int language sql as 'select 1'",
    "drop table app.runs",
    "truncate app.runs",
    "alter table app.runs disable trigger all",
    "create index on app.runs (seed)",
    "update app.alembic_version set version_num = '0001'",
    "alter database app set fsync = off",
)


def connect(server: Postgres, database: str, role: Role) -> psycopg.Connection:
    return psycopg.connect(server.url(database, role), autocommit=True)


@pytest.mark.parametrize("statement", FORBIDDEN)
@pytest.mark.parametrize("role", [Role.APP, Role.AGENT])
def test_a_program_has_no_more_rights_than_it_needs(
    server: Postgres, role: Role, statement: str
) -> None:
    with connect(server, "app", role) as connection, pytest.raises(InsufficientPrivilege):
        connection.execute(statement)


#: What everybody can do in Postgres unless it is taken from them, to whom others wait for it.
IN_THE_WAY = (
    "select pg_try_advisory_lock(7205303)",  # the tracker's
    "select pg_try_advisory_lock(7205301)",  # that of migrations
    "select pg_advisory_xact_lock_shared(7205301)",
    "select pg_try_advisory_lock(1, 2)",
    "select lo_create(0)",
    "select lo_from_bytea(0, 'x')",
    "select lo_put(1, 0, 'x')",
    "select pg_logical_emit_message(false, 'a', 'b')",
    "select pg_export_snapshot()",
)


@pytest.mark.parametrize("statement", IN_THE_WAY)
@pytest.mark.parametrize(
    ("database", "role", "keeper"),
    [("app", Role.AGENT, Role.APP), ("optuna", Role.VIEWER, Role.OPTUNA)],
)
def test_a_password_that_leaves_the_machine_stops_no_program_and_fills_no_disk(
    server: Postgres, database: str, role: Role, keeper: Role, statement: str
) -> None:
    with connect(server, database, role) as guest, pytest.raises(InsufficientPrivilege):
        guest.execute(statement)
    with psycopg.connect(server.url(database, keeper)) as program:
        with suppress(UndefinedObject):  # there is no large object
            program.execute(statement)
        program.rollback()


def test_agents_take_the_lock_of_rescues(server: Postgres) -> None:
    with psycopg.connect(server.url("app", Role.AGENT)) as agent:
        found = agent.execute("select pg_try_advisory_xact_lock(%s, 0)", [RESCUE_LOCK]).fetchone()

    assert found == (True,)


@pytest.mark.parametrize("role", Role)
def test_agents_and_notebooks_leave_connections_to_others(server: Postgres, role: Role) -> None:
    query = "select rolconnlimit from pg_roles where rolname = %s"
    with psycopg.connect(server.url("postgres")) as connection:
        limit = connection.execute(query, [role]).fetchone()

    assert SETTINGS["max_connections"] == "240"
    assert limit == ({Role.AGENT: 180, Role.VIEWER: 24}.get(role, -1),)


@pytest.mark.parametrize(
    "statement",
    [
        *(f"update app.runs set {name} = {name}" for name in ("spec", "seed", "key", "problem")),
        "update app.runs set cancel_requested = true",
        "lock table app.runs in share mode",
        "lock table app.runs in access exclusive mode",
    ],
)
def test_an_agent_changes_only_what_becomes_of_a_run(server: Postgres, statement: str) -> None:
    with psycopg.connect(server.url("app", Role.AGENT)) as agent:
        agent.execute("update app.runs set state = state, progress = progress")
        agent.execute("select state from app.runs for update skip locked")
        with pytest.raises(InsufficientPrivilege):
            agent.execute(statement)


@pytest.mark.parametrize("role", Role)
def test_nobody_but_the_bootstrap_role_can_rule_the_server(server: Postgres, role: Role) -> None:
    query = """
        select rolsuper, rolcreaterole, rolcreatedb, rolreplication, rolbypassrls
        from pg_roles where rolname = %s
    """
    with psycopg.connect(server.url("postgres")) as connection:
        assert connection.execute(query, [role]).fetchone() == (False,) * 5
        members = connection.execute(
            "select from pg_auth_members where member = %s::regrole", [role]
        )
        assert members.fetchall() == []


@pytest.mark.parametrize("role", Role)
def test_a_role_connects_to_its_own_database_alone(server: Postgres, role: Role) -> None:
    own = {name for name, owner in DATABASES.items() if role in (owner, *GUESTS[name])}
    opened = set()
    for name in (*DATABASES, "postgres", "template1"):
        try:
            connect(server, name, role).close()
        except psycopg.OperationalError as error:
            assert "permission denied for database" in str(error)  # noqa: PT017
        else:
            opened.add(name)

    assert opened == own


def test_the_rights_of_agents_name_every_table() -> None:
    # A new table is in neither list: write down here what agents do with it.
    assert {f"app.{name}" for name in OF_AGENTS} == set(Base.metadata.tables)


@pytest.mark.parametrize("table", OF_AGENTS)
def test_an_agent_may_do_with_a_table_what_is_written_down_and_nothing_else(
    server: Postgres, table: str
) -> None:
    whole = re.sub(r", \w+ \([^)]*\)", "", OF_AGENTS[table])  # not the rights on some columns
    wanted = {right for right in whole.split(", ") if right}
    query = """
        select privilege from unnest(%s::text[]) privilege
        where has_table_privilege('polar_agent', %s, privilege)
    """
    rights = ["select", "insert", "update", "delete", "truncate", "trigger", "maintain"]
    with connect(server, "app", Role.OWNER) as owner:
        found = owner.execute(query, [rights, f"app.{table}"]).fetchall()

    assert {right for (right,) in found} == wanted


@pytest.mark.parametrize("table", ["tokens", "idempotency_keys", "studies"])
def test_an_agent_reads_no_tokens_answers_and_studies(server: Postgres, table: str) -> None:
    with connect(server, "app", Role.AGENT) as agent, pytest.raises(InsufficientPrivilege):
        agent.execute(f"select * from app.{table}")


def test_the_dashboard_reads_what_the_broker_makes_and_changes_nothing(server: Postgres) -> None:
    with connect(server, "optuna", Role.OPTUNA) as broker:
        broker.execute("create table studies (name text)")
        broker.execute("insert into studies values ('mine')")
    with connect(server, "optuna", Role.VIEWER) as viewer:
        seen = viewer.execute("select name from studies").fetchall()
        for statement in ("delete from studies", "create table mine ()", "drop table studies"):
            with pytest.raises(InsufficientPrivilege):
                viewer.execute(statement)

    assert seen == [("mine",)]


@pytest.fixture
def earlier_home(home: Path) -> Path:
    """A home as earlier versions left it: one role owns all, and rows are in all databases."""
    with Postgres(home) as server:
        with psycopg.connect(server.url("postgres"), autocommit=True) as admin:
            for name in DATABASES:
                admin.execute(f"create database {name}")
        command.upgrade(alembic_config(server.url("app")), "head")
        with psycopg.connect(server.url("app")) as app:
            app.execute(
                "insert into app.experiments (id, name, spec, spec_hash) "
                "values (gen_random_uuid(), 'kept', '{}', '')"
            )
        for name in ("mlflow", "optuna"):
            with psycopg.connect(server.url(name)) as connection:
                connection.execute("create type colour as enum ('red')")
                connection.execute("create table kept (id serial primary key, colour colour)")
                connection.execute("insert into kept (colour) values ('red')")
                connection.execute("create view seen as select * from kept")
    credentials = json.loads((home / "database.json").read_text())
    del credentials["roles"]
    (home / "database.json").write_text(json.dumps(credentials))
    return home


def test_a_home_of_an_earlier_version_is_handed_over_with_all_its_rows(earlier_home: Path) -> None:
    owners = """
        select distinct pg_get_userbyid(relowner) from pg_class
        join pg_namespace n on n.oid = relnamespace
        where nspname !~ '^pg_' and nspname <> 'information_schema'
        union select pg_get_userbyid(proowner) from pg_proc
        join pg_namespace n on n.oid = pronamespace and nspname in ('app', 'queue', 'public')
        union select pg_get_userbyid(typowner) from pg_type
        join pg_namespace n on n.oid = typnamespace and nspname in ('app', 'queue', 'public')
        union select pg_get_userbyid(datdba) from pg_database where datname = current_database()
    """
    with Postgres(earlier_home) as server:
        prepare(server)
        prepare(server)  # at the next start

        for name, owner in DATABASES.items():
            with connect(server, name, owner) as connection:
                assert connection.execute(owners).fetchall() == [(owner,)]
        with connect(server, "app", Role.APP) as app:
            assert app.execute("select name from app.experiments").fetchall() == [("kept",)]
        for role in (Role.OPTUNA, Role.VIEWER):
            with connect(server, "optuna", role) as optuna:
                assert optuna.execute("select * from seen").fetchall() == [(1, "red")]
        with connect(server, "mlflow", Role.MLFLOW) as mlflow:
            mlflow.execute("insert into kept (colour) values ('red')")
            mlflow.execute("alter table kept add column more int")
        command.downgrade(alembic_config(server.url("app", Role.OWNER)), "base")


def test_a_role_that_cannot_log_in_any_more_gets_its_password_at_the_next_start(
    made_home: Path,
) -> None:
    with Postgres(made_home) as server:
        with psycopg.connect(server.url("postgres"), autocommit=True) as admin:
            admin.execute(f"alter role {Role.APP} password 'forgotten' superuser")
        prepare(server)

        with connect(server, "app", Role.APP) as app, pytest.raises(InsufficientPrivilege):
            app.execute("select pg_read_file('/etc/passwd')")


def test_the_program_makes_roles_with_the_passwords_of_its_environment(made_home: Path) -> None:
    with Postgres(made_home) as server:
        new = {role.password_variable: f"{role}'s \N{SNOWMAN} %40" for role in Role}
        done = roles_program({"POLAR_SUPERUSER_URL": server.url("postgres"), **new})
        for name, owner in DATABASES.items():
            for role in (owner, *GUESTS[name]):
                server.passwords[role] = quote(new[role.password_variable])
                connect(server, name, role).close()

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, "not set: POLAR_SUPERUSER_URL, POLAR_OWNER_PASSWORD, POLAR_APP_PASSWORD"),
        (
            {"POLAR_SUPERUSER_URL": "nonsense"}
            | {role.password_variable: "secret" for role in Role},
            "POLAR_SUPERUSER_URL: this is not the address of a PostgreSQL database",
        ),
        (
            {"POLAR_SUPERUSER_URL": "postgresql://polar:secret@127.0.0.1:9/app"}
            | {role.password_variable: "secret" for role in Role},
            "the roles cannot be made: connection failed",
        ),
    ],
)
def test_the_program_says_what_is_missing_or_wrong(given: dict[str, str], words: str) -> None:
    done = roles_program(given)

    assert done.returncode == 1
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert "secret" not in done.stderr


def roles_program(environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "service.storage.roles"],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (roles.ROLES_LOCK, "another process is making the roles"),
        (TRACKER_LOCK, None),  # which the tracker keeps as long as it lives
    ],
)
def test_roles_wait_for_each_other_alone(
    server: Postgres, number: int, words: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(roles._OPTIONS, "options", "-c lock_timeout=100ms")
    refused = nullcontext() if words is None else pytest.raises(DatabaseLocked, match=words)
    with psycopg.connect(server.url("app")) as holder:
        holder.execute("select pg_advisory_lock(%s)", [number])
        with refused:
            roles.prepare(server.url("app"), server.passwords)


def test_a_stack_whose_roles_cannot_be_made_says_why(
    server: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(roles._OPTIONS, "options", "-c lock_timeout=100ms")
    with psycopg.connect(server.url("postgres")) as holder:
        holder.execute("select pg_advisory_lock(%s)", [roles.ROLES_LOCK])
        with pytest.raises(EmbeddedError, match="roles cannot be made: another process"):
            prepare(server)


def test_the_server_is_sent_no_passwords(server: Postgres) -> None:
    # What it is sent, it may write to its log, as it does with statements that fail.
    with psycopg.connect(server.url("postgres"), autocommit=True) as admin:
        admin.execute("alter system set log_statement = 'all'")
        admin.execute("select pg_reload_conf()")
        prepare(server)
        admin.execute("alter system reset log_statement")
        admin.execute("select pg_reload_conf()")
    log = (server.home / "log" / "postgres.log").read_text()

    assert 'alter role "polar_app"' in log
    assert not [role for role, password in server.passwords.items() if password in log]


def test_what_a_role_does_to_itself_does_not_outlast_the_next_start(server: Postgres) -> None:
    with connect(server, "app", Role.AGENT) as thief:
        thief.execute("alter role polar_agent password 'mine'")
        thief.execute("alter role polar_agent set default_transaction_read_only = on")
        thief.execute("alter role polar_agent in database app set search_path = pg_temp")

    prepare(server)

    with connect(server, "app", Role.AGENT) as agent:
        assert agent.execute("show default_transaction_read_only").fetchone() == ("off",)
        assert agent.execute("show search_path").fetchone() == ('"$user", public',)
