"""`python -m service.storage.migrate`: bring the database to the newest schema.

The environment variable POLAR_DATABASE_URL says which database, and its owner's password. Exit
codes: FAILED when the database refuses, LOCKED when somebody keeps us from it for long.
"""

import logging
import os
import sys
import time
from typing import Any, Final

import psycopg
from alembic import command
from alembic.config import Config
from psycopg import Connection
from psycopg.errors import LockNotAvailable
from sqlalchemy.exc import DBAPIError

from polar.errors import InvalidInput
from service import logs
from service.database_urls import libpq_url
from service.exit_codes import LOCKED
from service.storage import grants
from service.storage.errors import DatabaseLocked

#: Arbitrary number of the Postgres lock that lets only one process migrate at a time.
MIGRATION_LOCK = 7_205_301
#: How long to wait for another process that migrates.
OTHERS_S = 300
#: A migration waits for a table for 5 s, because all others queue up behind it. Then it lets them
#: pass and tries again after this pause.
PAUSE_S = 5.0
TRIES = 5

_HOLDERS: Final = """
select distinct format('session %s of %s holds %s', l.pid, a.usename, l.relation::regclass)
from pg_locks l
join pg_stat_activity a on a.pid = l.pid
join pg_class c on c.oid = l.relation and c.relkind = 'r'
join pg_namespace n on n.oid = c.relnamespace and n.nspname in ('app', 'queue')
where l.granted and a.datname = current_database() and l.pid <> pg_backend_pid()
limit 5
"""

_log = logging.getLogger(__name__)


def alembic_config(database_url: str) -> Config:
    """Alembic's configuration for the installed migrations."""
    config = Config()
    config.set_main_option("script_location", "migrations:")
    config.set_main_option("path_separator", "os")
    config.attributes["database_url"] = database_url
    return config


def upgrade(database_url: str) -> None:
    """Run all migrations that this database lacks, and give the roles their rights.

    Only one process does so at a time.

    Args:
        database_url: `postgresql://user:password@host:port/name`.

    Raises:
        InvalidInput: the URL is not of this form.
        DatabaseLocked: another process migrates for long, or holds a table.
    """
    with psycopg.connect(libpq_url(database_url), autocommit=True) as connection:
        _wait_for_others(connection)
        for tries_left in reversed(range(TRIES)):
            try:
                command.upgrade(alembic_config(database_url), "head")
                grants.give(connection)
                return
            except (LockNotAvailable, DBAPIError) as error:
                if not _is_locked(error):
                    raise
                holders = "; ".join(name for (name,) in connection.execute(_HOLDERS)) or "gone now"
                if not tries_left:
                    raise DatabaseLocked(
                        f"a table is in use, also at try {TRIES}: {holders}. What was migrated "
                        "before is kept. Stop that program, or end the session with "
                        "pg_terminate_backend, and migrate again."
                    ) from error
                _log.warning("a table is in use, next try in %.0f s: %s", PAUSE_S, holders)
                time.sleep(PAUSE_S)


def _wait_for_others(connection: Connection[Any]) -> None:
    connection.execute(f"set lock_timeout = '{OTHERS_S}s'")
    try:
        connection.execute("select pg_advisory_lock(%s)", [MIGRATION_LOCK])
    except LockNotAvailable:
        raise DatabaseLocked(
            f"another process has been migrating this database for {OTHERS_S} s; see its log"
        ) from None
    connection.execute("set lock_timeout = '5s'")


def _is_locked(error: BaseException) -> bool:
    return isinstance(error.orig if isinstance(error, DBAPIError) else error, LockNotAvailable)


def main() -> None:
    logs.set_up(logging.WARNING)
    url = os.environ.get("POLAR_DATABASE_URL")
    if not url:
        sys.exit("error: POLAR_DATABASE_URL is not set: say which database to migrate")
    try:
        upgrade(url)
    except InvalidInput as error:
        sys.exit(f"error: POLAR_DATABASE_URL: {error}")
    except DatabaseLocked as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(LOCKED)
    except psycopg.OperationalError as error:
        sys.exit(f"error: the database does not answer: {error}")


if __name__ == "__main__":
    main()
