"""What the page that compares runs shows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from polar.records.events import Evaluation, Result
from service.api.pages.course_chart import CourseChart, sorted_chart
from service.api.pages.rendering import short, verdict
from service.api.pages.runs import FIGURES, TRAVERSALS
from service.api.stored import Reader
from service.storage.artifacts import runs_with
from service.storage.pages import Wanter, newest_evaluations, rows_of, wanted_by
from service.storage.tables import Run

#: Latents of more runs could not be told apart.
MOST_RUNS = 8

#: Fields that say nothing of what a run trains: its seed stands for all seeds, and the name is
#: that of the experiment when it was submitted.
BESIDE = ("name", "seeds")


@dataclass(frozen=True)
class ComparedRun:
    run: Run
    #: The newest evaluation; None before the first.
    evaluation: Evaluation | None
    settled: bool | None
    has_traversals: bool
    #: The oldest experiment that asked for the run; None while it is being deleted.
    wanter: Wanter | None


@dataclass(frozen=True)
class Comparison:
    runs: Sequence[ComparedRun]
    #: The fields in which their specs differ, each with the value of every run.
    differences: Mapping[str, Sequence[object]]
    #: None if none of them has been evaluated.
    chart: CourseChart | None


async def compare(session: AsyncSession, run_ids: Sequence[UUID]) -> Comparison:
    """Compare runs, in the order of their ids.

    Raises:
        NotFound: there is no such run.
    """
    rows = await rows_of(session, Run, list(dict.fromkeys(run_ids)))
    ids = [run.id for run in rows]
    newest = await newest_evaluations(session, ids)
    with_traversals = await runs_with(session, FIGURES + TRAVERSALS, ids)
    wanters = await wanted_by(session, ids)
    reader = Reader()
    compared = []
    for run in rows:
        result = reader.read("result", Result, run.result)
        evaluation = reader.read("evaluation", Evaluation, newest.get(run.id))
        settled = result.settled if result else None
        has_traversals = run.id in with_traversals
        compared.append(ComparedRun(run, evaluation, settled, has_traversals, wanters.get(run.id)))
    sorted_entropies = {
        f"{short(each.run.id)}: {verdict(each.evaluation.verdict)}": each.evaluation
        for each in compared
        if each.evaluation is not None
    }
    return Comparison(
        runs=compared,
        differences=_differences([{**_flat(run.spec), "seed": run.seed} for run in rows]),
        chart=sorted_chart(sorted_entropies) if sorted_entropies else None,
    )


def _flat(content: Mapping[str, Any], prefix: str = "") -> dict[str, object]:
    """The fields of a spec by their dotted names."""
    fields: dict[str, object] = {}
    for name, value in content.items():
        if isinstance(value, Mapping):
            fields |= _flat(value, f"{prefix}{name}.")
        else:
            fields[f"{prefix}{name}"] = value
    return fields


def _differences(specs: Sequence[Mapping[str, object]]) -> dict[str, Sequence[object]]:
    names = dict.fromkeys(name for spec in specs for name in spec if name not in BESIDE)
    columns = {name: [spec.get(name) for spec in specs] for name in names}
    return {
        name: values
        for name, values in columns.items()
        if any(value != values[0] for value in values)
    }
