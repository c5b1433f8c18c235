"""Metrics of runs, as their attempts report them."""

from collections.abc import Mapping, Sequence
from uuid import UUID

from sqlalchemy import ARRAY, BigInteger, Double, Text, Uuid, func, literal, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from service.storage.tables import Metric


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
    columns = ["run_id", "key", "step", "value", "attempt"]
    await session.execute(insert(Metric).from_select(columns, rows).on_conflict_do_nothing())
