"""What a study has found, in words on one line and as a table with every edge."""

from collections.abc import Iterator, Sequence

from rich.console import Group, RenderableType

from polar.records.ranges import Interval, Outcome, StudyRange
from service.cli.rows import Facts, Rows

_ALSO = {
    Outcome.COARSE: "; edges not as close as wanted yet",
    Outcome.OPEN: "; open at an end of the search",
}


def in_words(study_range: StudyRange) -> str:
    """The range: `polarised from 0.31..0.34 to 12.1..13 (2,000 steps, converged, 1 seed)`."""
    if study_range.outcome is Outcome.NOT_ONE_FIELD:
        return f"no range: {' '.join(study_range.remarks)}"
    if study_range.envelope is None:
        return f"no band found in {_tested(study_range)} ({_budget(study_range)})"
    count = len(study_range.intervals)
    parts = "" if count == 1 else f" in {count} intervals"
    also = _ALSO.get(study_range.outcome, "")
    return f"polarised{parts} from {study_range.envelope.words()} ({_budget(study_range)}){also}"


def of_range(study_range: StudyRange) -> RenderableType:
    """The range with each interval, the envelope, and remarks that a researcher should know."""
    tested = None if study_range.outcome is Outcome.NOT_ONE_FIELD else _tested(study_range)
    facts = Facts(
        {"range": in_words(study_range), "outcome": study_range.outcome, "tested": tested}
    )
    remarks = [f"- {remark}" for remark in study_range.remarks]
    if study_range.envelope is None:
        return Group(facts, *remarks)
    table = Rows("band", "left edge", "confidence", "right edge", "confidence")
    for name, interval in _bands(study_range.intervals, study_range.envelope):
        edges = (interval.left, interval.right)
        table.add(
            name, *(cell for edge in edges for cell in (edge.words(), f"{edge.confidence:.2f}"))
        )
    return Group(facts, table, *remarks)


def _bands(intervals: Sequence[Interval], envelope: Interval) -> Iterator[tuple[str, Interval]]:
    for number, interval in enumerate(intervals, start=1):
        yield f"interval {number}", interval
    yield "envelope", envelope


def _budget(study_range: StudyRange) -> str:
    """The steps and seeds that the verdicts depend on."""
    converged = {True: "converged", False: "not converged", None: "convergence unknown"}
    seeds = len(study_range.seeds)
    parts = [f"{study_range.steps:,} steps"]
    if study_range.envelope:
        parts.append(converged[study_range.converged])
    parts.append(f"{seeds} seed" if seeds == 1 else f"{seeds} seeds")
    if study_range.disagreeing:
        parts.append(
            f"seeds disagree at {', '.join(f'{at:.4g}' for at in study_range.disagreeing)}"
        )
    return ", ".join(parts)


def _tested(study_range: StudyRange) -> str:
    return f"{study_range.weights} weights, {study_range.trainings} trainings"
