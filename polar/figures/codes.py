"""The codes of single latents as histograms."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from polar.figures.style import MARKS, canvases
from polar.figures.tables import labels_of, read
from polar.records.latents import Label

SHOWN = (Label.ACTIVE, Label.PASSIVE, Label.MIXED)
BINS = 40
#: Narrowest range of an axis of means, in units of the latent: one std of the prior N(0, 1).
LEAST_RANGE = (-1.0, 1.0)
QUANTITIES = {"mean": "mean representation", "variance": "variance representation"}


def representations(table: pd.DataFrame) -> Figure:
    """Mean and variance representation of an active, a passive and a mixed latent (Fig. 3).

    The figure shows the active and the mixed latent with the widest mean representation, and the
    passive latent with the narrowest. Where no latent has a label, the figure says so. Without the
    column `variance`, as for a deterministic autoencoder, only the means are drawn.

    Args:
        table: One row for each image and latent. Columns: `latent`, `label`, `mean` (in units of
            the latent), and where there is a variance, `variance` (in units squared).

    Raises:
        InvalidInput: the table is empty, lacks a column or has a wrong value, or a latent has more
            than one label.
    """
    quantities = [name for name in QUANTITIES if name == "mean" or name in table.columns]
    rows = read(table, ["latent", *quantities], ["label"])
    chosen = _choose(rows)
    height = 0.6 + 1.9 * len(quantities)
    title = "Codes of one latent of each kind"
    figure, grid = canvases(title, len(quantities), len(SHOWN), height, sharex="row")
    for line, quantity in zip(grid, quantities, strict=True):
        edges = _edges(rows, chosen, quantity)
        for axes, label in zip(line, SHOWN, strict=True):
            if label in chosen:
                values = rows.loc[rows["latent"] == chosen[label], quantity]
                _draw_histogram(axes, values.to_numpy(), edges, label)
            else:
                _write_absence(axes, label)
        line[1].set_xlabel(f"{QUANTITIES[quantity]} (latent units{_power(quantity)})")
        line[0].set_ylabel("fraction of images")
    for axes, label in zip(grid[0], SHOWN, strict=True):
        name = f"{label}: latent {chosen[label]}" if label in chosen else f"{label}: none"
        axes.set_title(name, fontsize="medium")
    return figure


def _choose(rows: pd.DataFrame) -> dict[Label, int]:
    """The latent to show for each label; labels that no latent has are left out."""
    latents = rows.groupby("latent").agg(spread=("mean", "var"), label=("label", "first"))
    # Refuses a latent with more than one label.
    read(rows.drop_duplicates(["latent", "label"]), ["latent"], key=["latent"])
    latents["spread"] = latents["spread"].fillna(0.0)  # a single image has no variance
    labels = np.array(labels_of(latents["label"]))
    chosen: dict[Label, int] = {}
    for label in SHOWN:
        own = latents.loc[labels == label, "spread"]
        if len(own):
            chosen[label] = int(own.idxmin() if label is Label.PASSIVE else own.idxmax())
    return chosen


def _edges(rows: pd.DataFrame, chosen: dict[Label, int], quantity: str) -> np.ndarray:
    values = rows.loc[rows["latent"].isin(chosen.values()), quantity]
    low, high = LEAST_RANGE if quantity == "mean" else (0.0, 1.1)
    return np.linspace(min(low, values.min()), max(high, values.max()), BINS + 1)


def _draw_histogram(axes: Axes, values: np.ndarray, edges: np.ndarray, label: Label) -> None:
    fractions = np.histogram(values, edges)[0] / len(values)
    axes.stairs(fractions, edges, fill=True, color=MARKS[label]["color"], alpha=0.6)
    axes.stairs(fractions, edges, color="black", linewidth=0.6)
    axes.set_ylim(0, 1.08 * fractions.max())


def _write_absence(axes: Axes, label: Label) -> None:
    axes.text(
        0.5,
        0.5,
        f"no {label} latent",
        transform=axes.transAxes,
        horizontalalignment="center",
        verticalalignment="center",
    )
    axes.set_yticks([])


def _power(quantity: str) -> str:
    return "²" if quantity == "variance" else ""
