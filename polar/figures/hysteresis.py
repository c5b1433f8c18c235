"""Hysteresis: what trainings come to from scratch, and where they go on from inside the band."""

from collections.abc import Iterator
from textwrap import wrap

import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from polar.errors import InvalidInput
from polar.figures.phases import MEASURES, draw_field_axis
from polar.figures.style import (
    BAND,
    BLACK,
    BRACKET,
    GREY,
    REGIMES,
    ROUND,
    SKY,
    Style,
    canvases,
    draw_legend,
)
from polar.figures.tables import one_of, read, refuse_others
from polar.ranges import Search
from polar.records.ranges import Interval, RangeReport

NAMES = ["model", "dataset", "field", "regime"]
SHOWN = ["n_active", "explained"]
NUMBERS = ["weight", "seed", *SHOWN]
KEY = ["weight", "seed", "warm_start"]
HEIGHT_INCHES = 5.2
#: Most characters in a line of the title.
TITLE_CHARACTERS = 80
#: The weights at which the band is held, and is not reached from scratch.
HELD_ONLY = BAND | {"facecolor": SKY}
HELD_BRACKET = BRACKET | {"edgecolor": SKY, "hatch": r"\\\\\\"}
FILLED: Style = {"markeredgecolor": "white", "markeredgewidth": 0.5, "zorder": 3}
OPEN: Style = {"markerfacecolor": "white", "zorder": 4}
FROM_DONOR: Style = {"color": GREY, "linewidth": 0.6, "zorder": 2}
MARK_SIZE = 5.5


def hysteresis_diagram(
    table: pd.DataFrame, search: Search | None = None, report: RangeReport | None = None
) -> Figure:
    """Active latents and explained part R by weight, from scratch and from inside the band.

    Filled marks are trainings from scratch. Open marks are trainings that went on from the end of
    another, from whose mark a line leads to them.

    Args:
        table: One row for each training. Columns: `model`, `dataset`, `field` (the swept field,
            such as `model.beta`), `weight` (the field's value), `seed`, `regime`, `n_active`,
            `explained` R (at most 1), and `warm_start` (the weight of the training from whose end
            it went on, which has the same seed; missing for a training from scratch).
        search: The logarithmic axis on which the band was searched; without it the axis is linear
            and covers the weights.
        report: What is known about the band. It is shaded in green, and where it is only held, in
            blue; edges lie where it is hatched.

    Raises:
        InvalidInput: the table is empty, lacks a column, has values that are not allowed, or has
            several fields, models or datasets; no training went on from another; or a weight lies
            outside the search.
    """
    rows = read(table, NUMBERS, NAMES, optional=["warm_start"], at_least_0=["n_active"], key=KEY)
    refuse_others(rows["regime"], [regime.value for regime in REGIMES])
    if search is not None:
        search.check(rows["weight"])
    went_on = rows["warm_start"].notna()
    if not went_on.any():
        raise InvalidInput(
            "no training of the table went on from another; allowed: at least 1 with a warm_start"
        )
    about = f"{one_of(rows, 'model')}, {one_of(rows, 'dataset')}"
    headline = wrap(report.headline, TITLE_CHARACTERS) if report else []
    figure, grid = canvases("\n".join([about, *headline]), 2, 1, HEIGHT_INCHES, sharex=True)
    panels = grid[:, 0]
    draw_field_axis(panels[-1], one_of(rows, "field"), rows["weight"], search)
    for axes, column in zip(panels, SHOWN, strict=True):
        _draw_measure(axes, rows[~went_on], rows[went_on], column)
        axes.set_ylabel(MEASURES[column], fontsize="small")
        if report and report.envelope:
            _shade(axes, report.envelope, report.held)
    panels[0].yaxis.set_major_locator(MaxNLocator(4, steps=ROUND, integer=True))
    figure.align_ylabels(panels)
    draw_legend(figure, [*_handles(rows, report)])
    return figure


def hysteresis_table(table: pd.DataFrame, report: RangeReport | None = None) -> pd.DataFrame:
    """The numbers of the figure: the trainings, then a row for each edge.

    The columns of an edge are `edge` (such as `held right`), `low` and `high`, which are missing
    values where the edge is open, and `confidence`.
    """
    bands = [("from scratch", report.envelope), ("held", report.held)] if report else []
    edges = [
        {"edge": f"{kind} {side}", **edge.model_dump(include={"low", "high", "confidence"})}
        for kind, band in bands
        if band is not None
        for side, edge in (("left", band.left), ("right", band.right))
    ]
    # nullable types keep whole numbers whole despite missing values
    return pd.concat([rows.convert_dtypes() for rows in (table, pd.DataFrame(edges))])


def _draw_measure(axes: Axes, scratch: pd.DataFrame, held: pd.DataFrame, column: str) -> None:
    by_donor = scratch.set_index(["weight", "seed"])[column]
    for _, row in held.iterrows():
        donor = (row["warm_start"], row["seed"])
        if donor in by_donor.index:
            axes.plot([donor[0], row["weight"]], [by_donor[donor], row[column]], **FROM_DONOR)
    for regime, style in REGIMES.items():
        for rows, look in ((scratch, FILLED), (held, OPEN)):
            own = rows[rows["regime"] == regime.value]
            axes.plot(own["weight"], own[column], **style | look, markersize=MARK_SIZE)
    both = pd.concat([scratch[column], held[column]])
    top = max(1.0, both.max())
    axes.set_ylim(min(0.0, both.min()) - 0.08 * top, 1.08 * top)


def _shade(axes: Axes, envelope: Interval, held: Interval | None) -> None:
    """Shade the band, and where it is only held, and hatch the brackets of all edges."""
    lowest, highest = axes.get_xlim()
    left, right = envelope.left.high or lowest, envelope.right.low or highest
    if left < right:
        axes.axvspan(left, right, **BAND)
    bands = [(envelope, BRACKET)]
    if held is not None:
        bands.append((held, HELD_BRACKET))
        beyond = [
            (held.left.high or lowest, envelope.left.low or lowest),
            (envelope.right.high or highest, held.right.low or highest),
        ]
        for low, high in beyond:
            if low < high:
                axes.axvspan(low, high, **HELD_ONLY)
    for band, style in bands:
        for edge in (band.left, band.right):
            axes.axvspan(edge.low or lowest, edge.high or highest, **style)


def _handles(rows: pd.DataFrame, report: RangeReport | None) -> Iterator[Artist]:
    for regime, style in REGIMES.items():
        if (rows["regime"] == regime.value).any():
            yield Line2D([], [], **style, label=regime.value.replace("_", "-"))
    mark: Style = {"color": BLACK, "marker": "o"}
    yield Line2D([], [], **mark, linestyle="", label="from scratch")
    yield Line2D([], [], **mark | OPEN | {"linewidth": 0.6}, label="from inside the band")
    if report and report.envelope:
        yield Patch(**BAND, label="band from scratch")
        yield Patch(**BRACKET, label="its edge lies here")
        if report.held:
            yield Patch(**HELD_ONLY, label="only held")
            yield Patch(**HELD_BRACKET, label="held edge lies here")
