"""Alembic's entry point: it runs the migrations of our schema `app` over one connection."""

from alembic import context
from sqlalchemy import create_engine, pool, text

from service.database_urls import sqlalchemy_url
from service.storage.all_tables import Base


def include_name(name: str | None, type_: str, _parents: object) -> bool:
    """Compare only our own schema, because the queue's tables belong to procrastinate."""
    return name == "app" if type_ == "schema" else True


def run() -> None:
    engine = create_engine(
        sqlalchemy_url(context.config.attributes["database_url"]),
        poolclass=pool.NullPool,
        # For a role named `app`, our schema would become the default one, which Alembic ignores.
        # Nobody waits for long behind a migration that waits for a table.
        connect_args={"options": "-c search_path=public -c lock_timeout=5s"},
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
