"""Weight against steps: the verdicts of trainings on their way, and how the band's edges move."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from textwrap import wrap

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

from polar.figures.style import (
    BAND,
    BLACK,
    BRACKET,
    REGIMES,
    SIZE_INCHES,
    Style,
    canvases,
    draw_legend,
)
from polar.figures.tables import one_of, read, refuse_others
from polar.ranges import Search
from polar.records.latents import Regime
from polar.records.ranges import AtBudget, RangeReport

#: Factor of the steps between the marks of neighbouring seeds of a weight at the same step, so
#: that none hides another.
APART = 1.06
MARK_SIZE = 3.5
THROUGH_EDGES: Style = {"color": BLACK, "linewidth": 1.2, "zorder": 4}
#: Most characters in a line of the title.
TITLE_CHARACTERS = 80
#: The figure grows by this for each line of the headline, which leaves the axes their height.
LINE_INCHES = 0.17
#: Length of the axes beyond their ends, as a factor.
PADDING = 1.2
#: How far beyond its steps a single budget is drawn, as a factor.
TALL = 1.1


def weight_by_steps(table: pd.DataFrame, search: Search, report: RangeReport) -> Figure:
    """The verdict of every training at every evaluation, and both edges at every budget.

    Each mark is an evaluation of a training. A line joins the places of an edge, and its interval
    is hatched; spaces are in the band where it is shaded. What is known at a single budget is
    drawn a little below and above its steps.

    Args:
        table: One row for each evaluation of each training. Columns: `model`, `dataset`, `field`
            (the swept field, such as `model.beta`), `weight`, `seed`, `steps` (1 or more),
            `regime`.
        search: The logarithmic axis on which the band was searched.
        report: What is known about the band, with its edges by steps.

    Raises:
        InvalidInput: the table is empty, lacks a column, has values that are not allowed, or has
            several fields, models or datasets; or a weight lies outside the search.
    """
    names = ["model", "dataset", "field", "regime"]
    rows = read(table, ["weight", "seed", "steps"], names, key=["weight", "seed", "steps"])
    refuse_others(rows["regime"], [regime.value for regime in Regime])
    search.check(rows["weight"])
    about = f"{one_of(rows, 'model')}, {one_of(rows, 'dataset')}"
    headline = wrap(report.headline, TITLE_CHARACTERS)
    height_inches = SIZE_INCHES[1] + LINE_INCHES * len(headline)
    figure, grid = canvases("\n".join([about, *headline]), 1, 1, height_inches)
    axes = grid[0, 0]
    _draw_axes(axes, one_of(rows, "field"), rows["steps"], search)
    _draw_verdicts(axes, rows)
    budgets = [at for at in report.by_steps if at.envelope]
    edges = _draw_edges(axes, budgets)
    draw_legend(figure, [*_regimes(rows), *edges])
    return figure


def budget_table(report: RangeReport) -> pd.DataFrame:
    """Both edges at every budget: a row for each edge, with missing values where it is open."""
    return pd.DataFrame(
        {
            "steps": at.steps,
            "trainings": at.trainings,
            "edge": side,
            **edge.model_dump(include={"low", "at", "high", "confidence", "width"}),
        }
        for at in report.by_steps
        if at.envelope
        for side, edge in (("left", at.envelope.left), ("right", at.envelope.right))
    )


def _draw_axes(axes: Axes, field: str, steps: pd.Series, search: Search) -> None:
    axes.set_xscale("log")
    axes.set_xlim(search.low / PADDING, search.high * PADDING)
    axes.set_xlabel(field)
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.set_yscale("log")
    axes.set_ylim(steps.min() / PADDING, steps.max() * PADDING)
    axes.set_ylabel("training step")
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.xaxis.set_minor_formatter(NullFormatter())
    if steps.max() < 20 * steps.min():
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    if search.high < 100 * search.low:
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))


def _draw_verdicts(axes: Axes, rows: pd.DataFrame) -> None:
    seeds = rows.groupby(["weight", "steps"])["seed"]
    places, numbers = seeds.rank() - 1, seeds.transform("size")
    heights = rows["steps"] * APART ** (places - (numbers - 1) / 2)
    for regime, style in REGIMES.items():
        own = rows["regime"] == regime.value
        if own.any():
            axes.plot(rows["weight"][own], heights[own], **style, markersize=MARK_SIZE, zorder=3)
    if numbers.max() > 1:
        axes.set_ylabel("training step (seeds of a weight are shifted apart)")


def _draw_edges(axes: Axes, budgets: Sequence[AtBudget]) -> list[Artist]:
    """Shade the band between both intervals, hatch the intervals and join the edges by lines.

    Returns:
        What the legend shows of them.
    """
    steps: list[float] = [at.steps for at in budgets]
    left = [at.envelope.left for at in budgets if at.envelope]
    right = [at.envelope.right for at in budgets if at.envelope]
    if not budgets:
        return []
    if len(budgets) == 1:  # a line and an area need two heights
        steps, left, right = [steps[0] / TALL, steps[0] * TALL], left * 2, right * 2
    lowest, highest = axes.get_xlim()
    begin = np.array([edge.high or lowest for edge in left])
    end = np.array([edge.low or highest for edge in right])
    drawn: list[Artist] = []
    if (begin < end).any():
        axes.fill_betweenx(steps, begin, np.maximum(begin, end), **BAND)
        drawn.append(Patch(**BAND, label="band"))
    for edges in (left, right):
        low = [edge.low or lowest for edge in edges]
        axes.fill_betweenx(steps, low, [edge.high or highest for edge in edges], **BRACKET)
        axes.plot([edge.middle or np.nan for edge in edges], steps, **THROUGH_EDGES)
    drawn.append(Patch(**BRACKET, label="an edge lies here"))
    if any(a.middle and b.middle for edges in (left, right) for a, b in pairwise(edges)):
        drawn.append(Line2D([], [], **THROUGH_EDGES, label="edge"))
    return drawn


def _regimes(rows: pd.DataFrame) -> Iterator[Artist]:
    for regime, style in REGIMES.items():
        if (rows["regime"] == regime.value).any():
            yield Line2D([], [], **style, label=regime.value.replace("_", "-"))
