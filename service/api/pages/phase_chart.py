"""The phase diagram of a study as a chart whose marks lead to their runs."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal
from uuid import UUID

from polar.records.latents import Regime
from polar.records.ranges import Edge, Interval, StudyRange
from service.api.pages.charts import INSIDE, PLOT, Axis

ROW, PANEL, GAP, TOP, BOTTOM = 26.0, 74.0, 14.0, 12.0, 44.0
#: Stretches of the axis between neighbouring weights that are longer than this part of it are
#: shown as not tested.
UNTESTED = 1 / 12
#: Room that they leave beside the weights that were tested.
BESIDE = 5.0
REGIMES = (
    Regime.UNDER_REGULARISED,
    Regime.POLARISED,
    Regime.CLEAN,
    Regime.FORMING,
    Regime.COLLAPSED,
    Regime.UNTRAINED,
)
#: Regimes that have a row only if a training is in them.
SELDOM = {Regime.POLARISED, Regime.UNTRAINED}

Row = Literal["running", "waiting"] | Regime


@dataclass(frozen=True)
class Dot:
    """A training of the study: finished, in work, or waiting for its turn."""

    run_id: UUID
    weight: float
    seed: int
    #: The row of the uppermost panel in which it is.
    row: Row
    #: Verdict, step and the like in words, for whoever points at the mark.
    words: str
    #: None until the verdict is final.
    n_active: float | None = None
    polarisation: float | None = None
    explained: float | None = None
    is_settled: bool = False


@dataclass(frozen=True)
class Mark:
    """Where a training is drawn: above its weight, once in every panel that knows its value."""

    dot: Dot
    x: float
    ys: Sequence[float]


@dataclass(frozen=True)
class Panel:
    name: str
    top: float
    bottom: float
    ticks: Sequence[tuple[float, str]]
    #: The height at which each training is drawn; None if it is not drawn here.
    heights: Sequence[float | None]


@dataclass(frozen=True)
class Span:
    """A stretch of the axis of weights in the drawing."""

    x: float
    width: float
    words: str


@dataclass(frozen=True)
class PhaseChart:
    field: str
    height: float
    panels: Sequence[Panel]
    ticks: Sequence[tuple[float, str]]
    marks: Sequence[Mark]
    #: Where the space is in the band, as far as is known.
    bands: Sequence[Span]
    #: Where the edges lie, by the belief of the range.
    edges: Sequence[Span]
    untested: Sequence[Span]
    #: The regimes that the marks show, for the legend.
    shown: Sequence[Row]


def phase_chart(
    field: str,
    ends: tuple[float, float],
    is_log: bool,
    dots: Sequence[Dot],
    study_range: StudyRange | None,
) -> PhaseChart:
    """Lay out the trainings of a study along its weight.

    Args:
        field: The swept field, such as `model.beta`.
        ends: Both ends of the search.
        is_log: Whether the axis is logarithmic.
        dots: The trainings.
        study_range: What the study has found; None before its first completed trials.
    """
    axis = Axis(*ends, INSIDE, PLOT - INSIDE, is_log)
    panels = [_verdicts(dots)]
    for name, attribute in (("active", "n_active"), ("P", "polarisation"), ("R", "explained")):
        values = [getattr(dot, attribute) for dot in dots]
        panels.append(_measure(name, values, panels[-1].bottom + GAP))
    of_dots = zip(*(panel.heights for panel in panels), strict=True)
    marks = [
        Mark(dot, axis.at(dot.weight), [y for y in heights if y is not None])
        for dot, heights in zip(dots, of_dots, strict=True)
    ]
    intervals = study_range.intervals if study_range else ()
    return PhaseChart(
        field=field,
        height=panels[-1].bottom + BOTTOM,
        panels=panels,
        ticks=axis.ticks(),
        marks=marks,
        bands=[span for interval in intervals for span in _band(axis, interval)],
        edges=[
            _edge(axis, side, edge)
            for interval in intervals
            for side, edge in (("left", interval.left), ("right", interval.right))
        ],
        untested=_untested(axis, {mark.x for mark in marks}),
        shown=[row for row in _rows(dots) if any(dot.row == row for dot in dots)],
    )


def _rows(dots: Sequence[Dot]) -> list[Row]:
    seen = {dot.row for dot in dots}
    regimes: list[Row] = [regime for regime in REGIMES if regime not in SELDOM or regime in seen]
    in_flight: tuple[Row, ...] = ("running", "waiting")
    return regimes + [row for row in in_flight if row in seen]


def _verdicts(dots: Sequence[Dot]) -> Panel:
    rows = _rows(dots)
    middle = {row: TOP + ROW * (place + 0.5) for place, row in enumerate(rows)}
    seeds = sorted({dot.seed for dot in dots})
    apart = min(5.0, 16.0 / max(1, len(seeds)))
    offset = {seed: apart * (place - (len(seeds) - 1) / 2) for place, seed in enumerate(seeds)}
    return Panel(
        name="verdict",
        top=TOP,
        bottom=TOP + ROW * len(rows),
        ticks=[(middle[row], row.replace("_", "-")) for row in rows],
        heights=[round(middle[dot.row] + offset[dot.seed], 1) for dot in dots],
    )


def _measure(name: str, values: Sequence[float | None], top: float) -> Panel:
    known = [value for value in values if value is not None]
    least, most = min(known, default=0.0), max(known, default=1.0)
    up = Axis(min(0.0, least), max(1.0, most), top + PANEL - 8, top + 8)
    return Panel(
        name=name,
        top=top,
        bottom=top + PANEL,
        ticks=up.ticks(most=3),
        heights=[None if value is None else up.at(value) for value in values],
    )


def _band(axis: Axis, interval: Interval) -> Iterable[Span]:
    low = axis.low if interval.left.high is None else interval.left.high
    high = axis.high if interval.right.low is None else interval.right.low
    if low < high:
        yield Span(*axis.stretch(low, high), f"band: {interval.words()}")


def _edge(axis: Axis, side: str, edge: Edge) -> Span:
    low = axis.low if edge.low is None else edge.low
    high = axis.high if edge.high is None else edge.high
    confidence = "" if edge.confidence is None else f", {edge.confidence:.0%} over seeds"
    return Span(*axis.stretch(low, high), f"{side} edge: {edge.words()}{confidence}")


def _untested(axis: Axis, tested: Iterable[float]) -> list[Span]:
    gaps = pairwise([axis.begin, *sorted(tested), axis.end])
    longest = UNTESTED * (axis.end - axis.begin)
    return [
        Span(begin + BESIDE, round(end - begin - 2 * BESIDE, 1), "no training here")
        for begin, end in gaps
        if end - begin > longest
    ]
