"""What a study has found, in words on one line and as tables with every edge and budget."""

from collections.abc import Sequence
from itertools import groupby
from operator import itemgetter

from rich.console import Group, RenderableType

from polar.records.edge_rows import edge_rows, facts_of_models
from polar.records.ranges import AtBudget, Outcome, StudyRange
from service.cli.rows import Facts, Rows

BUDGET_HEAD = ("steps", "trainings", "left edge from scratch", "right edge from scratch")

_ALSO = {
    Outcome.COARSE: " Edges are not as close as wanted yet.",
    Outcome.OPEN: " The band is open at an end of the search.",
}


def in_words(study_range: StudyRange) -> str:
    """The range in a sentence, and in another what its search still lacks."""
    return f"{study_range.headline}{_ALSO.get(study_range.outcome, '')}"


def of_range(study_range: StudyRange) -> RenderableType:
    """The range with each interval, its budgets, and remarks that a researcher should know."""
    parts: list[RenderableType] = [_facts(study_range)]
    if study_range.envelope is not None:
        parts.append(_edges(study_range))
    if len(study_range.by_steps) > 1:
        parts.append(_budgets(study_range.by_steps))
    return Group(*parts, *(f"- {remark}" for remark in study_range.remarks))


def _facts(study_range: StudyRange) -> Facts:
    weights, trainings = study_range.weights, study_range.trainings
    tested = (
        f"{weights} weight{'s' * (weights != 1)}, "
        f"{trainings} training{'s' * (trainings != 1)} from scratch"
    )
    known = study_range.outcome is not Outcome.NOT_ONE_FIELD
    return Facts(
        {
            "range": in_words(study_range),
            "outcome": study_range.outcome,
            "tested": tested if known else None,
            **facts_of_models(study_range),
        }
    )


def _edges(study_range: StudyRange) -> Rows:
    table = Rows("band", "edge", "lies in", "confidence", "moves")
    for band in edge_rows(study_range):
        for side, edge in band.sides:
            table.add(band.name, side, edge.place, edge.confidence, edge.movement)
    return table


def _budgets(by_steps: Sequence[AtBudget]) -> Rows:
    """The edges by steps; numbers of steps at which the same was found share a row."""
    table = Rows(*BUDGET_HEAD)
    for found, rows in groupby(map(budget_row, by_steps), key=itemgetter(1, 2, 3)):
        steps = [row[0] for row in rows]
        table.add(" to ".join(dict.fromkeys((steps[0], steps[-1]))), *found)
    return table


def budget_row(at: AtBudget) -> tuple[str, str, str, str]:
    """What was found at a number of steps, as cells below `BUDGET_HEAD`."""
    edges = ("no band", "")
    if at.envelope is not None:
        edges = (at.envelope.left.words(), at.envelope.right.words())
    return f"{at.steps:,}", f"{at.trainings}", *edges
