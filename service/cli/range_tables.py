"""What a study has found, in words on one line and as a table with every edge."""

from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import Group, RenderableType

from service.cli.rows import Facts, Rows

#: As the broker stores it: `polar.ranges.RangeReport`, with the swept fields, steps and seeds.
Range = Mapping[str, Any]

_ALSO = {
    "found": "",
    "coarse": "; edges not as close as wanted yet",
    "open": "; open at an end of the search",
}


def in_words(found: Range) -> str:
    """Such as `polarised from 0.31..0.34 to 12.1..13 (2,000 steps, converged, 1 seed)`."""
    match found["outcome"]:
        case "not_one_field":
            return f"no range: {found['remarks'][0]}"
        case "no_band":
            return f"no band found in {_tested(found)} ({_budget(found)})"
        case outcome:
            envelope, count = found["envelope"], len(found["intervals"])
            where = f"{_edge(envelope['left'])} to {_edge(envelope['right'])}"
            parts = "" if count == 1 else f" in {count} intervals"
            return f"polarised{parts} from {where} ({_budget(found)}){_ALSO[outcome]}"


def of_range(found: Range) -> RenderableType:
    """All that is known of it: each interval, the envelope, and what a researcher should know."""
    tested = _tested(found) if "weights" in found else None
    facts = Facts({"range": in_words(found), "outcome": found["outcome"], "tested": tested})
    remarks = [f"- {remark}" for remark in found["remarks"]]
    if not found.get("envelope"):
        return Group(facts, *remarks)
    table = Rows("band", "left edge", "confidence", "right edge", "confidence")
    for name, interval in _bands(found):
        edges = (interval["left"], interval["right"])
        table.add(
            name, *(cell for edge in edges for cell in (_edge(edge), f"{edge['confidence']:.2f}"))
        )
    return Group(facts, table, *remarks)


def _bands(found: Range) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for number, interval in enumerate(found["intervals"], start=1):
        yield f"interval {number}", interval
    yield "envelope", found["envelope"]


def _edge(edge: Mapping[str, float | None]) -> str:
    """Between which tested weights it lies."""
    low, high = edge["low"], edge["high"]
    if low is None and high is None:
        return "anywhere"
    if low is None:
        return f"below {high:.4g}"
    return f"above {low:.4g}" if high is None else f"{low:.4g}..{high:.4g}"


def _budget(found: Range) -> str:
    """What the verdicts depend on."""
    converged = {True: "converged", False: "not converged", None: "convergence unknown"}
    seeds = len(found["seeds"])
    parts = [f"{found['steps']:,} steps"]
    if found["envelope"]:
        parts.append(converged[found["converged"]])
    parts.append(f"{seeds} seed" if seeds == 1 else f"{seeds} seeds")
    if found["disagreeing"]:
        parts.append(f"seeds disagree at {', '.join(f'{at:.4g}' for at in found['disagreeing'])}")
    return ", ".join(parts)


def _tested(found: Range) -> str:
    return f"{found['weights']} weights, {found['trainings']} trainings"
