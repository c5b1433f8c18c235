"""How long runs take, judging by runs that have succeeded."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from statistics import median
from typing import Any

from sqlalchemy import Select, and_, func, literal, select, type_coerce, union_all
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession

from polar.spec import ExperimentSpec
from service.storage.states import RunState
from service.storage.tables import STEPS_MADE, Run, Transition

#: Fields of models that decide how long a step takes, besides the name.
SIZES = ("widths", "class", "fields")


@dataclass(frozen=True)
class Duration:
    """The time that a run takes: for each step, and besides all steps."""

    step_s: float
    #: Seconds before, between and after the steps.
    besides_s: float

    def of(self, steps: int) -> float:
        """Seconds that a run of this many steps takes."""
        return self.besides_s + self.step_s * steps


async def usual_duration(session: AsyncSession, spec: ExperimentSpec) -> Duration | None:
    """Median duration of the 20 latest succeeded runs like those of a spec; None without any.

    Runs are alike if they have the same dataset, model, widths and batch size, and train from
    scratch; models of users' own have the same class and fields. What a run with a warm start
    takes depends on whether the states of its stages were there already.

    Both parts of the duration are medians over these runs. Every run reports how fast it trained;
    the rest of its time went into the start, the evaluations and the report, which do not take
    longer with more steps. The last attempt at a run counts, with the steps that it made itself.
    """
    return (await usual_durations(session, [spec]))[0]


async def usual_durations(
    session: AsyncSession, specs: Sequence[ExperimentSpec]
) -> list[Duration | None]:
    """The usual duration of the runs of each spec, read in one statement."""
    kinds = [json.dumps(_kind(spec), sort_keys=True) for spec in specs]
    latest = [_latest(kind) for kind in dict.fromkeys(kinds)]
    ended: dict[str, list[tuple[float, float]]] = {}
    for kind, *row in await session.execute(union_all(*latest)) if latest else ():
        parts = _Ended(*row).parts_of_time()
        if parts is not None:
            ended.setdefault(kind, []).append(parts)
    return [_median(ended.get(kind, ())) for kind in kinds]


def _median(parts: Sequence[tuple[float, float]]) -> Duration | None:
    if not parts:
        return None
    return Duration(
        step_s=median(step_s for step_s, _ in parts),
        besides_s=median(besides_s for _, besides_s in parts),
    )


def _kind(spec: ExperimentSpec) -> dict[str, dict[str, Any]]:
    """What the specs of all runs like those of a spec have in common."""
    base = spec.model_dump(mode="json")
    model = base["model"]
    return {
        "dataset": {"name": base["dataset"]["name"]},
        "model": {field: model[field] for field in ("name", *SIZES) if field in model},
        "training": {"batch_size": base["training"]["batch_size"]},
    }


def _latest(kind: str) -> Select[*tuple[Any, ...]]:
    """The 20 latest succeeded runs of a kind: the kind, and the columns of `_Ended`."""
    is_alike = and_(
        *(
            Run.spec[part][field] == literal(value, JSONB)
            for part, fields in json.loads(kind).items()
            for field, value in fields.items()
        ),
        Run.spec["training"]["warm_start"][0].is_(None),
    )
    training = type_coerce(Run.spec, JSONB)["training"]
    runs = (
        select(
            Run.id,
            Run.attempt,
            Run.finished_at,
            training["batch_size"].as_integer().label("batch_size"),
            func.coalesce(STEPS_MADE, training["steps"].as_integer()).label("last_step"),
            type_coerce(Run.started, JSONB)["step"].as_integer().label("first_step"),
            type_coerce(Run.progress, JSONB)["images_per_s"].as_float().label("images_per_s"),
        )
        # Postgres takes comparisons of JSON for so rare that it would read all runs and sort them;
        # of what is in `coalesce` it expects enough to walk from the newest and to stop at 20
        .where(Run.state == RunState.SUCCEEDED, func.coalesce(is_alike, False))
        .order_by(Run.finished_at.desc())
        .limit(20)
        .subquery()
    )
    columns = runs.c
    return select(
        literal(kind),
        Transition.at,
        columns.finished_at,
        columns.batch_size,
        columns.last_step,
        columns.first_step,
        columns.images_per_s,
    ).join(
        Transition,
        and_(
            Transition.run_id == columns.id,
            Transition.attempt == columns.attempt,
            Transition.state == RunState.RUNNING,
        ),
    )


@dataclass(frozen=True)
class _Ended:
    """The last attempt at a run that has succeeded."""

    began: datetime
    finished_at: datetime
    batch_size: int
    last_step: int
    #: The step from which the attempt went on; None if it did not say so.
    first_step: int | None
    images_per_s: float | None

    def parts_of_time(self) -> tuple[float, float] | None:
        """Seconds for each step, and seconds besides all steps.

        None if the attempt made no step, as when it only had to write down what another had
        trained.
        """
        seconds = (self.finished_at - self.began).total_seconds()
        made = self.last_step - (self.first_step or 0)
        if made <= 0:
            return None
        if not self.images_per_s:
            return seconds / made, 0.0
        step_s = self.batch_size / self.images_per_s
        return step_s, max(seconds - step_s * made, 0.0)
