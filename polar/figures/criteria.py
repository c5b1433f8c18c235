"""The criteria compared with each other, with the decoder, and at other thresholds."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from polar.errors import InvalidInput
from polar.figures.style import (
    BLACK,
    GREY,
    IDLE,
    MAP,
    MARKS,
    SIZE_INCHES,
    TAU_LINE,
    USAGE,
    Style,
    canvas,
    canvases,
    draw_legend,
    draw_rank_axis,
    label_handles,
    tau_handle,
)
from polar.figures.tables import are_idle, distinct, labels_of, read
from polar.records.latents import Label

#: Fraction of the colour map's range below which its colours are dark.
DARK_BELOW = 0.5
ENTROPY_AND_USAGE = ["judged_entropy_nats", "usage_nats"]
#: Largest number of criteria whose names fit next to each other.
MOST_CRITERIA = 10
AGREEMENT_TITLE = (
    "Agreement of the criteria: kappa, and latents labelled alike of those compared\n"
    "(mixed counts as active, undetermined latents are left out)"
)
BAR: Style = {"color": BLACK, "linewidth": 0.8, "zorder": 1}
RULE: Style = {"color": BLACK, "marker": "D", "linestyle": ""}
EVIDENCE_LINE: Style = {"color": GREY, "linewidth": 0.6, "linestyle": ":"}
#: The rule that the verdict goes by; the others are evidence.
DECIDES = "fixed"


def criteria_agreement(table: pd.DataFrame) -> Figure:
    """How far each pair of criteria agrees: Cohen's kappa, and below it on how many latents.

    Kappa is 1 for full agreement and 0 for agreement by chance. A dash marks an undefined kappa,
    such as where both criteria give all latents the same label. Mixed counts as active, and
    latents that either criterion leaves undetermined are left out.

    Args:
        table: One row for each pair. Columns: `criterion_a`, `criterion_b`, `kappa` (-1 to 1),
            `agreement` (0 to 1), both with gaps where they are undefined, and `compared` (the
            number of latents that both label).

    Raises:
        InvalidInput: the table is empty, has more than 10 criteria, lacks a column, has a wrong
            value, or has a pair twice.
    """
    words = ["criterion_a", "criterion_b"]
    rows = read(table, ["compared"], words, optional=["kappa", "agreement"], key=words)
    names = distinct(pd.concat([rows["criterion_a"], rows["criterion_b"]]))
    if len(names) > MOST_CRITERIA:
        raise InvalidInput(
            f"the table has {len(names)} criteria; allowed: at most {MOST_CRITERIA}"
        )
    kappas = _lower_triangle(rows, names, "kappa")
    fractions = _lower_triangle(rows, names, "agreement")
    compared = _lower_triangle(rows, names, "compared")
    figure, axes = canvas(AGREEMENT_TITLE)
    lowest = min(0.0, float(np.nanmin(kappas, initial=0.0)))
    image = axes.imshow(np.ma.masked_invalid(kappas), cmap=MAP, vmin=lowest, vmax=1.0)
    for (row, column), kappa in np.ndenumerate(kappas):
        if column <= row:
            is_dark = lowest + DARK_BELOW * (1 - lowest) > kappa  # False for NaN, drawn white
            axes.text(
                column,
                row,
                _words(kappa, float(fractions[row, column]), float(compared[row, column])),
                color="white" if is_dark else "black",
                fontsize="x-small",
                horizontalalignment="center",
                verticalalignment="center",
            )
    axes.set_xticks(range(len(names) - 1), names[:-1], rotation=90)
    axes.set_yticks(range(len(names) - 1), names[1:])
    axes.set_aspect("auto")
    axes.spines[["top", "right"]].set_visible(False)
    figure.colorbar(image, label="Cohen's kappa")
    return figure


def _lower_triangle(rows: pd.DataFrame, names: list[str], quantity: str) -> np.ndarray:
    """The pairs as a matrix: rows are names[1:], columns names[:-1]."""
    places = {name: place for place, name in enumerate(names)}
    matrix = np.full((len(names), len(names)), np.nan)
    for a, b, value in zip(rows["criterion_a"], rows["criterion_b"], rows[quantity], strict=True):
        low, high = sorted((places[a], places[b]))
        matrix[high, low] = value
    return matrix[1:, :-1]


def _words(kappa: float, fraction: float, compared: float) -> str:
    above = "-" if np.isnan(kappa) else f"{kappa:.2f}"
    below = "" if np.isnan(fraction) else f"\n{fraction * compared:.0f} of {compared:.0f}"
    return above + below


def usage_against_entropy(usage: pd.DataFrame, table: pd.DataFrame, tau_nats: float) -> Figure:
    """How much the decoder uses each latent, against the latent's final entropy and by label.

    Args:
        usage: One row for each latent. Columns: `latent`, `usage_nats` (rise of an image's
            reconstruction loss when the latent is set to its mean).
        table: The diagnostics of the same run. Columns: `step`, `latent`, `judged_entropy_nats`,
            `label`, and, where it is known, `is_idle`.
        tau_nats: The threshold.

    Raises:
        InvalidInput: a table is empty, covers more than one run, lacks a column or has a wrong
            value; or the two tables are of different latents.
    """
    rows = read(
        table, ["step", "latent", "judged_entropy_nats"], ["label"], key=["step", "latent"]
    )
    final = rows[rows["step"] == rows["step"].max()]
    both = final.merge(read(usage, ["latent", "usage_nats"], key=["latent"]), on="latent")
    if not len(both) == len(final) == len(usage):
        raise InvalidInput(
            "diagnostics and usage are of different latents; allowed: tables of the same run"
        )
    idle = are_idle(table)[table["step"] == rows["step"].max()]
    figure, axes = canvas("How much the decoder uses the latents")
    labels = labels_of(both["label"])
    for label in Label:
        own = both[[other is label for other in labels]]
        if len(own):
            axes.plot(own["judged_entropy_nats"], own["usage_nats"], **MARKS[label])
    axes.axhline(0, color="grey", linewidth=0.6, zorder=0)
    axes.axvline(tau_nats, **TAU_LINE, zorder=1)
    axes.set_xlabel("entropy (nats)")
    axes.set_ylabel(USAGE)
    rings = (
        axes.plot(*both.loc[idle, ENTROPY_AND_USAGE].T.to_numpy(), **IDLE) if idle.any() else []
    )
    draw_legend(figure, [*label_handles(MARKS, labels), tau_handle(tau_nats), *rings])
    return figure


def thresholds(entropies: pd.DataFrame, rules: pd.DataFrame) -> Figure:
    """The sorted entropies and the threshold of every rule, with intervals over resamples.

    Both share the axis of entropies. The verdict goes by the rule `fixed`, which is filled and has
    a dashed line; the other rules are evidence. A rule without a threshold is marked "(none)".

    Args:
        entropies: One row for each latent. Columns: `latent`, `judged_entropy_nats`, `label`, and
            the ends of the entropy's interval, `low_nats` and `high_nats`.
        rules: One row for each rule. Columns: `method`, and `tau_nats`, `low_nats`, `high_nats`,
            with gaps where a rule has no threshold.

    Raises:
        InvalidInput: a table is empty, lacks a column, has a wrong value, or has more than one row
            for a latent or a rule.
    """
    ends = ["low_nats", "high_nats"]
    latents = read(entropies, ["latent", "judged_entropy_nats", *ends], ["label"], key=["latent"])
    taus = read(rules, [], ["method"], optional=["tau_nats", *ends], key=["method"])
    latents = latents.sort_values(["judged_entropy_nats", "latent"], ascending=[False, True])
    figure, grid = canvases(
        "Entropies, thresholds, and their 95 % intervals over resampled images",
        1,
        2,
        SIZE_INCHES[1],
        sharey=True,
        width_ratios=[3, 1],
    )
    left, right = grid[0]
    for method, tau in zip(taus["method"], taus["tau_nats"], strict=True):
        line = TAU_LINE if method == DECIDES else EVIDENCE_LINE
        for axes in (left, right) if tau == tau else ():  # NaN is no threshold
            axes.axhline(tau, **line, zorder=0)
    _draw_entropies(left, latents)
    _draw_rules(right, taus)
    top = np.nanmax([latents["high_nats"].max(), taus["tau_nats"].max(), taus["high_nats"].max()])
    left.set_ylim(-0.02 * top, 1.05 * top or 1.0)
    left.set_ylabel("entropy (nats)")
    draw_legend(figure, label_handles(MARKS, labels_of(latents["label"])))
    return figure


def _draw_entropies(axes: Axes, latents: pd.DataFrame) -> None:
    ranks = np.arange(1, len(latents) + 1)
    axes.vlines(ranks, latents["low_nats"], latents["high_nats"], **BAR)
    labels = np.array(labels_of(latents["label"]))
    size = 4.5 if len(ranks) <= 32 else 2.5
    for label in Label:
        own = labels == label
        if own.any():
            heights = latents["judged_entropy_nats"][own]
            axes.plot(ranks[own], heights, **MARKS[label], markersize=size)
    draw_rank_axis(axes, len(ranks))
    axes.set_xlabel("rank of the latent by entropy")


def _draw_rules(axes: Axes, taus: pd.DataFrame) -> None:
    places = np.arange(len(taus))
    axes.vlines(places, taus["low_nats"], taus["high_nats"], **BAR)
    decides = (taus["method"] == DECIDES).to_numpy()
    for own, colour in ((decides, BLACK), (~decides, "white")):
        mark = RULE | {"markerfacecolor": colour, "markersize": 5}
        axes.plot(places[own], taus["tau_nats"][own], **mark)
    names = [
        f"{method} (none)" if np.isnan(tau) else f"{method}"
        for method, tau in zip(taus["method"], taus["tau_nats"], strict=True)
    ]
    axes.set_xticks(places, names, rotation=90)
    axes.set_xlim(-0.6, len(taus) - 0.4)
    axes.set_xlabel("threshold τ by rule")
