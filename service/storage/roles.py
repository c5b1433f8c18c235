"""`python -m service.storage.roles`: who may open which database of a server of Postgres.

    database   owned by        others who may connect
    app        polar_owner     polar_app, polar_agent    rights on tables: service.storage.grants
    mlflow     polar_mlflow
    optuna     polar_optuna    polar_viewer, who reads

None of them is a superuser or makes roles and databases, and those whose passwords leave this
machine can neither hold what others wait for nor all connections. The program makes all that is
missing, and gives databases of earlier versions, which belonged to one role, to their owners; it
may be repeated at any time. It reads the address of a superuser from POLAR_SUPERUSER_URL, and the
passwords from POLAR_OWNER_PASSWORD, POLAR_APP_PASSWORD and so on.
"""

import math
import os
import sys
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Any

import psycopg
from psycopg import Connection, sql
from psycopg.errors import LockNotAvailable

from polar.errors import InvalidInput
from service.database_urls import libpq_url
from service.storage.errors import DatabaseLocked


class Role(StrEnum):
    """A role of Postgres, which programs of ours log in as."""

    #: Owns our tables and changes them in migrations.
    OWNER = "polar_owner"
    #: API, broker and tracker.
    APP = "polar_app"
    #: Agents.
    AGENT = "polar_agent"
    #: MLflow, in a database of its own.
    MLFLOW = "polar_mlflow"
    #: The broker, where it speaks with Optuna.
    OPTUNA = "polar_optuna"
    #: Who looks at studies in Optuna's database: the dashboard, notebooks.
    VIEWER = "polar_viewer"

    @property
    def password_variable(self) -> str:
        return f"POLAR_{self.name}_PASSWORD"


#: The owner of each database.
DATABASES = {"app": Role.OWNER, "mlflow": Role.MLFLOW, "optuna": Role.OPTUNA}
#: Who else may connect to it.
GUESTS = {"app": (Role.APP, Role.AGENT), "mlflow": (), "optuna": (Role.VIEWER,)}

#: Which part of the server's connections roles may have whose passwords leave this machine.
PARTS = {Role.AGENT: 0.75, Role.VIEWER: 0.1}
#: Functions of Postgres that everybody could call, and that are left to owners and programs:
#: advisory locks for which our programs wait, large objects, which no right keeps anybody from
#: making, and what writes to the server's log and folders. Agents keep locks of two numbers, which
#: no lock of one number meets: they rescue runs one at a time (`service.queue`).
_TAKEN = """
select oid::regprocedure::text from pg_proc
where pronamespace = 'pg_catalog'::regnamespace
    and has_function_privilege('public', oid, 'execute')
    and (proname ~ '^(pg_advisory_|pg_try_advisory_|lo_)'
        or proname in ('loread', 'lowrite', 'pg_logical_emit_message', 'pg_export_snapshot'))
    and oid <> 'pg_try_advisory_xact_lock(int, int)'::regprocedure
"""

#: Arbitrary number of the Postgres lock that lets only one process do this at a time.
ROLES_LOCK = 7_205_304
#: A program that is in the way of a change is not waited for, because others would wait behind us.
_OPTIONS: dict[str, Any] = {"autocommit": True, "options": "-c lock_timeout=5s"}

#: Statements that give everything in a database to the role, apart from what belongs to the server
#: or to extensions, and from what follows its table.
_HAND_OVER = """
with foreign_to as (select oid from pg_roles where rolname = %(role)s),
ours as (
    select oid, nspname, nspowner from pg_namespace
    where nspname !~ '^pg_' and nspname <> 'information_schema'
),
objects (rank, kind, name, owner, class, id) as (
    select 0, 'schema', quote_ident(nspname), nspowner, 'pg_namespace'::regclass, oid
    from ours where nspname <> 'public'
    union all
    select 1, case c.relkind when 'c' then 'type' else 'table' end, c.oid::regclass::text,
        c.relowner, 'pg_class'::regclass, c.oid
    from pg_class c join ours on ours.oid = c.relnamespace
    where c.relkind in ('r', 'p', 'v', 'm', 'f', 'S', 'c')
    union all
    select 2, 'routine', p.oid::regprocedure::text, p.proowner, 'pg_proc'::regclass, p.oid
    from pg_proc p join ours on ours.oid = p.pronamespace
    union all
    select 3, 'type', t.oid::regtype::text, t.typowner, 'pg_type'::regclass, t.oid
    from pg_type t join ours on ours.oid = t.typnamespace
    where t.typtype in ('e', 'd')
)
select format('alter %%s %%s owner to %%I', kind, name, %(role)s::text)
from objects where owner not in (select oid from foreign_to) and not exists (
    select from pg_depend d
    where d.classid = class and d.objid = id and d.objsubid = 0 and d.deptype in ('a', 'i', 'e')
        and (d.deptype = 'e' or d.refobjsubid > 0)
)
order by rank, name
"""


def prepare(superuser_url: str, passwords: Mapping[Role, str]) -> None:
    """Make roles and databases on a server, or bring those of an earlier version up to date.

    Raises:
        InvalidInput: the URL is not `postgresql://user:password@host:port/name`.
        DatabaseLocked: another process makes the roles, or a program holds a table.
        psycopg.Error: the server is away, or refuses.
    """
    with psycopg.connect(libpq_url(superuser_url), **_OPTIONS) as server:
        _wait_for_others(server)
        make_roles(server, passwords)
        try:
            for name in DATABASES:
                make_database(server, superuser_url, name)
        except LockNotAvailable:
            raise DatabaseLocked(
                "a program uses a table that is to change its owner; stop it, or try again"
            ) from None


def _wait_for_others(server: Connection[Any]) -> None:
    try:
        server.execute("select pg_advisory_lock(%s)", [ROLES_LOCK])
    except LockNotAvailable:
        raise DatabaseLocked(
            "another process is making the roles of this server; try again when it has ended"
        ) from None


def make_roles(server: Connection[Any], passwords: Mapping[Role, str]) -> None:
    """Make the roles that are missing, and give all of them these passwords."""
    present = {name for (name,) in server.execute("select rolname from pg_roles")}
    query = "select current_setting('max_connections')::int"
    (most,) = server.execute(query).fetchone() or (0,)
    for role in Role:
        # The server gets no password, which it might log, but what it stores of one.
        verifier = server.pgconn.encrypt_password(
            passwords[role].encode(), role.encode(), b"scram-sha-256"
        )
        statement = sql.SQL(
            "{} role {} login nosuperuser nocreatedb nocreaterole noreplication nobypassrls"
            " connection limit {} password {}"
        ).format(
            sql.SQL("alter" if role in present else "create"),
            sql.Identifier(role),
            math.ceil(PARTS[role] * most) if role in PARTS else -1,
            verifier.decode(),
        )
        server.execute(statement)
        _forget_settings(server, role)


def _forget_settings(server: Connection[Any], role: Role) -> None:
    """Take back the settings that a role has given itself, which would outlast its password."""
    name = sql.Identifier(role)
    server.execute(sql.SQL("alter role {} reset all").format(name))
    query = """
        select datname from pg_db_role_setting
        join pg_database on pg_database.oid = setdatabase
        where setrole = %s::regrole
    """
    for (database,) in server.execute(query, [role]).fetchall():
        reset = sql.SQL("alter role {} in database {} reset all")
        server.execute(reset.format(name, sql.Identifier(database)))


def make_database(server: Connection[Any], superuser_url: str, name: str) -> None:
    """Make a database if it is missing, and let in its owner and its guests alone."""
    owner, database = sql.Identifier(DATABASES[name]), sql.Identifier(name)
    is_there = server.execute("select 1 from pg_database where datname = %s", [name]).fetchone()
    if not is_there:
        server.execute(sql.SQL("create database {} owner {}").format(database, owner))
    server.execute(sql.SQL("alter database {} owner to {}").format(database, owner))
    server.execute(sql.SQL("revoke all on database {} from public").format(database))
    for guest in GUESTS[name]:
        let_in = sql.SQL("grant connect on database {} to {}")
        server.execute(let_in.format(database, sql.Identifier(guest)))
    with psycopg.connect(libpq_url(superuser_url), dbname=name, **_OPTIONS) as inside:
        hand_over = inside.execute(_HAND_OVER, {"role": DATABASES[name]}).fetchall()
        for (statement,) in hand_over:
            inside.execute(statement)
        _take_from_guests(inside, {DATABASES[name], *GUESTS[name]} - PARTS.keys())
        if name == "optuna":
            _let_see(inside)


def _take_from_guests(inside: Connection[Any], keepers: Iterable[Role]) -> None:
    """Leave what everybody could call to these roles alone."""
    for (function,) in inside.execute(_TAKEN).fetchall():
        # Granted first, so that nobody is without it if this ends in between.
        inside.execute(f"grant execute on function {function} to {', '.join(keepers)}")
        inside.execute(f"revoke execute on function {function} from public")


def _let_see(optuna: Connection[Any]) -> None:
    """Let the viewer read all tables that Optuna has made, and those that it will make."""
    optuna.execute(f"grant select on all tables in schema public to {Role.VIEWER}")
    optuna.execute(
        f"alter default privileges for role {Role.OPTUNA} in schema public"
        f" grant select on tables to {Role.VIEWER}"
    )


def main() -> None:
    names = ["POLAR_SUPERUSER_URL", *(role.password_variable for role in Role)]
    if missing := [name for name in names if not os.environ.get(name)]:
        sys.exit(f"error: not set: {', '.join(missing)}")
    passwords = {role: os.environ[role.password_variable] for role in Role}
    try:
        prepare(os.environ["POLAR_SUPERUSER_URL"], passwords)
    except InvalidInput as error:
        sys.exit(f"error: POLAR_SUPERUSER_URL: {error}")
    except DatabaseLocked as error:
        sys.exit(f"error: {error}")
    except psycopg.Error as error:
        sys.exit(f"error: the roles cannot be made: {error}")


if __name__ == "__main__":
    main()
