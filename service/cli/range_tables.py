"""What a study has found, in words on one line and as a table with every edge."""

from collections.abc import Iterator, Sequence

from rich.console import Group, RenderableType

from polar.records.ranges import Interval, Outcome, StudyRange
from service.cli.rows import Facts, Rows

_ALSO = {
    Outcome.COARSE: "; edges not as close as wanted yet",
    Outcome.OPEN: "; open at an end of the search",
}


def in_words(found: StudyRange) -> str:
    """Such as `polarised from 0.31..0.34 to 12.1..13 (2,000 steps, converged, 1 seed)`."""
    if found.outcome is Outcome.NOT_ONE_FIELD:
        return f"no range: {' '.join(found.remarks)}"
    if found.envelope is None:
        return f"no band found in {_tested(found)} ({_budget(found)})"
    count = len(found.intervals)
    parts = "" if count == 1 else f" in {count} intervals"
    also = _ALSO.get(found.outcome, "")
    return f"polarised{parts} from {found.envelope.words()} ({_budget(found)}){also}"


def of_range(found: StudyRange) -> RenderableType:
    """All that is known of it: each interval, the envelope, and what a researcher should know."""
    tested = None if found.outcome is Outcome.NOT_ONE_FIELD else _tested(found)
    facts = Facts({"range": in_words(found), "outcome": found.outcome, "tested": tested})
    remarks = [f"- {remark}" for remark in found.remarks]
    if found.envelope is None:
        return Group(facts, *remarks)
    table = Rows("band", "left edge", "confidence", "right edge", "confidence")
    for name, interval in _bands(found.intervals, found.envelope):
        edges = (interval.left, interval.right)
        table.add(
            name, *(cell for edge in edges for cell in (edge.words(), f"{edge.confidence:.2f}"))
        )
    return Group(facts, table, *remarks)


def _bands(intervals: Sequence[Interval], envelope: Interval) -> Iterator[tuple[str, Interval]]:
    for number, interval in enumerate(intervals, start=1):
        yield f"interval {number}", interval
    yield "envelope", envelope


def _budget(found: StudyRange) -> str:
    """What the verdicts depend on."""
    converged = {True: "converged", False: "not converged", None: "convergence unknown"}
    seeds = len(found.seeds)
    parts = [f"{found.steps:,} steps"]
    if found.envelope:
        parts.append(converged[found.converged])
    parts.append(f"{seeds} seed" if seeds == 1 else f"{seeds} seeds")
    if found.disagreeing:
        parts.append(f"seeds disagree at {', '.join(f'{at:.4g}' for at in found.disagreeing)}")
    return ", ".join(parts)


def _tested(found: StudyRange) -> str:
    return f"{found.weights} weights, {found.trainings} trainings"
