"""Metrics of runs, as their attempts report them."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Double,
    Select,
    Text,
    Uuid,
    func,
    literal,
    select,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from service.storage.states import RunState
from service.storage.tables import STEPS_MADE, Metric, Run

_COLUMNS = ["run_id", "key", "step", "value", "attempt"]
#: The prefix of the curves that training reports. Only these are copied, because a run that goes
#: on reports the earlier evaluations again by itself.
TRAINING = "train/"
#: The prefix of what a run takes of its machine, which MLflow shows on a page of its own. Its
#: steps are seconds since the run began.
SYSTEM = "system/"


async def add(
    session: AsyncSession, run_id: UUID, attempt: int, step: int, values: Mapping[str, float]
) -> None:
    """Store the values of one step by their keys; values that are there already stand."""
    points = [(key, step, value) for key, value in values.items()]
    await add_points(session, run_id, attempt, points)


async def add_points(
    session: AsyncSession, run_id: UUID, attempt: int, points: Sequence[tuple[str, int, float]]
) -> None:
    """Store points, each a key, a step and a value; points that are there already stand.

    The statement has the same length for any number of points: one that listed thousands of them
    would take seconds to compile.
    """
    keys, steps, values = ([point[place] for point in points] for place in range(3))
    new = (
        func.unnest(
            literal(keys, ARRAY(Text)),
            literal(steps, ARRAY(BigInteger)),
            literal(values, ARRAY(Double)),
        )
        .table_valued("key", "step", "value")
        .render_derived()
    )
    rows = select(literal(run_id, Uuid), new.c.key, new.c.step, new.c.value, literal(attempt))
    await _insert(session, rows)


async def add_of_system(
    session: AsyncSession,
    run_id: UUID,
    attempt: int,
    samples: Sequence[tuple[int, Mapping[str, float]]],
) -> None:
    """Store what a run took of its machine, each time with the seconds since the run began."""
    points = [
        (SYSTEM + name, second, value)
        for second, values in samples
        for name, value in values.items()
    ]
    await add_points(session, run_id, attempt, points)


async def of_system(session: AsyncSession, run_id: UUID) -> dict[str, list[tuple[int, float]]]:
    """What a run took of its machine: by the name, each second with its value."""
    query = select(Metric.key, Metric.step, Metric.value).where(
        Metric.run_id == run_id, Metric.key.startswith(SYSTEM)
    )
    found: dict[str, list[tuple[int, float]]] = {}
    for key, second, value in await session.execute(query.order_by(Metric.key, Metric.step)):
        found.setdefault(key.removeprefix(SYSTEM), []).append((second, value))
    return found


async def inherit(session: AsyncSession, run: Run, attempt: int, step: int) -> None:
    """Store the training curves of the finished run from whose end at this step a run goes on.

    Both are the same training up to there, because they are of one course. Nothing is stored where
    a run goes on from its own checkpoint, unless another run of its course ended there.
    """
    if run.course is None:  # it was queued by an earlier version, which named no courses
        return
    shorter = (
        select(Run.id)
        .where(Run.course == run.course, Run.state == RunState.SUCCEEDED, step == STEPS_MADE)
        .order_by(Run.finished_at)
        .limit(1)
        .scalar_subquery()
    )
    curves = (
        select(literal(run.id, Uuid), Metric.key, Metric.step, Metric.value, literal(attempt))
        .where(Metric.run_id == shorter, Metric.key.startswith(TRAINING))
        .order_by(Metric.sequence)
    )
    await _insert(session, curves)


async def course_of(session: AsyncSession, run_id: UUID, key: str) -> Sequence[tuple[int, float]]:
    """The steps and values of one metric of a run, by step."""
    query = select(Metric.step, Metric.value).where(Metric.run_id == run_id, Metric.key == key)
    rows = await session.execute(query.order_by(Metric.step))
    return [(step, value) for step, value in rows]


async def _insert(session: AsyncSession, rows: Select[Any]) -> None:
    await session.execute(insert(Metric).from_select(_COLUMNS, rows).on_conflict_do_nothing())
