"""The losses of trained models at every weight, and their envelope, which bounds the optimum."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from polar.errors import InvalidInput
from polar.figures.style import BLACK, GREY, REGIMES, SYMBOLS, Style, canvas, draw_legend
from polar.figures.tables import one_of, read, refuse_others

NUMBERS = ["weight", "seed", "steps", "gain_nats", "rise_nats", "not_optimal"]
NAMES = ["model", "dataset", "weight_name", "regime"]
#: Points of the envelope. Chosen by us, because they leave no visible corner rounded.
POINTS = 1000
#: Length of the axis beyond the largest weight, and room above and below the losses, as fractions.
PADDING = 0.05
#: Room above total collapse, as a fraction of the depth of the envelope, for the lines that rise.
ABOVE_COLLAPSE = 0.2
MODEL_LINE: Style = {"linewidth": 0.6, "alpha": 0.6, "zorder": 1}
COLLAPSE_LINE: Style = {"color": GREY, "linestyle": "--", "linewidth": 1.0, "zorder": 2}
ENVELOPE_LINE: Style = {"color": BLACK, "linewidth": 1.4, "zorder": 2}
NOT_OPTIMAL: Style = {
    "color": BLACK,
    "marker": "x",
    "markersize": 9,
    "linestyle": "",
    "zorder": 4,
}


def loss_envelope(table: pd.DataFrame, weights: tuple[float, float] | None = None) -> Figure:
    """The loss of each model minus that of total collapse, by weight, and the least of them all.

    A model is a straight line, with a mark at the weight that it was trained at. A cross marks a
    model that is not optimal there.

    Args:
        table: One row for each model of one problem. Columns: `model`, `dataset`, `weight_name`
            (such as `beta`), `weight`, `seed`, `steps`, `regime`, `gain_nats` (reconstruction loss
            of the mean image minus that of the model), `rise_nats` (rise of the difference to
            total collapse for each unit of weight), `not_optimal` (true or false).
        weights: The ends of the axis; by default 0 and a little more than the largest weight.
            Models trained beyond them have a line, but no mark.

    Raises:
        InvalidInput: the table is empty, lacks a column, has values that are not allowed, or mixes
            models or datasets; or the ends do not ascend from 0 or above.
    """
    rows = read(table, NUMBERS, NAMES, at_least_0=["weight"])
    refuse_others(rows["regime"], [regime.value for regime in REGIMES])
    low, high = weights or (0.0, (1 + PADDING) * rows["weight"].max() or 1.0)
    if not 0 <= low < high < np.inf:
        raise InvalidInput(
            f"the ends of the axis are {low:g} and {high:g}; allowed: 0 <= low < high"
        )
    name = one_of(rows, "weight_name")
    figure, axes = canvas(
        f"{one_of(rows, 'model')}, {one_of(rows, 'dataset')}: what {len(rows)} trained models pay"
    )
    at = np.linspace(low, high, POINTS)
    losses = np.outer(rows["rise_nats"], at) - rows["gain_nats"].to_numpy()[:, None]
    least = np.minimum(losses.min(0), 0)
    own = (rows["rise_nats"] * rows["weight"] - rows["gain_nats"]).rename("loss")
    shown = rows["weight"].between(low, high)
    for place, regime in enumerate(rows["regime"]):
        axes.plot(at[[0, -1]], losses[place, [0, -1]], **MODEL_LINE, color=_color(regime))
    axes.axhline(0, **COLLAPSE_LINE)
    axes.plot(at, least, **ENVELOPE_LINE)
    _draw_marks(axes, rows.assign(loss=own)[shown])
    depth = max(-least.min(), -own[shown].min(), 0) or 1.0
    top = max(ABOVE_COLLAPSE * depth, own[shown].max() + PADDING * depth)
    axes.set_ylim(-(1 + PADDING) * depth, top)
    axes.set_xlim(low, high)
    axes.set_xlabel(f"weight {SYMBOLS.get(name, name)}")
    axes.set_ylabel("loss above that of total collapse (nats)")
    draw_legend(figure, [*_handles(rows[shown])])
    return figure


def _draw_marks(axes: Axes, rows: pd.DataFrame) -> None:
    for regime, style in REGIMES.items():
        own = rows[rows["regime"] == regime.value]
        axes.plot(own["weight"], own["loss"], **style, markersize=5, zorder=3)
    beaten = rows[rows["not_optimal"] == 1]
    axes.plot(beaten["weight"], beaten["loss"], **NOT_OPTIMAL)


def _color(word: str) -> str:
    (color,) = {style["color"] for regime, style in REGIMES.items() if regime.value == word}
    return f"{color}"


def _handles(rows: pd.DataFrame) -> Iterator[Artist]:
    for regime, style in REGIMES.items():
        if (rows["regime"] == regime.value).any():
            yield Line2D([], [], **style, label=regime.value.replace("_", "-"))
    if (rows["not_optimal"] == 1).any():
        yield Line2D([], [], **NOT_OPTIMAL, label="not optimal")
    yield Line2D([], [], **ENVELOPE_LINE, label="least known loss")
    yield Line2D([], [], **COLLAPSE_LINE, label="total collapse")
