"""Phase diagrams: the regimes of trainings along a swept field, and the band."""

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter, StrMethodFormatter

from polar.figures.style import (
    BAND,
    BLACK,
    BRACKET,
    EDGE_LINE,
    FLAWS,
    GREY,
    REGIMES,
    ROUND,
    SEVERAL_FLAWS,
    Style,
    canvases,
    draw_legend,
)
from polar.figures.tables import lists_of, one_of, read, refuse_others
from polar.ranges import Search
from polar.records.latents import Flaw, Regime
from polar.records.ranges import Interval, RangeReport

NAMES = ["model", "dataset", "field", "regime"]
MEASURES = {
    "n_active": "active\nlatents",
    "polarisation": "polarisation\nP",
    "explained": "explained\nR",
}
NUMBERS = ["steps", "weight", "seed", *MEASURES, "settled"]
#: The regimes in the rows of the uppermost panel, from top to bottom.
ORDER = (
    Regime.UNDER_REGULARISED,
    Regime.POLARISED,
    Regime.CLEAN,
    Regime.FORMING,
    Regime.COLLAPSED,
    Regime.UNTRAINED,
)
#: Those that have a row only if a training is in them.
SELDOM = {Regime.POLARISED, Regime.UNTRAINED}
#: Most trainings whose marks are not crowded.
FEW = 60
#: Distance between neighbouring seeds of a weight, and largest distance between its outermost
#: seeds, as fractions of a row of the uppermost panel.
APART, MOST_APART = 0.18, 0.6
#: Length of the axis beyond either end of the search, as a fraction of the search.
PADDING = 0.03
HEIGHT_INCHES = 6.4
#: Style of the marks of trainings that have not settled, and of those that have if they are few.
HOLLOW: Style = {"markerfacecolor": "white"}
APART_BY_WHITE: Style = {"markeredgecolor": "white", "markeredgewidth": 0.5}
THROUGH_MEANS: Style = {"color": GREY, "linewidth": 0.8, "zorder": 2}


def phase_diagram(
    table: pd.DataFrame, search: Search | None = None, report: RangeReport | None = None
) -> Figure:
    """Verdict, active latents, polarisation P and explained part R of trainings, by weight.

    Each mark is a training; hollow marks have not settled. Grey lines join the means over seeds.

    Args:
        table: One row for each training. Columns: `model`, `dataset`, `field` (the swept field,
            such as `model.beta`), `steps`, `weight` (the field's value), `seed`, `regime`,
            `n_active`, `polarisation` P (0 to 1), `explained` R (at most 1), `settled` (true or
            false), and, where it is known, `flaws` (those of a forming space, as a list or array).
            Where P and R are known only as means over the seeds, each seed has that mean.
        search: The logarithmic axis on which the band was searched; without it the axis is linear
            and covers the weights.
        report: What is known about the band, which is shaded; edges lie where it is hatched.

    Raises:
        InvalidInput: the table is empty, lacks a column, has values that are not allowed, or has
            several fields, models or datasets; or a weight lies outside the search.
    """
    rows = read(table, NUMBERS, NAMES, at_least_0=["n_active"], key=["weight", "seed"])
    refuse_others(rows["regime"], [regime.value for regime in Regime])
    rows["kind"] = _kinds(table, rows["regime"])
    field = one_of(rows, "field")
    if search is not None:
        search.check(rows["weight"])
    figure, grid = canvases(
        _title(rows, report), 4, 1, HEIGHT_INCHES, sharex=True, height_ratios=[1.5, 1, 1, 1]
    )
    panels = grid[:, 0]
    draw_field_axis(panels[-1], field, rows["weight"], search)
    _draw_verdicts(panels[0], rows)
    for axes, (column, name) in zip(panels[1:], MEASURES.items(), strict=True):
        _draw_measure(axes, rows, column)
        axes.set_ylabel(name, fontsize="small")
    panels[1].yaxis.set_major_locator(MaxNLocator(4, steps=ROUND, integer=True))
    for axes in panels[2:]:
        axes.set_yticks([0.0, 0.5, 1.0])
    intervals = report.intervals if report else ()
    for axes in panels:
        for interval in intervals:
            _shade(axes, interval)
    if report and report.envelope:
        _say_what_is_open(panels[0], report.envelope)
    figure.align_ylabels(panels[1:])
    draw_legend(figure, [*_regime_handles(rows), *_band_handles(intervals)])
    return figure


def phase_table(table: pd.DataFrame, report: RangeReport | None = None) -> pd.DataFrame:
    """The numbers of a phase diagram: the trainings, then a row for each edge of each interval.

    The columns of an edge are `interval` (counted from 1), `edge` (left, right), `low` and `high`,
    which are missing values where the edge is open, and `confidence`.
    """
    edges = [
        {"interval": place, "edge": side, **edge.model_dump()}
        for place, interval in enumerate(report.intervals if report else (), start=1)
        for side, edge in (("left", interval.left), ("right", interval.right))
    ]
    if not edges:
        return table
    # nullable types keep whole numbers whole despite missing values
    return pd.concat([rows.convert_dtypes() for rows in (table, pd.DataFrame(edges))])


def _title(rows: pd.DataFrame, report: RangeReport | None) -> str:
    model, dataset = one_of(rows, "model"), one_of(rows, "dataset")
    ends = sorted({rows["steps"].min(), rows["steps"].max()})  # two ends if steps are swept
    steps = " to ".join(f"{end:,.0f}" for end in ends)
    settled = f"{rows['settled'].sum():.0f} of {len(rows)} trainings settled"
    about = f"{model}, {dataset}, {steps} steps: {settled}"
    return about if report is None else f"{about}\n{_about_band(report)}"


def _about_band(report: RangeReport) -> str:
    if report.envelope is None:
        return f"no {report.of} band found"
    parts = f" in {len(report.intervals)} intervals" if len(report.intervals) > 1 else ""
    return f"{report.of}{parts} from {report.envelope.words()}, as reached from scratch"


def draw_field_axis(axes: Axes, field: str, weights: pd.Series, search: Search | None) -> None:
    """Draw the axis of the swept field, logarithmic where it was searched on such an axis."""
    axes.set_xlabel(field)
    if search is None:
        padding = PADDING * np.ptp(weights) or 1.0
        axes.set_xlim(weights.min() - padding, weights.max() + padding)
        axes.xaxis.set_major_locator(MaxNLocator(8, steps=ROUND))
        return
    decades = np.log10(search.high / search.low)
    padding = 10 ** (PADDING * decades)
    axes.set_xscale("log")
    axes.set_xlim(search.low / padding, search.high * padding)
    if decades < 2:
        subs = (1, 1.5, 2, 3, 5, 7) if decades < 1 else (1, 2, 5)
        axes.xaxis.set_major_locator(LogLocator(subs=subs))
        axes.xaxis.set_minor_formatter(NullFormatter())
    if decades < 5:
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))


def _draw_verdicts(axes: Axes, rows: pd.DataFrame) -> None:
    """Draw the verdicts in a row for each regime, with the seeds of a weight above each other."""
    seeds = sorted(rows["seed"].unique())
    apart = min(APART, MOST_APART / len(seeds))
    seen = set(rows["regime"])
    shown = [regime for regime in ORDER if regime not in SELDOM or regime in seen]
    heights = rows["regime"].map({regime.value: place for place, regime in enumerate(shown)})
    offsets = rows["seed"].map({seed: place for place, seed in enumerate(seeds)})
    _draw_marks(axes, rows, heights + apart * (offsets - (len(seeds) - 1) / 2))
    axes.set_ylim(len(shown) - 0.5, -0.5)
    axes.set_yticks(range(len(shown)), [_word(regime) for regime in shown])
    axes.tick_params(axis="y", length=0)
    for border in range(1, len(shown)):
        axes.axhline(border - 0.5, color=GREY, linewidth=0.4, zorder=1)


def _word(regime: Regime) -> str:
    return regime.value.replace("_", "-")


def _styles() -> Iterator[tuple[str, Style]]:
    """A style for each kind of verdict: a regime, or a forming space by its flaws."""
    for regime in ORDER:
        yield _word(regime), REGIMES[regime]
        if regime is Regime.FORMING:
            for flaw, marker in FLAWS.items():
                yield f"forming: {flaw}", REGIMES[regime] | {"marker": marker}
            yield "forming: several flaws", REGIMES[regime] | {"marker": SEVERAL_FLAWS}


_KINDS = dict(_styles())


def _kinds(table: pd.DataFrame, regimes: pd.Series) -> list[str]:
    if "flaws" not in table.columns:
        return [_word(Regime(regime)) for regime in regimes]
    flaws = lists_of(table["flaws"], [flaw.value for flaw in Flaw])
    return [_kind(Regime(regime), own) for regime, own in zip(regimes, flaws, strict=True)]


def _kind(regime: Regime, flaws: Sequence[str]) -> str:
    if not flaws:
        return _word(regime)
    return f"forming: {Flaw(flaws[0])}" if len(flaws) == 1 else "forming: several flaws"


def _draw_measure(axes: Axes, rows: pd.DataFrame, column: str) -> None:
    means = rows.groupby("weight")[column].mean()
    axes.plot(means.index, means, **THROUGH_MEANS)
    _draw_marks(axes, rows, rows[column])
    top = max(1.0, rows[column].max())
    axes.set_ylim(min(0.0, rows[column].min()) - 0.08 * top, 1.08 * top)


def _draw_marks(axes: Axes, rows: pd.DataFrame, heights: pd.Series) -> None:
    filled, size = (APART_BY_WHITE, 5.5) if len(rows) <= FEW else ({}, 3.5)
    for kind, style in _KINDS.items():
        for settled, look in ((0.0, HOLLOW), (1.0, filled)):
            own = (rows["kind"] == kind) & (rows["settled"] == settled)
            if own.any():
                mark = style | look | {"markersize": size}
                axes.plot(rows["weight"][own], heights[own], **mark, zorder=3)


def _shade(axes: Axes, interval: Interval) -> None:
    """Shade the band between the inner ends of its edges, and hatch the brackets of both edges."""
    lowest, highest = axes.get_xlim()
    left, right = interval.left, interval.right
    begin = lowest if left.high is None else left.high
    end = highest if right.low is None else right.low
    if begin < end:
        axes.axvspan(begin, end, **BAND)
    for edge in (left, right):
        axes.axvspan(edge.low or lowest, edge.high or highest, **BRACKET)
        for known in (edge.low, edge.high):
            if known is not None:
                axes.axvline(known, **EDGE_LINE)


def _say_what_is_open(axes: Axes, envelope: Interval) -> None:
    if envelope.left.low is None:
        axes.set_title("◂ open", loc="left", fontsize="small")
    if envelope.right.high is None:
        axes.set_title("open ▸", loc="right", fontsize="small")


def _regime_handles(rows: pd.DataFrame) -> Iterator[Artist]:
    for kind, style in _KINDS.items():
        if (rows["kind"] == kind).any():
            yield Line2D([], [], **style, label=kind)
    if not rows["settled"].all():
        mark: Style = {"color": BLACK, "marker": "o", "linestyle": ""}
        yield Line2D([], [], **mark | HOLLOW, label="not settled")


def _band_handles(intervals: Sequence[Interval]) -> Iterator[Artist]:
    if intervals:
        yield Patch(**BAND, label="band")
        yield Patch(**BRACKET, label="an edge lies here")
