"""The entropies of a run's latents: sorted at the end, and over training.

The figures read the columns `step`, `latent`, `entropy_nats` and `label` of the table that
`polar.regime.table` makes. A latent has the colour and style of its final label. Nothing here
touches the global state of matplotlib.
"""

import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float, Int
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter, StrMethodFormatter
from scipy.optimize import isotonic_regression

from polar.errors import InvalidInput
from polar.events import Label

#: Blue and vermilion of Okabe and Ito (2008), which the colour-blind tell apart; marker, filling
#: and line do the same for a grey print.
BLUE, VERMILION = "#0072B2", "#D55E00"
MARKS: dict[Label, dict[str, Any]] = {
    Label.ACTIVE: {"color": BLUE, "linestyle": "", "marker": "o", "markerfacecolor": BLUE},
    Label.PASSIVE: {
        "color": VERMILION,
        "linestyle": "",
        "marker": "s",
        "markerfacecolor": "white",
    },
}
LINES: dict[Label, dict[str, Any]] = {
    Label.ACTIVE: MARKS[Label.ACTIVE] | {"linestyle": "-"},
    Label.PASSIVE: MARKS[Label.PASSIVE] | {"linestyle": ":"},
}
TAU_LINE: dict[str, Any] = {"color": "black", "linestyle": "--", "linewidth": 1.0}
#: Latents that can be numbered at the ends of their lines before the numbers overlap.
NUMBERED_LINES = 16
#: Height of such a number, as a part of the height of the axes.
NUMBER_HEIGHT = 0.042
#: Latents that can be numbered beside the rows of the heat map.
NUMBERED_ROWS = 32
#: Characters that can be written below the heat map.
WRITTEN_CHARACTERS = 60
#: What the distance of ticks may start with.
ROUND = [1, 2, 5, 10]
SIZE_INCHES = (6.4, 4.0)
DOTS_PER_INCH = 150


def sorted_entropies(table: pd.DataFrame, tau_nats: float) -> Figure:
    """The final entropies in descending order beside the threshold (the paper's Fig. 11).

    Raises:
        InvalidInput: the table is empty.
    """
    history = _history(table)
    final = history.entropies[-1]
    ranks = np.arange(1, len(final) + 1)
    figure, axes = _canvas("Entropies of the latents at the end of training")
    size = 5 if len(final) <= NUMBERED_ROWS else 3
    styles = {label: style | {"markersize": size} for label, style in MARKS.items()}
    for label, style in styles.items():
        own = np.array([other == label for other in history.labels])
        axes.vlines(ranks[own], 0, final[own], colors=style["color"], linewidth=0.8)
        axes.plot(ranks[own], final[own], **style)
    _draw_entropy_axis(axes, final.max(), tau_nats)
    axes.set_xlim(0.4, len(final) + 0.6)
    axes.xaxis.set_major_locator(MaxNLocator(20, steps=ROUND, integer=True, min_n_ticks=1))
    axes.set_xlabel("rank of the latent by entropy")
    _draw_legend(figure, styles, history.labels, tau_nats)
    return figure


def entropy_lines(table: pd.DataFrame, tau_nats: float) -> Figure:
    """The entropy of every latent over training beside the threshold (the paper's Figs. 9, 10).

    The axis of steps is logarithmic where that spaces the evaluations more evenly. Up to
    NUMBERED_LINES latents carry their numbers.

    Raises:
        InvalidInput: the table is empty.
    """
    history = _history(table)
    evaluations, latents = history.entropies.shape
    few = latents <= NUMBERED_LINES
    size = {"linewidth": 1.2 if few else 0.7, "markersize": 3 if few or evaluations == 1 else 0}
    styles = {label: style | size for label, style in LINES.items()}
    figure, axes = _canvas("Entropies of the latents over training")
    for label, line in zip(history.labels, history.entropies.T, strict=True):
        axes.plot(history.steps, line, **styles[label], clip_on=False)
    _draw_entropy_axis(axes, history.entropies.max(), tau_nats)
    _draw_step_axis(axes, history.steps)
    if few:
        _number_the_ends(axes, history)
    _draw_legend(figure, styles, history.labels, tau_nats)
    return figure


def entropy_heatmap(table: pd.DataFrame) -> Figure:
    """The entropy of every latent, highest at the end on top, at every evaluation.

    Raises:
        InvalidInput: the table is empty.
    """
    history = _history(table)
    evaluations, latents = history.entropies.shape
    figure, axes = _canvas("Entropies of the latents over training")
    image = axes.imshow(
        history.entropies.T,
        cmap="cividis",
        vmin=0,
        vmax=history.entropies.max() or 1.0,
        aspect="auto",
        interpolation="nearest",
        extent=(0.5, evaluations + 0.5, latents + 0.5, 0.5),  # evaluations and ranks count from 1
    )
    figure.colorbar(image, label="entropy (nats)")
    steps = [f"{step:,}" for step in history.steps]
    every = math.ceil(evaluations * len(f"{steps[-1]}  ") / WRITTEN_CHARACTERS)
    axes.set_xticks(range(evaluations, 0, -every), steps[::-every])
    axes.set_xlabel("training step of the evaluation")
    if latents <= NUMBERED_ROWS:
        axes.set_yticks(range(1, latents + 1), history.latents, fontsize="x-small")
        axes.set_ylabel("latent, by final entropy")
    else:
        axes.set_ylabel("rank of the latent by final entropy")
    return figure


def save_figures(table: pd.DataFrame, tau_nats: float, folder: Path) -> list[Path]:
    """Writes all figures as PNG files, each either whole or not there; returns their paths.

    The same table gives the same bytes.

    Raises:
        InvalidInput: the table is empty.
    """
    figures = {
        "sorted_entropies.png": sorted_entropies(table, tau_nats),
        "entropy_over_training.png": entropy_lines(table, tau_nats),
        "entropy_heatmap.png": entropy_heatmap(table),
    }
    folder.mkdir(parents=True, exist_ok=True)
    return [_save(figure, folder / name) for name, figure in figures.items()]


def _save(figure: Figure, path: Path) -> Path:
    part = path.with_name(f"{path.name}.part")
    # Without None, matplotlib writes its version into the file.
    figure.savefig(part, format="png", dpi=DOTS_PER_INCH, metadata={"Software": None})
    os.replace(part, path)
    return path


@dataclass(frozen=True)
class _History:
    """A table as arrays; the latents are ordered by final entropy, highest first."""

    steps: Int[np.ndarray, " evaluations"]
    latents: Int[np.ndarray, " latents"]
    #: In nats.
    entropies: Float[np.ndarray, "evaluations latents"]
    #: The final label of each latent.
    labels: list[Label]


def _history(table: pd.DataFrame) -> _History:
    if table.empty:
        raise InvalidInput("a figure of an empty table; allowed: at least 1 evaluation")
    by_step = table.pivot(index="step", columns="latent", values=["entropy_nats", "label"])
    entropies = by_step["entropy_nats"].to_numpy(float)
    order = np.argsort(-entropies[-1], kind="stable")
    return _History(
        steps=by_step.index.to_numpy(),
        latents=by_step["entropy_nats"].columns.to_numpy()[order],
        entropies=entropies[:, order],
        labels=[Label(label) for label in by_step["label"].iloc[-1].iloc[order]],
    )


def _canvas(title: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=SIZE_INCHES, layout="constrained")
    axes = figure.add_subplot()
    axes.set_title(title, fontsize="medium")
    return figure, axes


def _draw_entropy_axis(axes: Axes, highest_nats: float, tau_nats: float) -> None:
    axes.axhline(tau_nats, **TAU_LINE, zorder=1)
    top = 1.05 * max(highest_nats, tau_nats) or 1.0
    axes.set_ylim(-0.02 * top, top)  # so that markers at 0 are whole
    axes.set_ylabel("entropy (nats)")


def _draw_step_axis(axes: Axes, steps: Int[np.ndarray, " evaluations"]) -> None:
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


def _draw_legend(
    figure: Figure, styles: dict[Label, dict[str, Any]], labels: list[Label], tau_nats: float
) -> None:
    handles = [
        Line2D([], [], **style, label=f"{label} ({labels.count(label)})")
        for label, style in styles.items()
    ]
    handles.append(Line2D([], [], **TAU_LINE, label=f"τ = {tau_nats} nats"))
    figure.legend(handles=handles, loc="outside lower center", ncols=3, frameon=False)


def _is_log_spaced(steps: Int[np.ndarray, " evaluations"]) -> bool:
    """Whether the widest gap of the steps is narrower on a logarithmic axis than on a linear."""
    if len(steps) < 3 or steps[0] <= 0:
        return False
    on_log, on_linear = (np.diff(at).max() / np.ptp(at) for at in (np.log(steps), steps))
    return bool(on_log < on_linear)


def _number_the_ends(axes: Axes, history: _History) -> None:
    """Writes each latent's number beside the end of its line, apart where the ends are close."""
    _, top = axes.get_ylim()
    ends = history.entropies[-1]
    heights = _spread(ends[::-1], NUMBER_HEIGHT * top, top)[::-1]
    for latent, label, end, height in zip(
        history.latents, history.labels, ends, heights, strict=True
    ):
        axes.annotate(
            f"{latent}",
            xy=(history.steps[-1], end),
            xytext=(1.04, height),
            textcoords=axes.get_yaxis_transform(),
            color=MARKS[label]["color"],
            fontsize="x-small",
            verticalalignment="center",
            annotation_clip=False,
            # from the number's left side, so that no leader crosses another number
            arrowprops={"arrowstyle": "-", "linewidth": 0.4, "color": "grey", "relpos": (0, 0.5)},
        )


def _spread(
    ends: Float[np.ndarray, " latents"], gap: float, top: float
) -> Float[np.ndarray, " latents"]:
    """The heights from 0 to top, at least a gap apart, that are nearest to ascending ends."""
    # With i gaps taken off the i-th height, "a gap apart" becomes "not descending".
    offsets = gap * np.arange(len(ends))
    nearest = isotonic_regression(ends - offsets).x
    heights: Float[np.ndarray, " latents"] = nearest.clip(0, top - offsets[-1]) + offsets
    return heights
