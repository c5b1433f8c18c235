"""What a model explains with some of its latents kept."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from polar.errors import InvalidInput
from polar.figures.style import (
    BLACK,
    GREY,
    MARKS,
    ROUND,
    Style,
    canvas,
    draw_legend,
    label_handles,
)
from polar.figures.tables import labels_of, read
from polar.records.latents import Label

#: Largest number of latents whose numbers fit beside their marks.
NUMBERED = 16
CURVE: Style = {"color": GREY, "linewidth": 0.8, "zorder": 1}
NOTHING_KEPT: Style = {"color": BLACK, "marker": "D", "markerfacecolor": "white", "linestyle": ""}


def explained_by_the_most_used(table: pd.DataFrame, latents: pd.DataFrame) -> Figure:
    """R with the k most used latents kept and the others set to their means.

    Usage asks for each latent alone, which hides what several latents say together; here the
    curve goes on rising as long as the next latent adds something. Each mark has the label of the
    latent that comes in.

    Args:
        table: One row for each k from 0 on. Columns: `k`, `latent` (which comes in at k;
            missing for k = 0), `explained` R (at most 1).
        latents: The latents of the same model. Columns: `latent`, `label`.

    Raises:
        InvalidInput: a table is empty, lacks a column, has a wrong value, or has a row twice; or
            the two tables are of different latents.
    """
    rows = read(table, ["k", "explained"], optional=["latent"], key=["k"]).sort_values("k")
    known = read(latents, ["latent"], ["label"], key=["latent"]).set_index("latent")["label"]
    kept = rows.dropna(subset="latent")
    if sorted(kept["latent"]) != sorted(known.index):
        raise InvalidInput(
            "the curve and the labels are of different latents; allowed: tables of the same model"
        )
    labels = np.array(labels_of(known.loc[kept["latent"]]))
    figure, axes = canvas("What the model explains with its k most used latents")
    axes.plot(rows["k"], rows["explained"], **CURVE)
    axes.plot(rows["k"].iloc[:1], rows["explained"].iloc[:1], **NOTHING_KEPT)
    for label in Label:
        own = kept[labels == label]
        if len(own):
            axes.plot(own["k"], own["explained"], **MARKS[label])
    if len(kept) <= NUMBERED:
        for k, explained, latent in zip(kept["k"], kept["explained"], kept["latent"], strict=True):
            axes.annotate(
                f"{latent:.0f}",
                (k, explained),
                xytext=(0, 6),
                textcoords="offset points",
                horizontalalignment="center",
                fontsize="x-small",
            )
    axes.set_xlim(-0.4, len(kept) + 0.4)
    axes.xaxis.set_major_locator(MaxNLocator(20, steps=ROUND, integer=True, min_n_ticks=1))
    axes.margins(y=0.12)
    axes.set_xlabel("latents kept, the most used first")
    axes.set_ylabel("explained R")
    nothing = Line2D([], [], **NOTHING_KEPT, label="no latent kept")
    draw_legend(figure, [*label_handles(MARKS, list(labels)), nothing])
    return figure
