"""`python -m service.storage.migrate`: bring the database to the newest schema.

The environment variable POLAR_DATABASE_URL says which database.
"""

import os
import sys

import psycopg
from alembic import command
from alembic.config import Config

from polar.errors import InvalidInput
from service.database_urls import libpq_url

#: Arbitrary number of the Postgres lock that lets only one process migrate at a time.
MIGRATION_LOCK = 7_205_301


def alembic_config(database_url: str) -> Config:
    """Alembic's configuration for the installed migrations."""
    config = Config()
    config.set_main_option("script_location", "migrations:")
    config.set_main_option("path_separator", "os")
    config.attributes["database_url"] = database_url
    return config


def upgrade(database_url: str) -> None:
    """Run all migrations that this database lacks; only one process does so at a time.

    Args:
        database_url: `postgresql://user:password@host:port/name`.

    Raises:
        InvalidInput: the URL is not of this form.
    """
    with psycopg.connect(libpq_url(database_url), autocommit=True) as connection:
        connection.execute("select pg_advisory_lock(%s)", [MIGRATION_LOCK])
        command.upgrade(alembic_config(database_url), "head")


if __name__ == "__main__":
    url = os.environ.get("POLAR_DATABASE_URL")
    if not url:
        sys.exit("error: POLAR_DATABASE_URL is not set: say which database to migrate")
    try:
        upgrade(url)
    except InvalidInput as error:
        sys.exit(f"error: POLAR_DATABASE_URL: {error}")
