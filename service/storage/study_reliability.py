"""What is to be known of a study before anybody trusts its range, counted by the database."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    Float,
    Text,
    case,
    cast,
    column,
    func,
    select,
    type_coerce,
)
from sqlalchemy.dialects.postgresql import JSONB, JSONPATH
from sqlalchemy.ext.asyncio import AsyncSession

from polar.spec.points import SEED, STEPS
from service.storage.forms import MEASURED, NUMBER
from service.storage.states import TrialState
from service.storage.study_tables import Study, Trial
from service.storage.tables import ExperimentRun, Run


@dataclass(frozen=True)
class RangeInShort:
    """What a study's stored range says in short."""

    headline: str
    #: Weights at which seeds gave different verdicts.
    disagreeing: Sequence[float]


@dataclass(frozen=True)
class Verdicts:
    """The trainings of a study, counted by their verdicts."""

    #: Seeds of all trainings that began.
    seeds: int = 0
    #: Whether trainings of several seeds have ended at some weight, where they can disagree.
    is_repeated: bool = False
    #: Trainings with a verdict, and those of them that have settled.
    ended: int = 0
    settled: int = 0
    #: The least and the largest R of the clean ones; None without any.
    explained: tuple[float, float] | None = None


async def ranges_in_short(
    session: AsyncSession, study_ids: Sequence[UUID]
) -> dict[UUID, RangeInShort]:
    """The range of each study; studies without one are missing."""
    stored = type_coerce(Study.range, JSONB)
    headline = stored["headline"].as_string()
    rows = await session.execute(
        select(Study.id, headline, stored["disagreeing"]).where(
            Study.id.in_(study_ids), headline.is_not(None)
        )
    )
    return {
        id: RangeInShort(words, disagreeing or ()) for id, words, disagreeing in map(tuple, rows)
    }


async def verdicts(session: AsyncSession, study_ids: Sequence[UUID]) -> Mapping[UUID, Verdicts]:
    """The trainings of each study by their verdicts, without reading the trials of any.

    Verdicts that are stored in an earlier form count as none, because they went by other rules.
    Those of superseded trials do not count, because later trials have the same trainings.
    """
    without = type_coerce(Trial.point, JSONB).op("-")(cast([SEED, STEPS], ARRAY(Text)))
    weight = cast(without, Text)
    has_ended = Trial.measured.is_not(None)
    seeds = await session.execute(
        select(
            Trial.study_id,
            func.count(Run.seed.distinct()),
            func.count(weight.distinct()).filter(has_ended)
            < func.count(func.concat(weight, " ", Run.seed).distinct()).filter(has_ended),
        )
        .join(ExperimentRun, ExperimentRun.experiment_id == Trial.experiment_id)
        .join(Run, Run.id == ExperimentRun.run_id)
        .where(Trial.study_id.in_(study_ids))
        .group_by(Trial.study_id)
    )
    begun = {row[0]: Verdicts(row[1], row[2]) for row in seeds}
    measured = type_coerce(Trial.measured, JSONB)
    # lax paths give nothing of what is not there
    each = (
        func.jsonb_path_query(measured, cast("$.observations[*]", JSONPATH))
        .table_valued(column("outcome", JSONB), with_ordinality="place", joins_implicitly=True)
        .render_derived("each")
    )
    clean = each.c.outcome["regime"].as_string() == "clean"
    explained = _explained(measured, each.c.place)
    rows = await session.execute(
        select(
            Trial.study_id,
            func.count(),
            func.count().filter(each.c.outcome["settled"].as_string() == "true"),
            func.min(explained).filter(clean),
            func.max(explained).filter(clean),
        )
        .where(
            Trial.study_id.in_(study_ids),
            Trial.state != TrialState.SUPERSEDED,
            measured[NUMBER].as_string() == str(len(MEASURED.upgrades) + 1),
        )
        .group_by(Trial.study_id)
    )
    counted = dict(begun)
    for row in rows:
        id, ended, settled, least, largest = row
        span = None if least is None else (float(least), float(largest))
        known = begun.get(id, Verdicts())
        counted[id] = replace(known, ended=ended, settled=settled, explained=span)
    return counted


def _explained(measured: ColumnElement[object], place: ColumnElement[int]) -> ColumnElement[float]:
    """R of the training at this place of a trial, counted from 1; null where it is no number."""
    stored = func.jsonb_extract_path(measured, "of_seeds", cast(place - 1, Text), "explained")
    return case((func.jsonb_typeof(stored) == "number", cast(stored, Float)))
