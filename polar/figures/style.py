"""How all figures look: colours, marks, sizes, and the elements that many figures share.

The colours are those of Okabe and Ito (2008), which colour-blind readers can tell apart. Whatever
a colour says, a marker, a line style or a hatching says too, so a grey print loses nothing.
Nothing here touches the global state of matplotlib.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Int
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter, StrMethodFormatter

from polar.errors import InvalidInput
from polar.records.latents import Flaw, Label, Regime

BLACK, GREY = "black", "#8C8C8C"
BLUE, VERMILION, GREEN, ORANGE = "#0072B2", "#D55E00", "#009E73", "#E69F00"
PURPLE, SKY = "#CC79A7", "#56B4E9"

#: Keyword arguments of matplotlib, whose values have many types.
Style = dict[str, Any]

MARKS: dict[Label, Style] = {
    Label.ACTIVE: {"color": BLUE, "marker": "o", "markerfacecolor": BLUE, "linestyle": ""},
    Label.PASSIVE: {
        "color": VERMILION,
        "marker": "s",
        "markerfacecolor": "white",
        "linestyle": "",
    },
    Label.MIXED: {"color": GREEN, "marker": "^", "markerfacecolor": GREEN, "linestyle": ""},
    Label.UNDETERMINED: {"color": BLACK, "marker": "x", "linestyle": ""},
}
LINES: dict[Label, Style] = {
    Label.ACTIVE: MARKS[Label.ACTIVE] | {"linestyle": "-"},
    Label.PASSIVE: MARKS[Label.PASSIVE] | {"linestyle": ":"},
    Label.MIXED: MARKS[Label.MIXED] | {"linestyle": "--"},
    Label.UNDETERMINED: MARKS[Label.UNDETERMINED] | {"linestyle": "-."},
}
REGIMES: dict[Regime, Style] = {
    Regime.UNDER_REGULARISED: {"color": BLUE, "marker": "o", "linestyle": ""},
    Regime.CLEAN: {"color": GREEN, "marker": "D", "linestyle": ""},
    Regime.POLARISED: {"color": SKY, "marker": "P", "linestyle": ""},
    Regime.FORMING: {"color": ORANGE, "marker": "^", "linestyle": ""},
    Regime.COLLAPSED: {"color": VERMILION, "marker": "s", "linestyle": ""},
    Regime.UNTRAINED: {"color": GREY, "marker": "X", "linestyle": ""},
}
#: Markers of forming spaces by their only flaw, and of those with several flaws.
FLAWS: dict[Flaw, str] = {Flaw.IDLE: "^", Flaw.LEAK: "v", Flaw.BLURRED: "<"}
SEVERAL_FLAWS = ">"
#: A ring around the mark of an idle latent.
IDLE: Style = {
    "color": BLACK,
    "marker": "o",
    "markerfacecolor": "none",
    "markersize": 10,
    "linestyle": "",
    "label": "idle: active, but hardly used",
}
#: The weights of the band.
BAND: Style = {"facecolor": GREEN, "alpha": 0.18, "linewidth": 0, "zorder": 0}
#: The weights between which an edge of the band lies.
BRACKET: Style = {
    "facecolor": "white",
    "edgecolor": GREEN,
    "hatch": "//////",
    "linewidth": 0,
    "alpha": 0.6,
    "zorder": 0,
}
EDGE_LINE: Style = {"color": GREEN, "linewidth": 0.8, "zorder": 1}
#: Styles of series that are not labels: estimators, quantities, controls.
SERIES: tuple[Style, ...] = (
    {"color": BLUE, "marker": "o", "linestyle": "-"},
    {"color": VERMILION, "marker": "s", "markerfacecolor": "white", "linestyle": "--"},
    {"color": GREEN, "marker": "^", "linestyle": "-."},
    {"color": BLACK, "marker": "x", "linestyle": ":"},
    {"color": PURPLE, "marker": "D", "markerfacecolor": "white", "linestyle": (0, (5, 1, 1, 1))},
    {"color": ORANGE, "marker": "v", "linestyle": (0, (3, 1, 1, 1, 1, 1))},
    {"color": SKY, "marker": "P", "linestyle": (0, (1, 1))},
    {"color": GREY, "marker": "*", "markerfacecolor": "white", "linestyle": (0, (8, 2))},
)
#: Parts of a bar: information about the images, and the rest.
INFORMATION: Style = {"facecolor": SKY, "edgecolor": "black", "linewidth": 0.5}
RESIDUAL: Style = {
    "facecolor": "white",
    "edgecolor": VERMILION,
    "hatch": "/////",
    "linewidth": 0.5,
}
TAU_LINE: Style = {"color": "black", "linestyle": "--", "linewidth": 1.0}
MAP = "cividis"
#: Text width of a one-column article.
WIDTH_INCHES = 6.4
#: Width and height of a figure with one pair of axes.
SIZE_INCHES = (WIDTH_INCHES, 4.0)
#: Length of a legend's row, and room that a handle takes in it, in characters.
LEGEND_CHARACTERS, HANDLE_CHARACTERS = 78, 7
#: Distances between ticks, up to powers of ten.
ROUND = [1, 2, 5, 10]
USAGE = "usage: rise of the loss (nats)"
SYMBOLS = {"beta": "β", "alpha": "α", "lambda": "λ", "gamma": "γ"}  # noqa: RUF001


def canvas(title: str) -> tuple[Figure, Axes]:
    """A figure with one pair of axes."""
    figure, grid = canvases(title, 1, 1, SIZE_INCHES[1])
    return figure, grid[0, 0]


def canvases(
    title: str,
    rows: int,
    columns: int,
    height_inches: float,
    **options: Any,  # noqa: ANN401
) -> tuple[Figure, np.ndarray]:
    """A figure with axes of shape (rows, columns); options are those of `Figure.subplots`."""
    figure = Figure(figsize=(WIDTH_INCHES, height_inches), layout="constrained")
    figure.suptitle(title, fontsize="medium")
    return figure, figure.subplots(rows, columns, squeeze=False, **options)


def series(names: Sequence[str], what: str) -> dict[str, Style]:
    """A style for each name, in the order given.

    Raises:
        InvalidInput: there are more names than styles.
    """
    if len(names) > len(SERIES):
        raise InvalidInput(
            f"the number of {what} in one figure is {len(names)}; allowed: at most {len(SERIES)}"
        )
    return dict(zip(names, SERIES, strict=False))


def name_weight(name: str, weight: float) -> str:
    """A weight with its symbol, such as `β = 0.5`."""
    return f"{SYMBOLS.get(name, name)} = {weight:g}"


def draw_entropy_axis(axes: Axes, highest_nats: float, tau_nats: float) -> None:
    """Draw the axis of entropies from 0 to above the highest entropy, with the threshold on it."""
    draw_tau(axes, tau_nats)
    top = 1.05 * max(highest_nats, tau_nats) or 1.0
    axes.set_ylim(-0.02 * top, top)  # starts below 0, which leaves markers at 0 whole
    axes.set_ylabel("entropy (nats)")


def draw_tau(axes: Axes, tau_nats: float) -> None:
    """Draw the threshold as a horizontal line."""
    axes.axhline(tau_nats, **TAU_LINE, zorder=1)


def draw_rank_axis(axes: Axes, latents: int, ticks: int = 20) -> None:
    """Draw the axis of ranks, which start at 1."""
    axes.set_xlim(0.4, latents + 0.6)
    axes.xaxis.set_major_locator(MaxNLocator(ticks, steps=ROUND, integer=True, min_n_ticks=1))


def draw_step_axis(axes: Axes, steps: Int[np.ndarray, " evaluations"]) -> None:
    """Draw the axis of ascending steps, logarithmic where that spaces them more evenly."""
    if _is_log_spaced(steps):
        axes.set_xscale("log")
        decades_only = steps[-1] >= 100 * steps[0]
        axes.xaxis.set_major_locator(LogLocator(subs=(1,) if decades_only else (1, 2, 5)))
        axes.xaxis.set_minor_formatter(NullFormatter())
    else:
        axes.xaxis.set_major_locator(MaxNLocator(5, steps=ROUND, integer=True))
    axes.set_xlim(steps[0] if len(steps) > 1 else 0, max(steps[-1], 1))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axes.set_xlabel("training step")


def draw_weight_axis(axes: Axes, name: str, weights: Sequence[float]) -> None:
    """Draw an axis with the weights at 1, 2, 3 and so on; more than 8 are written vertically."""
    texts = [f"{weight:g}" for weight in weights]
    axes.set_xticks(range(1, len(weights) + 1), texts, rotation=90 if len(weights) > 8 else 0)
    axes.set_xlim(0.4, len(weights) + 0.6)
    axes.set_xlabel(f"weight {SYMBOLS.get(name, name)}")


def _is_log_spaced(steps: Int[np.ndarray, " evaluations"]) -> bool:
    """Whether the widest gap between steps is narrower on a logarithmic axis than on a linear."""
    if len(steps) < 3 or steps[0] <= 0:
        return False
    on_log, on_linear = (np.diff(at).max() / np.ptp(at) for at in (np.log(steps), steps))
    return bool(on_log < on_linear)


def draw_legend(figure: Figure, handles: Sequence[Artist]) -> None:
    """Draw a legend below the axes, in even rows of up to four columns that fit its texts."""
    longest = max(len(f"{handle.get_label()}") for handle in handles)
    fitting = max(1, min(4, LEGEND_CHARACTERS // (longest + HANDLE_CHARACTERS)))
    rows = math.ceil(len(handles) / fitting)
    columns = math.ceil(len(handles) / rows)
    figure.legend(handles=handles, loc="outside lower center", ncols=columns, frameon=False)


def label_handles(
    styles: Mapping[Label, Style], labels: Sequence[Label], *, counted: bool = True
) -> list[Artist]:
    """The legend's entries for the labels, with their counts.

    Active and passive are always among them; the other labels only if a latent has them.
    """
    shown = {Label.ACTIVE, Label.PASSIVE, *labels}
    counts = {label: f" ({labels.count(label)})" if counted else "" for label in shown}
    return [
        Line2D([], [], **style, label=f"{label}{counts[label]}")
        for label, style in styles.items()
        if label in shown
    ]


def tau_handle(tau_nats: float) -> Artist:
    """The legend's entry for the threshold."""
    return Line2D([], [], **TAU_LINE, label=f"τ = {tau_nats:.3g} nats")
