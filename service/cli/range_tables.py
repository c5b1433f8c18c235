"""What a study has found, in words on one line and as tables with every edge and budget."""

from collections.abc import Iterator, Sequence
from itertools import groupby
from operator import itemgetter

from rich.console import Group, RenderableType

from polar.ranges.words import better_known_from
from polar.records.certificates import NO_CERTIFICATES, Certificates, is_refuted
from polar.records.ranges import AtBudget, Edge, Interval, Outcome, StudyRange
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
        parts.append(_edges(study_range, study_range.envelope))
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
            **_about_certificates(study_range.certificates, study_range.of),
        }
    )


def _about_certificates(certificates: Certificates | None, of: str) -> dict[str, str | None]:
    if certificates is None:
        return {}
    sides = (("left", certificates.left), ("right", certificates.right))
    refuted = certificates.not_optimal_at()
    return {
        "models compared": f"{certificates.models}",
        **{
            f"{side} edge": edge.words(of, certificates.models)
            for side, edge in sides
            if edge is not None
        },
        "not optimal": f"trainings at {refuted}" if refuted else None,
    }


def _edges(study_range: StudyRange, envelope: Interval) -> Rows:
    """All edges; one that the known models refute has the word `refuted` in place of weights."""
    known = study_range.certificates or NO_CERTIFICATES
    refuted = [
        edge
        for edge, certificate in ((envelope.left, known.left), (envelope.right, known.right))
        if is_refuted(certificate)
    ]
    better_from = dict(zip(("left", "right"), better_known_from(study_range, known), strict=True))
    table = Rows("band", "edge", "lies in", "confidence", "moves")
    for name, interval in _bands(study_range, envelope):
        for side, edge in (("left", interval.left), ("right", interval.right)):
            if name == "held" and (weight := better_from[side]) is not None:
                table.add(name, side, f"a better solution is known from {weight:.4g} on", "", "")
            elif name != "held" and edge in refuted:
                table.add(name, side, "refuted", "", "")
            else:
                table.add(name, side, edge.words(), _confidence(edge), _movement(edge))
    return table


def _confidence(edge: Edge) -> str:
    return "one seed" if edge.confidence is None else f"{edge.confidence:.2f}"


def _movement(edge: Edge) -> str:
    return "" if edge.movement is None else edge.movement.words()


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


def _bands(study_range: StudyRange, envelope: Interval) -> Iterator[tuple[str, Interval]]:
    for number, interval in enumerate(study_range.intervals, start=1):
        yield f"interval {number}", interval
    yield "envelope", envelope
    if study_range.held is not None:
        yield "held", study_range.held
