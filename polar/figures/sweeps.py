"""The latents of many runs, in panels by weight."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from polar.errors import InvalidInput
from polar.figures.style import (
    GREY,
    MARKS,
    canvases,
    draw_legend,
    draw_rank_axis,
    draw_tau,
    label_handles,
    name_weight,
    tau_handle,
)
from polar.figures.tables import labels_of, one_of, read
from polar.records.latents import Label

COLUMNS = 4
PANEL_HEIGHT_INCHES = 1.2
#: Height of the title, the names of the axes and the legend.
FRAME_INCHES = 1.2
#: Largest number of weights that fits on a page.
MOST_WEIGHTS = 16
JUDGED, MARGINAL = "judged_entropy_nats", "entropy_nats"


def sorted_entropies_by_weight(table: pd.DataFrame, tau_nats: float) -> Figure:
    """The final entropies in descending order, one panel for each weight (Figs. 11, 12 and 13).

    A thin line joins the latents of one seed. Where the judged entropy is not that of the mean
    itself (iVAE), each weight has two panels side by side: one for the entropy of the mean
    (marginal), one for that of the prior-standardised mean, which decides the labels in both.

    Args:
        table: The diagnostics of runs of one model and dataset. Columns: `model`, `dataset`,
            `weight_name`, `weight`, `seed`, `step`, `latent`, `entropy_nats`,
            `judged_entropy_nats`, `label`.
        tau_nats: The threshold.

    Raises:
        InvalidInput: the table is empty, mixes models or datasets, has more than 16 weights, lacks
            a column or has a wrong value.
    """
    final = _final(table)
    model, dataset, name = (one_of(final, c) for c in ("model", "dataset", "weight_name"))
    panels = _panels(final, name)
    columns = min(COLUMNS, len(panels))
    rows = -(-len(panels) // columns)
    figure, grid = canvases(
        f"Entropies of the latents at the end of training: {model}, {dataset}",
        rows,
        columns,
        FRAME_INCHES + PANEL_HEIGHT_INCHES * max(rows, 2),
        sharex=True,
        sharey=True,
    )
    highest = final[[JUDGED, MARGINAL]].to_numpy().max()
    top = 1.08 * max(highest, tau_nats) or 1.0
    latents = int(final.groupby(["weight", "seed"]).size().max())
    for axes, panel in zip(grid.flat, panels, strict=False):
        _draw_panel(axes, panel)
        draw_tau(axes, tau_nats)
        draw_rank_axis(axes, latents, ticks=4)
        axes.set_ylim(-0.03 * top, top)
        axes.tick_params(labelsize="small")
    for axes in grid.flat[len(panels) :]:
        axes.set_axis_off()
    lowest_of_each_column = slice(max(len(panels) - columns, 0), len(panels))
    for axes in grid.flat[lowest_of_each_column]:
        axes.tick_params(labelbottom=True)
        axes.set_xlabel("rank by entropy", fontsize="small")
    figure.supylabel("entropy (nats)", fontsize="medium")
    labels = label_handles(MARKS, labels_of(final["label"]), counted=False)
    draw_legend(figure, [*labels, tau_handle(tau_nats)])
    return figure


@dataclass(frozen=True)
class _Panel:
    title: str
    #: The table's rows for one weight.
    rows: pd.DataFrame
    #: Name of the column to draw.
    entropy: str


def _final(table: pd.DataFrame) -> pd.DataFrame:
    rows = read(
        table,
        ["weight", "seed", "step", "latent", MARGINAL, JUDGED],
        ["model", "dataset", "weight_name", "label"],
        key=["model", "dataset", "weight", "seed", "step", "latent"],
    )
    return rows[rows["step"] == rows.groupby(["weight", "seed"])["step"].transform("max")]


def _panels(final: pd.DataFrame, name: str) -> list[_Panel]:
    by_weight = list(final.groupby("weight"))
    if len(by_weight) > MOST_WEIGHTS:
        raise InvalidInput(
            f"the table has {len(by_weight)} weights; allowed: at most {MOST_WEIGHTS}"
        )
    entropies_agree = (final[JUDGED] == final[MARGINAL]).all()
    panels = []
    for _, rows in by_weight:
        title, actives = name_weight(name, rows["weight"].iloc[0]), _count_actives(rows)
        if entropies_agree:
            panels.append(_Panel(f"{title}\n{actives}", rows, JUDGED))
        else:
            panels.append(_Panel(f"{title}\nmarginal", rows, MARGINAL))
            panels.append(_Panel(f"{actives}\nstandardised", rows, JUDGED))
    return panels


def _count_actives(rows: pd.DataFrame) -> str:
    """The number of active latents, such as `5 active`, or `4-6 active` where seeds differ."""
    counts = (rows["label"] == Label.ACTIVE.value).groupby(rows["seed"]).sum()
    ends = sorted({counts.min(), counts.max()})
    return f"{'-'.join(f'{count}' for count in ends)} active"


def _draw_panel(axes: Axes, panel: _Panel) -> None:
    for _, rows in panel.rows.groupby("seed"):
        ordered = rows.sort_values([panel.entropy, "latent"], ascending=[False, True])
        ranks = np.arange(1, len(ordered) + 1)
        axes.plot(ranks, ordered[panel.entropy], color=GREY, linewidth=0.5)
        labels = np.array(labels_of(ordered["label"]))
        size = 3.5 if len(ordered) <= 32 else 2.0
        for label in Label:
            own = labels == label
            if own.any():
                axes.plot(ranks[own], ordered[panel.entropy][own], **MARKS[label], markersize=size)
    axes.set_title(panel.title, fontsize="small")
