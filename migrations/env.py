"""Alembic's entry: one connection, our schema `app`, short lock waits."""

from alembic import context
from sqlalchemy import create_engine, pool, text

from service.database_urls import sqlalchemy_url
from service.storage import (  # noqa: F401 (they declare tables, too)
    answered_posts,
    study_tables,
    tracking_tables,
)
from service.storage.tables import Base


def include_name(name: str | None, type_: str, _parents: object) -> bool:
    """Compare our own schema only: the queue's tables are procrastinate's."""
    return name == "app" if type_ == "schema" else True


def run() -> None:
    """Run the migrations that alembic asks for, in one transaction each."""
    engine = create_engine(
        sqlalchemy_url(context.config.attributes["database_url"]),
        poolclass=pool.NullPool,
        # A role named `app` would make our schema the default one, and alembic blind to it.
        connect_args={"options": "-c search_path=public"},
    )
    with engine.begin() as connection:
        connection.execute(text("create schema if not exists app"))
        connection.execute(text("create schema if not exists queue"))
    with engine.connect() as connection:
        context.configure(
            connection=connection,
            target_metadata=Base.metadata,
            version_table_schema="app",
            include_schemas=True,
            include_name=include_name,
            transaction_per_migration=True,
        )
        with context.begin_transaction():
            context.run_migrations()
    engine.dispose()


run()
