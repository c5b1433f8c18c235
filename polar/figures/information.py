"""Entropy of the latents, split into information about the images and a residual."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from polar.errors import InvalidInput
from polar.figures.style import (
    BLACK,
    GREY,
    INFORMATION,
    RESIDUAL,
    Style,
    canvas,
    canvases,
    draw_legend,
    draw_rank_axis,
    draw_weight_axis,
)
from polar.figures.tables import one_of, read

#: How far rounding may push a part of an entropy below 0, in nats.
ROUNDING_NATS = 1e-6
#: Largest number of bars that are not hidden by their outlines.
MOST_OUTLINED = 32
WHOLE: Style = {"facecolor": "white", "edgecolor": "black", "linewidth": 0.8}
REST: Style = {"facecolor": "white", "edgecolor": GREY, "hatch": "....", "linewidth": 0.5}
BASELINE: Style = {"color": BLACK, "marker": "_", "linestyle": "", "markeredgewidth": 1.5}
SPLIT = [
    Patch(**INFORMATION, label="information I(X; μ)"),
    Patch(**RESIDUAL, label="residual H(μ | X)"),
]


def information_diagram(table: pd.DataFrame) -> Figure:
    """The entropies of images X and codes Z and the parts they share, as bars (Fig. 2).

    All bars share one axis, so H(X, Z) = H(X | Z) + I(X; Z) + H(Z | X) can be seen. At order 2,
    I(X; Z) may be negative; H(X) and H(Z) then leave a gap, and I(X; Z) has no bar.

    Args:
        table: One row. Columns, in nats and of one order: `image_entropy_nats` H(X),
            `entropy_nats` H(Z), `joint_entropy_nats` H(X, Z).

    Raises:
        InvalidInput: the table is empty, has several rows, lacks a column or has a wrong value; or
            the joint entropy is below one of the others.
    """
    rows = read(table, ["image_entropy_nats", "entropy_nats", "joint_entropy_nats"])
    if len(rows) > 1:
        raise InvalidInput(f"the table of an information diagram has {len(rows)} rows; allowed: 1")
    images, code, joint = rows.iloc[0]
    shared = images + code - joint
    parts = {"H(X | Z)": joint - code, "H(Z | X)": joint - images}
    for name, part in parts.items():
        if part < -ROUNDING_NATS:
            raise InvalidInput(f"{name} is {part:g} nats; allowed: 0 or more")
    bars = [
        ("H(X, Z)", 0.0, joint, WHOLE),
        ("H(X)", 0.0, images, WHOLE),
        ("H(Z)", joint - code, code, WHOLE),
        ("H(X | Z)", 0.0, joint - code, REST),
        ("I(X; Z)", joint - code, shared, INFORMATION),
        ("H(Z | X)", images, joint - images, RESIDUAL),
    ]
    figure, axes = canvas("Entropy of images X and codes Z, and what they share")
    for place, (_, start, length, style) in enumerate(bars):
        axes.barh(place, max(length, 0.0), left=start, height=0.62, **style)
    for border in (joint - code, images):
        axes.axvline(border, color="grey", linewidth=0.6, linestyle=":", zorder=0)
    names = [f"{name} = {length + 0.0:.3f}" for name, _, length, _ in bars]
    axes.set_yticks(range(len(bars)), names)
    axes.set_ylim(len(bars) - 0.5, -0.5)
    axes.set_xlim(0, 1.02 * joint or 1.0)
    axes.set_xlabel("entropy (nats)")
    return figure


def information_split(table: pd.DataFrame) -> Figure:
    """The final entropy of each latent as information and residual, highest first (Fig. 7).

    A short line marks the information that the estimator reports for shuffled pairs, which share
    none.

    Args:
        table: One row for each step and latent of a run. Columns: `step`, `latent`,
            `information_nats` I(X; mu), `residual_nats` H(mu | X), `baseline_nats`, all in units
            of the ruler; the sum of information and residual is the entropy of the same order.

    Raises:
        InvalidInput: the table is empty, covers more than one run, lacks a column or has a wrong
            value.
    """
    numbers = ["step", "latent", "information_nats", "residual_nats", "baseline_nats"]
    rows = read(table, numbers, key=["step", "latent"])
    final = rows[rows["step"] == rows["step"].max()]
    entropies = final["information_nats"] + final["residual_nats"]
    final = final.loc[entropies.sort_values(ascending=False, kind="stable").index]
    ranks = np.arange(1, len(final) + 1)
    figure, axes = canvas("Entropies of the latents: information about the images, and residual")
    _draw_split(axes, ranks, final["information_nats"], final["residual_nats"])
    size = min(8.0, 250 / len(final))
    axes.plot(ranks, final["baseline_nats"], **BASELINE, markersize=size)
    draw_rank_axis(axes, len(final))
    axes.set_xlabel("rank of the latent by entropy")
    axes.set_ylabel("entropy (nats)")
    baseline = Line2D([], [], **BASELINE, label="I of shuffled pairs")
    draw_legend(figure, [*SPLIT, baseline])
    return figure


def information_by_weight(table: pd.DataFrame) -> Figure:
    """Information and residual, summed over latents, against the weight (Fig. 8).

    Bars are means over seeds, points are single seeds; the lower axes show the fraction of the
    entropy that is information.

    Args:
        table: One row for each run, step and latent. Columns: `weight_name`, `weight`, `seed`,
            `step`, `latent`, `information_nats` I(X; mu), `residual_nats` H(mu | X).

    Raises:
        InvalidInput: the table is empty, mixes models or names of weights, lacks a column or has a
            wrong value.
    """
    numbers = ["weight", "seed", "step", "latent", "information_nats", "residual_nats"]
    rows = read(table, numbers, ["weight_name"], key=["weight", "seed", "step", "latent"])
    name = one_of(rows, "weight_name")
    final = rows[rows["step"] == rows.groupby(["weight", "seed"])["step"].transform("max")]
    runs = final.groupby(["weight", "seed"])[["information_nats", "residual_nats"]].sum()
    entropies = runs.sum(axis=1)
    means = runs.groupby("weight").mean()
    places = dict(zip(means.index, range(1, len(means) + 1), strict=True))
    at = runs.index.get_level_values("weight").map(places)
    figure, grid = canvases(
        "Information in all latents by weight", 2, 1, 5.0, sharex=True, height_ratios=[2, 1]
    )
    above, below = grid[:, 0]
    _draw_split(
        above, np.array(list(places.values())), means["information_nats"], means["residual_nats"]
    )
    dots: Style = {"color": BLACK, "marker": "o", "markerfacecolor": "white", "linestyle": ""}
    above.plot(at, runs["information_nats"], **dots, markersize=4)
    above.set_ylabel("sum over latents (nats)")
    contained = runs["information_nats"] / entropies.where(entropies > 0)  # a gap where both are 0
    below.plot(at, contained, **dots, markersize=4)
    below.set_ylim(0, 1.05 * contained.max(skipna=True) if contained.max() > 1 else 1.05)
    below.set_ylabel("information /\nentropy")
    draw_weight_axis(below, name, means.index.tolist())
    seeds = Line2D([], [], **dots, markersize=4, label="one seed: information")
    draw_legend(figure, [*SPLIT, seeds])
    return figure


def _draw_split(
    axes: Axes, places: np.ndarray, information: pd.Series, residual: pd.Series
) -> None:
    thin = 0.5 if len(places) <= MOST_OUTLINED else 0.0
    axes.bar(places, information, width=0.8, **INFORMATION | {"linewidth": thin})
    axes.bar(places, residual, bottom=information, width=0.8, **RESIDUAL | {"linewidth": thin})
