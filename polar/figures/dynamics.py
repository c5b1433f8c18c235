"""Latents over training: how they rise and fall, and which become active first."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from polar.errors import InvalidInput
from polar.figures.line_ends import LineEnd, number_the_ends
from polar.figures.style import (
    GREY,
    LINES,
    MARKS,
    SERIES,
    USAGE,
    Style,
    canvas,
    canvases,
    draw_entropy_axis,
    draw_legend,
    draw_step_axis,
    tau_handle,
)
from polar.figures.tables import labels_of, read
from polar.records.latents import Label

#: Largest number of attempted actives that can be told apart in one pair of axes.
SHOWN_ATTEMPTS = 6
#: Height of a number at the end of a line, as a fraction of the height of one of three axes.
NUMBER_HEIGHT = 0.11
BACKGROUND: Style = {"color": GREY, "linewidth": 0.5, "linestyle": "-"}
PEAK: Style = {"color": "black", "marker": "v", "linestyle": "", "markersize": 6}


def measures_over_training(table: pd.DataFrame, latent: int | None = None) -> Figure:
    """Entropy, information and variance of one latent over training (Fig. 6).

    Entropy and information are in units of the ruler and of order 2, so the gap between them is
    the residual H(mu | X); the entropy in the other figures is of the run's own order.

    Args:
        table: The diagnostics of one run. Columns: `step`, `latent`, `judged_entropy_nats`,
            `information_nats` and `information_residual_nats` (with gaps where they were not
            measured), `var_of_mean` (latent units squared), `label`.
        latent: Number of the latent; by default the active latent with the highest final entropy.

    Raises:
        InvalidInput: the table is empty, covers more than one run, lacks a column or has a wrong
            value; there is no such latent; or its information was never measured.
    """
    numbers = ["step", "latent", "judged_entropy_nats", "var_of_mean"]
    parts = ["information_nats", "information_residual_nats"]
    rows = read(table, numbers, ["label"], optional=parts, key=["step", "latent"]).sort_values(
        "step"
    )
    number = _most_active(rows) if latent is None else latent
    own = rows[rows["latent"] == number]
    if own.empty:
        known = ", ".join(f"{latent:.0f}" for latent in sorted(rows["latent"].unique()))
        raise InvalidInput(f"latent {number} is not in the table; allowed: {known}")
    measured = own.dropna(subset=parts)
    if measured.empty:
        raise InvalidInput(
            f"no information of latent {number} was measured; allowed: a latent with information"
        )
    figure, grid = canvases(
        f"Latent {number} over training", 2, 1, 4.8, sharex=True, height_ratios=[3, 2]
    )
    above, below = grid[:, 0]
    entropy, information, variance = SERIES[:3]
    small: Style = {"markersize": 4, "clip_on": False}
    nats = measured["information_nats"]
    whole = nats + measured["information_residual_nats"]
    above.plot(measured["step"], whole, **entropy, **small, label="entropy H₂(μ)")
    above.plot(measured["step"], nats, **information, **small, label="information I₂(X; μ)")
    below.plot(own["step"], own["var_of_mean"], **variance, **small, label="variance of μ")
    above.set_ylim(bottom=0)
    above.set_ylabel("nats")
    below.set_ylim(bottom=0)
    below.set_ylabel("latent units²")
    draw_step_axis(below, own["step"].to_numpy().astype(int))
    draw_legend(figure, [*above.get_lines(), *below.get_lines()])
    return figure


def _most_active(rows: pd.DataFrame) -> int:
    final = rows[rows["step"] == rows["step"].max()]
    active = final[final["label"] == Label.ACTIVE.value]
    if active.empty:
        raise InvalidInput("no latent is active at the end; name the latent to draw")
    return int(active.loc[active["judged_entropy_nats"].idxmax(), "latent"])


def trajectories(table: pd.DataFrame, dynamics: pd.DataFrame, tau_nats: float) -> Figure:
    """The entropy of an active, a passive and the attempted actives over training (Figs. 9, 10).

    The figure shows the active latent with the highest final entropy, the passive latent with the
    highest peak, and up to SHOWN_ATTEMPTS attempted actives with the highest peaks, which are
    marked. Thin grey lines are the other latents of each kind. If a kind does not occur, its title
    says so.

    Args:
        table: The diagnostics of one run. Columns: `step`, `latent`, `judged_entropy_nats`,
            `label`.
        dynamics: One row for each latent. Columns: `latent`, `attempted`, `peak_step`,
            `peak_nats`.
        tau_nats: The threshold.

    Raises:
        InvalidInput: a table is empty, covers more than one run, lacks a column or has a wrong
            value; or the two tables are of different latents.
    """
    numbers = ["step", "latent", "judged_entropy_nats"]
    rows = read(table, numbers, ["label"], key=["step", "latent"])
    peaks = read(
        dynamics, ["latent", "attempted", "peak_step", "peak_nats"], key=["latent"]
    ).set_index("latent")
    lines = rows.pivot(index="step", columns="latent", values="judged_entropy_nats")
    if sorted(peaks.index) != sorted(lines.columns):
        raise InvalidInput(
            "diagnostics and dynamics are of different latents; allowed: tables of the same run"
        )
    final = rows[rows["step"] == rows["step"].max()].set_index("latent")
    labels = pd.Series(labels_of(final["label"]), index=final.index)
    peaks["final_nats"] = final["judged_entropy_nats"]
    attempted = peaks[peaks["attempted"] > 0].nlargest(len(peaks), "peak_nats")
    others = peaks.drop(index=attempted.index)
    active = others[labels[others.index] == Label.ACTIVE].nlargest(len(peaks), "final_nats")
    passive = others[labels[others.index] == Label.PASSIVE].nlargest(len(peaks), "peak_nats")

    figure, grid = canvases("Entropies of single latents", 3, 1, 6.0, sharex=True, sharey=True)
    for axes, kind, own, shown in zip(
        grid[:, 0],
        ("active", "passive", "attempted active"),
        (active, passive, attempted),
        (1, 1, SHOWN_ATTEMPTS),
        strict=True,
    ):
        _draw_kind(axes, kind, lines[own.index], own.head(shown), labels)
        draw_entropy_axis(axes, lines.to_numpy().max(), tau_nats)
        axes.set_ylabel("entropy (nats)")
    draw_step_axis(grid[2, 0], lines.index.to_numpy().astype(int))
    for axes in grid[:2, 0]:
        axes.set_xlabel("")
    peak = Line2D([], [], **PEAK, label="peak of an attempted active")
    draw_legend(figure, [tau_handle(tau_nats), *([peak] if len(attempted) else [])])
    _number_attempts(grid[2, 0], lines, attempted.head(SHOWN_ATTEMPTS), labels)
    return figure


def activation_order(dynamics: pd.DataFrame, usage: pd.DataFrame) -> Figure:
    """Usage of the latents against the step at which they became active.

    If latents are learned in the order in which they help the reconstruction most, the points fall
    from left to right. Latents that are not active at the end are counted but not drawn.

    Args:
        dynamics: One row for each latent of a run. Columns: `latent`, `activation_step` (with
            gaps where a latent is not active at the end).
        usage: One row for each latent. Columns: `latent`, `usage_nats` (rise of an image's
            reconstruction loss when the latent is set to its mean).

    Raises:
        InvalidInput: a table is empty, lacks a column, has a wrong value, or has more than one row
            for a latent; a latent is in one table only; or no latent is active at the end.
    """
    steps = read(dynamics, ["latent"], optional=["activation_step"], key=["latent"])
    uses = read(usage, ["latent", "usage_nats"], key=["latent"])
    both = steps.merge(uses, on="latent")
    if not len(both) == len(steps) == len(uses):
        raise InvalidInput(
            "dynamics and usage are of different latents; allowed: tables of the same run"
        )
    active = both.dropna(subset="activation_step").sort_values("activation_step")
    if active.empty:
        raise InvalidInput("no latent is active at the end; allowed: at least 1")
    figure, axes = canvas("When latents became active, and how much the decoder uses them")
    axes.plot(
        active["activation_step"], active["usage_nats"], **MARKS[Label.ACTIVE], clip_on=False
    )
    draw_step_axis(axes, np.unique(active["activation_step"]).astype(int))
    first, last = active["activation_step"].min(), active["activation_step"].max()
    is_log = axes.get_xscale() == "log"
    axes.set_xlim(first / 1.3 if is_log else 0, last * (1.3 if is_log else 1.05) or 1)
    axes.set_xlabel("training step from which on the latent was active")
    axes.set_ylabel(USAGE)
    others = len(both) - len(active)
    note = f"{len(active)} active{_rank_correlation(active)}; {others} not active at the end"
    axes.set_title(note, fontsize="small")
    return figure


def _rank_correlation(rows: pd.DataFrame) -> str:
    ranks = rows[["activation_step", "usage_nats"]].rank()
    if len(rows) < 3 or (ranks.nunique() == 1).any():
        return ""
    correlation = float(ranks.corr().to_numpy()[0, 1])
    return f", rank correlation {correlation:.2f}"


def _draw_kind(
    axes: Axes, kind: str, lines: pd.DataFrame, shown: pd.DataFrame, labels: pd.Series
) -> None:
    for latent in lines.columns.difference(shown.index):
        axes.plot(lines.index, lines[latent], **BACKGROUND)
    for latent in shown.index:
        axes.plot(lines.index, lines[latent], **LINES[labels[latent]], markersize=3, clip_on=False)
    numbers = ", ".join(f"{latent:.0f}" for latent in shown.index)
    others = lines.shape[1] - len(shown)
    title = f"{kind}: latent {numbers}" if numbers else f"{kind}: none in this run"
    title += f" ({others} more in grey)" if others else ""
    axes.set_title(title, fontsize="medium")


def _number_attempts(
    axes: Axes, lines: pd.DataFrame, shown: pd.DataFrame, labels: pd.Series
) -> None:
    if shown.empty:
        return
    axes.plot(shown["peak_step"], shown["peak_nats"], **PEAK, clip_on=False)
    last, final = float(lines.index[-1]), lines.iloc[-1]
    ends = [
        LineEnd(last, final[latent], f"{latent:.0f}", MARKS[labels[latent]]["color"])
        for latent in shown.index
    ]
    number_the_ends(axes, ends, NUMBER_HEIGHT)
