"""Rows of every released revision are still there at the newest, and the code reads them."""

import json
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
from alembic import command
from alembic.script import ScriptDirectory
from psycopg import sql
from sqlalchemy import select

from polar.records.events import Evaluation, Progress, Result, Started
from polar.records.ranges import StudyRange
from polar.records.trials import Measured
from service.embedded.postgres import Postgres
from service.storage import forms, study_tables
from service.storage.all_tables import Base
from service.storage.database import Database
from service.storage.migrate import alembic_config, upgrade
from service.storage.tables import EvaluationRow, Experiment, Run

STORED = Path(__file__).with_name("stored")
SCRIPT = ScriptDirectory.from_config(alembic_config(""))
#: The oldest first.
REVISIONS = [each.revision for each in SCRIPT.walk_revisions()][::-1]

#: What rows have in columns for which any value of their type would not do. Files of `stored` are
#: of the form that the first version wrote.
VALUES: dict[str, object] = {
    "experiments.spec": "experiment_spec",
    "runs.spec": "experiment_spec",
    "runs.state": "succeeded",
    "runs.owner": None,
    "runs.lease_until": None,
    "runs.started": "started",
    "runs.progress": "progress",
    "runs.result": "result",
    "transitions.state": "running",
    "evaluations.evaluation": "evaluation",
    "tracking.state": "succeeded",
    "studies.spec": "study_spec",
    "studies.state": "completed",
    "studies.seeds_wanted": [0],
    "studies.to_repeat": [],
    "studies.range": "range",
    "studies.is_told": True,
    "trials.state": "completed",
    "trials.values": [0.5],
    "trials.measured": "measured",
    "study_tracking.state": "completed",
    "trial_tracking.state": "completed",
    "findings.state": "made",
    "idempotency_keys.study_id": None,
    "deletions.kind": "run",
    "tokens.kind": "bearer",
    "tokens.scope": "read",
    "tokens.made_by": None,
    "webhook_deliveries.kind": "run",
}
#: Tables whose rows a revision forgets on purpose.
FORGOTTEN = {"idempotency_keys": "0020"}

_COLUMNS = """
select column_name, data_type from information_schema.columns
where table_schema = 'app' and table_name = %s and is_identity = 'NO' order by ordinal_position
"""
_TABLES = """
select table_name from information_schema.tables
where table_schema = 'app' and table_name <> 'alembic_version'
"""
#: The columns of each foreign key, and those of the table that they refer to.
_KEYS = """
select c.confrelid::regclass::text,
    array(select attname::text from unnest(c.conkey) with ordinality k (number, place)
        join pg_attribute on attrelid = c.conrelid and attnum = number order by place),
    array(select attname::text from unnest(c.confkey) with ordinality k (number, place)
        join pg_attribute on attrelid = c.confrelid and attnum = number order by place)
from pg_constraint c where c.contype = 'f' and c.conrelid = %s::regclass
    and c.conrelid <> c.confrelid
"""

Row = dict[str, Any]


class Filler:
    """Fills tables with a row each, whatever columns they have."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection = connection
        #: What was stored: the row of each revision in each table.
        self.rows: dict[tuple[str, str], Row] = {}

    def fill(self, revision: str) -> None:
        waiting = [name for (name,) in self._connection.execute(_TABLES).fetchall()]
        while waiting:
            table = waiting.pop(0)
            keys = self._connection.execute(_KEYS, [f"app.{table}"]).fetchall()
            wanted = {other.removeprefix("app.") for other, *_ in keys}
            if wanted & set(waiting):
                waiting.append(table)
                continue
            row: Row = {}
            for name, kind in self._connection.execute(_COLUMNS, [table]).fetchall():
                row[name] = _value(table, name, kind, revision)
            for other, ours, theirs in keys:
                referred = self.rows[revision, other.removeprefix("app.")]
                for name, its in zip(ours, theirs, strict=True):
                    if row[name] is not None:
                        row[name] = referred[its]
            self.rows[revision, table] = self._insert(table, row)

    def _insert(self, table: str, row: Row) -> Row:
        statement = sql.SQL("insert into {} as t ({}) values ({}) returning to_jsonb(t)").format(
            sql.Identifier("app", table),
            sql.SQL(", ").join(map(sql.Identifier, row)),
            sql.SQL(", ").join(sql.Placeholder() * len(row)),
        )
        (stored,) = self._connection.execute(statement, list(row.values())).fetchone() or ({},)
        return stored

    def read(self, table: str) -> list[Row]:
        statement = sql.SQL("select to_jsonb(t) from {} t").format(sql.Identifier("app", table))
        return [row for (row,) in self._connection.execute(statement)]


def _value(table: str, column: str, kind: str, revision: str) -> object:
    value = VALUES.get(f"{table}.{column}", ...)
    if kind == "jsonb":
        if isinstance(value, str):
            return (STORED / f"{value}.1.json").read_text()
        return json.dumps({} if value is ... else value)
    if value is not ...:
        return value
    match kind:
        case "uuid":
            return uuid.uuid4()
        case "text":
            return f"{column} of {revision}"
        case "integer" | "bigint":
            return int(revision)
        case "double precision":
            return 0.5
        case "boolean":
            return False
        case "bytea":
            return b"{}"
        case "timestamp with time zone":
            return datetime(2026, 1, 1, tzinfo=UTC)
    raise AssertionError(f"no value of type {kind} for {table}.{column}")


@pytest.fixture
def filled_url(postgres: Postgres, admin: psycopg.Connection) -> Iterator[str]:
    """A database that nobody has migrated."""
    name = f"filled_{uuid.uuid4().hex}"
    admin.execute(f'create database "{name}"')
    yield postgres.url(name)
    admin.execute(f'drop database "{name}" with (force)')


@pytest.fixture
def filler(filled_url: str) -> Iterator[Filler]:
    """All tables of the newest revision, with a row of every revision that had the table."""
    with psycopg.connect(filled_url, autocommit=True) as connection:
        filler = Filler(connection)
        for revision in REVISIONS:
            command.upgrade(alembic_config(filled_url), revision)
            filler.fill(revision)
        yield filler


def lost(filler: Filler) -> list[str]:
    """The rows that are no longer there, or not with the values that they had."""
    tables = {table for _, table in filler.rows}
    present = {table: filler.read(table) for table in tables}
    return [
        f"{table} of {revision}"
        for (revision, table), row in filler.rows.items()
        if not any(_is_same(row, new) for new in present[table])
        and revision >= FORGOTTEN.get(table, "")
    ]


def _is_same(row: Row, new: Row) -> bool:
    return all(row[name] == new[name] for name in row.keys() & new.keys())


async def test_rows_of_every_revision_are_there_at_the_newest_and_are_read(
    filler: Filler, filled_url: str
) -> None:
    database = Database(filled_url.replace("postgresql://", "postgresql+psycopg://"))
    rows: dict[type[Base], list[Any]] = {}
    async with database.transaction() as session:
        for mapper in Base.registry.mappers:
            rows[mapper.class_] = list(await session.scalars(select(mapper.class_)))
    await database.close()

    assert lost(filler) == []
    assert {table for _, table in filler.rows} == {kind.__tablename__ for kind in rows}
    for kind, found in rows.items():
        since = [revision for revision, table in filler.rows if table == kind.__tablename__]
        since = [each for each in since if each >= FORGOTTEN.get(kind.__tablename__, "")]
        assert len(found) == len(since), kind
    for experiment in rows[Experiment]:
        assert forms.experiment_spec(experiment.spec).dataset.name == "digits"
    for run in rows[Run]:
        assert forms.experiment_spec(run.spec).seeds == (0, 1)
        Started.model_validate(run.started)
        Progress.model_validate(run.progress)
        assert Result.model_validate(run.result).steps > 0
    for row in rows[EvaluationRow]:
        assert Evaluation.model_validate(row.evaluation).latents
    for study in rows[study_tables.Study]:
        assert forms.study_spec(study.spec).swept
        assert isinstance(study.range, StudyRange)
        assert (study.seeds_wanted, study.is_told) == ([0], True)
    for trial in rows[study_tables.Trial]:
        assert isinstance(trial.measured, Measured)


def test_rows_outlast_a_way_down_and_up_again(filler: Filler, filled_url: str) -> None:
    oldest = {table: row for (revision, table), row in filler.rows.items() if revision == "0003"}
    filler.rows = {
        (revision, table): {name: row[name] for name in row.keys() & oldest[table].keys()}
        for (revision, table), row in filler.rows.items()
        if table in oldest and table not in FORGOTTEN
    }

    command.downgrade(alembic_config(filled_url), "0003")
    lost_on_the_way_down = lost(filler)
    upgrade(filled_url)

    assert lost_on_the_way_down == []
    assert lost(filler) == []
    assert len(filler.rows) > len(REVISIONS)
