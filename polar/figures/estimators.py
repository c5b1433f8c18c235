"""Entropy against variance: where they rise together, and where they do not."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from polar.figures.style import Style, canvases, draw_legend, series
from polar.figures.tables import distinct, read

VARIANCE = "variance of the mean (latent units²)"


def entropy_against_variance(table: pd.DataFrame) -> Figure:
    """Entropy of every latent against its variance, by estimator, and the times taken (Fig. 4).

    Matrix-based entropies start at 0; differential entropies fall without bound as the variance
    goes to 0. Only the order of the latents can be compared between estimators.

    Args:
        table: One row for each latent and estimator. Columns: `latent`, `estimator`, `nats`,
            `var_of_mean` (latent units squared), `milliseconds` (time for one latent).

    Raises:
        InvalidInput: the table is empty, lacks a column or has a wrong value; a variance is
            negative; or there are more than 8 estimators.
    """
    numbers = ["latent", "nats", "var_of_mean", "milliseconds"]
    rows = read(table, numbers, ["estimator"], key=["latent", "estimator"], at_least_0=numbers[2:])
    estimators = distinct(rows["estimator"])
    styles = series(estimators, "estimators")
    figure, grid = canvases("Entropy and variance of the latents", 1, 2, 4.0, width_ratios=[3, 1])
    left, right = grid[0]
    for estimator, own in rows.groupby("estimator", sort=False):
        style = styles[f"{estimator}"] | {"linestyle": "", "markersize": 5}
        left.plot(own["var_of_mean"], own["nats"], **style, label=estimator)
    _scale_variance(left, rows["var_of_mean"].to_numpy())
    left.set_xlabel(VARIANCE)
    left.set_ylabel("entropy (nats)")
    _draw_times(right, rows, styles)
    draw_legend(figure, left.get_lines())
    return figure


def _scale_variance(axes: Axes, variances: np.ndarray) -> None:
    """Make the axis logarithmic beyond a decade; it reaches 0 where a latent is constant."""
    positive = variances[variances > 0]
    if not len(positive) or positive.max() < 10 * variances.min():
        return
    if len(positive) == len(variances):
        axes.set_xscale("log")
    else:
        axes.set_xscale("symlog", linthresh=10 ** np.floor(np.log10(positive.min())))


def _draw_times(axes: Axes, rows: pd.DataFrame, styles: dict[str, Style]) -> None:
    times = rows.groupby("estimator", sort=False)["milliseconds"].median()
    for place, (estimator, time) in enumerate(times.items()):
        axes.plot([time], [place], **styles[f"{estimator}"] | {"linestyle": "", "markersize": 6})
    if (times > 0).all():
        axes.set_xscale("log")
        axes.set_xlim(times.min() / 3, times.max() * 3)
        axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_ylim(len(times) - 0.5, -0.5)
    axes.set_yticks(range(len(times)), [""] * len(times))
    axes.grid(axis="y", linewidth=0.4)
    axes.set_xlabel("median time of\na latent (ms)")


def spike_and_slab(table: pd.DataFrame) -> Figure:
    """Entropy and variance of a spike and slab against the weight of the slab (Fig. 5).

    Lines are means over seeds, bands their ranges. By construction the variance is the same for
    every weight; the entropy is not.

    Args:
        table: One row for each weight, seed and estimator. Columns: `pi` (weight of the slab, 0
            to 1), `seed`, `estimator`, `nats`, `variance` (of the sample).

    Raises:
        InvalidInput: the table is empty, lacks a column or has a wrong value; or there are more
            than 8 estimators.
    """
    numbers = ["pi", "seed", "nats", "variance"]
    rows = read(table, numbers, ["estimator"], key=["pi", "seed", "estimator"])
    styles = series(distinct(rows["estimator"]), "estimators")
    figure, grid = canvases(
        "A spike and slab of one variance", 2, 1, 4.6, sharex=True, height_ratios=[2, 1]
    )
    above, below = grid[:, 0]
    for estimator, own in rows.groupby("estimator", sort=False):
        _draw_ranges(above, own, "nats", styles[f"{estimator}"] | {"label": estimator})
    samples = rows.drop_duplicates(["pi", "seed"])
    _draw_ranges(below, samples, "variance", {"color": "black", "marker": "."})
    above.set_ylabel("entropy (nats)")
    below.set_ylim(0, 1.5 * rows["variance"].max() or 1.0)
    below.set_ylabel("variance")
    below.set_xlabel("weight π of the slab")
    draw_legend(figure, above.get_lines())
    return figure


def _draw_ranges(axes: Axes, rows: pd.DataFrame, quantity: str, style: Style) -> None:
    """Draw the mean over seeds as a line, and their range as a band."""
    over_seeds = rows.groupby("pi")[quantity].agg(["mean", "min", "max"])
    pi = over_seeds.index.to_numpy()
    axes.plot(pi, over_seeds["mean"], markersize=4, **style)
    axes.fill_between(pi, over_seeds["min"], over_seeds["max"], color=style["color"], alpha=0.2)
