"""What is known about the band: its intervals, their envelope, and how certain their edges are."""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float64

from polar.ranges.belief import Belief, believe
from polar.ranges.search import History, Search, canonical
from polar.records.latents import Regime
from polar.records.ranges import Edge, Interval, Outcome, RangeReport

#: Least chance that an edge lies in the bracket that is stated for it.
CONFIDENCE = 0.9
#: Gaps between polarised weights are closed if they span less than this factor.
CLOSED_GAP = 1.25


def find_range(history: History, search: Search) -> RangeReport:
    """What the observations so far say about the band.

    Args:
        history: All observations so far, in any order.
        search: Where the band is searched.

    Raises:
        InvalidInput: a weight lies outside the search.
    """
    search.check(seen.weight for seen in history)
    history = canonical(history)
    belief = believe(history, (), search)
    has_band = bool((belief.polarised() & belief.tested).any())
    envelope = _envelope(belief) if has_band else None
    report = RangeReport(
        outcome=_outcome(belief, envelope, search),
        intervals=tuple(_intervals(belief, envelope)) if envelope else (),
        envelope=envelope,
        converged=_converged(history, envelope) if envelope else None,
        disagreeing=_disagreeing(history),
        weights=len({seen.weight for seen in history}),
        trainings=len(history),
        remarks=(),
    )
    return report.model_copy(update={"remarks": tuple(_remarks(report, history, belief, search))})


def edges_known(belief: Belief, search: Search) -> bool:
    """Whether each edge lies between two tested weights that are as close as the search wants."""
    return _is_fine(_envelope(belief), search)


def _is_fine(envelope: Interval, search: Search) -> bool:
    return all(
        edge.low is not None and edge.high is not None and search.is_fine(edge.low, edge.high)
        for edge in (envelope.left, envelope.right)
    )


def _envelope(belief: Belief) -> Interval:
    return Interval(
        left=_bracket(belief, belief.joint.sum(1)), right=_bracket(belief, belief.joint.sum(0))
    )


def _bracket(belief: Belief, chances: Float64[np.ndarray, " cells"]) -> Edge:
    """The shortest run of cells that holds the edge with CONFIDENCE, widened to tested weights."""
    logs = np.log(belief.axis)
    span = logs[-1] - logs[0]
    bounds = np.concatenate([[logs[0] - span], logs, [logs[-1] + span]])  # of the cells
    below = np.concatenate([[0], np.cumsum(chances)])  # (n+2,)
    ends = np.searchsorted(below, below + CONFIDENCE * below[-1])
    (starts,) = np.nonzero(ends < len(bounds))
    start = starts[(bounds[ends[starts]] - bounds[starts]).argmin()]
    tested = np.flatnonzero(belief.tested) + 1  # as places in bounds
    low = max(tested[tested <= start], default=0)
    high = min(tested[tested >= ends[start]], default=len(bounds) - 1)
    return Edge(
        low=float(belief.axis[low - 1]) if low > 0 else None,
        high=float(belief.axis[high - 1]) if high < len(bounds) - 1 else None,
        confidence=min(float(below[high] - below[low]), 1.0),
    )


def _intervals(belief: Belief, envelope: Interval) -> Iterator[Interval]:
    (tested,) = np.nonzero(belief.tested)
    weights = belief.axis[tested]
    chances = (belief.in_band() * belief.solid)[tested]
    inside = belief.polarised()[tested]
    turns = np.flatnonzero(np.diff(inside)).tolist()
    # each gap lies between two turns of the verdict within the envelope
    first = 1 if not inside[0] else 0
    gaps = list(zip(turns[first::2], turns[first + 1 :: 2], strict=False))
    left = envelope.left
    for leave, enter in gaps:
        middles = [weights[turn] * weights[turn + 1] for turn in (leave, enter)]
        if middles[1] / middles[0] >= CLOSED_GAP**2:
            yield Interval(left=left, right=_inner_edge(weights, chances, leave))
            left = _inner_edge(weights, chances, enter)
    yield Interval(left=left, right=envelope.right)


def _inner_edge(
    weights: Float64[np.ndarray, " k"], chances: Float64[np.ndarray, " k"], turn: int
) -> Edge:
    """The edge between two tested weights of which exactly one is polarised."""
    apart = sorted(chances[turn : turn + 2])
    return Edge(
        low=float(weights[turn]),
        high=float(weights[turn + 1]),
        confidence=float(apart[1] * (1 - apart[0])),
    )


def _outcome(belief: Belief, envelope: Interval | None, search: Search) -> Outcome:
    if envelope is None:
        return Outcome.NO_BAND
    if _is_fine(envelope, search):
        return Outcome.FOUND
    ends = (envelope.left.low, belief.tested[0]), (envelope.right.high, belief.tested[-1])
    is_open = any(beyond is None and tested for beyond, tested in ends)
    return Outcome.OPEN if is_open else Outcome.COARSE


def _converged(history: History, envelope: Interval) -> bool | None:
    left, right = envelope.left, envelope.right
    brackets = (left.low, left.high, right.low, right.high)
    answers = [seen.converged for seen in history if seen.weight in brackets]
    return False if False in answers else None if None in answers else True


def _disagreeing(history: History) -> tuple[float, ...]:
    verdicts: dict[float, set[str]] = {}
    for seen in history:
        verdicts.setdefault(seen.weight, set()).add(seen.regime)
    return tuple(weight for weight, regimes in verdicts.items() if len(regimes) > 1)


def _remarks(
    report: RangeReport, history: History, belief: Belief, search: Search
) -> Iterator[str]:
    if report.envelope is None:
        yield _why_no_band(report, belief)
        if overruled := sum(seen.regime is Regime.POLARISED for seen in history):
            yield f"Trainings whose polarised verdict is taken for a flip: {overruled}."
    else:
        yield from _about_edges(report.envelope, search)
    if len(report.intervals) > 1:
        yield f"The band is {len(report.intervals)} intervals with gaps between them."
    if report.disagreeing:
        weights = ", ".join(f"{weight:.4g}" for weight in report.disagreeing)
        yield f"Seeds disagree on the verdict at {weights}."
    if report.converged is False:
        yield "Trainings next to an edge have not converged: more steps may move it."


def _why_no_band(report: RangeReport, belief: Belief) -> str:
    if not report.weights:
        return "No band found: nothing has been tested."
    tested = belief.axis[belief.tested]
    trials = f"none of {report.weights} tested weights, {tested[0]:.4g} to {tested[-1]:.4g},"
    place = _bracket(belief, np.diagonal(belief.joint))
    return f"No band found: {trials} is polarised. A band could still lie here: {place.words()}."


def _about_edges(envelope: Interval, search: Search) -> Iterator[str]:
    for side, edge in (("left", envelope.left), ("right", envelope.right)):
        if edge.low is None or edge.high is None:
            yield f"The {side} edge is open: it lies {edge.words()}."
        elif not search.is_fine(edge.low, edge.high):
            factor = edge.high / edge.low
            yield (
                f"The {side} edge is known within a factor {factor:.3g} ({edge.words()}); "
                f"wanted: {search.factor:g}."
            )
