"""How useful the latents are: accuracy of a classifier on the k latents of highest entropy."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from polar.confidence import half_width
from polar.errors import InvalidInput
from polar.figures.style import BLACK, ROUND, SERIES, Style, canvases, draw_legend
from polar.figures.tables import distinct, read, refuse_others

#: From left to right, in the paper's order.
REPRESENTATIONS = {"standardised": "standardised latents", "raw": "raw latents"}
CONTROLS: dict[str, Style] = {
    "none": SERIES[0] | {"label": "with L2 penalty"},
    "unpenalised": SERIES[1] | {"label": "without penalty (C = ∞)"},
    "shuffled_passives": SERIES[2] | {"label": "passives shuffled"},
    "residual_passives": SERIES[4] | {"label": "passives unexplained by actives"},
}
ACTIVES_LINE: Style = {"color": BLACK, "linestyle": (0, (1, 2)), "linewidth": 1.2}
#: Two-sided confidence of the intervals.
CONFIDENCE = 0.95
ALL_FACTORS = "mean over factors"
#: Largest number of factors that fits on a page.
MOST_FACTORS = 6


def accuracy_against_k(table: pd.DataFrame, n_active: int | None = None) -> Figure:
    """Accuracy on the k latents of highest entropy, standardised and raw (Figs. 14-17).

    Each of several factors has its own row, below a row for their mean. Lines are means over
    seeds; bands are 95 % intervals for these means (Student's t), which need at least two seeds.
    Seeds that are splits of the same images share most of them, so the mean of n splits varies
    more than that of n independent seeds: where a single accuracy has the variance s^2, the mean
    has s^2 (1 / n + n_test / n_train).

    Args:
        table: One row for each factor, k, representation, control and seed. Columns: `factor`,
            `k` (1 to latents), `representation` (raw, standardised), `control` (none,
            unpenalised, shuffled_passives, residual_passives), `seed`, `accuracy` (0 to 1); and
            where seeds are splits of the same images, `n_train` and `n_test` (images).
        n_active: Number of active latents, drawn as a line; None to draw no line.

    Raises:
        InvalidInput: the table is empty, lacks a column, has a wrong value, has more than 6
            factors, or has different measurements for different factors.

    Reference: Nadeau and Bengio (2003), https://doi.org/10.1023/A:1024068626366
    """
    words = ["factor", "representation", "control"]
    keys = [*words, "k", "seed"]
    rows = read(table, ["k", "seed", "accuracy"], words, at_least_0=["accuracy"], key=keys)
    test_over_train = _test_over_train(table)
    refuse_others(rows["representation"], REPRESENTATIONS)
    refuse_others(rows["control"], CONTROLS)
    rows = _with_mean_over_factors(rows)
    factors = distinct(rows["factor"])
    figure, grid = canvases(
        "Accuracy on the latents of highest entropy",
        len(factors),
        2,
        3.9 if len(factors) == 1 else 1.2 + 1.4 * len(factors),
        sharex=True,
        sharey="row",
    )
    for line, factor in zip(grid, factors, strict=True):
        factor_rows = rows[rows["factor"] == factor]
        for axes, representation in zip(line, REPRESENTATIONS, strict=True):
            own = factor_rows[factor_rows["representation"] == representation]
            _draw_accuracies(axes, own, test_over_train)
            if n_active is not None:
                axes.axvline(n_active, **ACTIVES_LINE, zorder=1)
        line[0].set_ylabel(f"{factor}\naccuracy", fontsize="small")
        _limit_accuracies(line[0])
    for axes, name in zip(grid[0], REPRESENTATIONS.values(), strict=True):
        axes.set_title(name, fontsize="medium")
    for axes in grid[-1]:
        axes.set_xlim(0.5, rows["k"].max() + 0.5)
        axes.xaxis.set_major_locator(MaxNLocator(8, steps=ROUND, integer=True, min_n_ticks=1))
        axes.set_xlabel("latents k, by entropy")
    _draw_legend(figure, set(rows["control"]), n_active)
    return figure


def _test_over_train(table: pd.DataFrame) -> float:
    """n_test / n_train for splits of the same images; 0 for independent seeds.

    Tables of independent seeds have no columns `n_train` and `n_test`.
    """
    if not {"n_train", "n_test"} <= set(table.columns):
        return 0.0
    images = read(table, ["n_train", "n_test"], at_least_0=["n_train", "n_test"])
    return float(images["n_test"].max() / images["n_train"].min())


def _with_mean_over_factors(rows: pd.DataFrame) -> pd.DataFrame:
    factors = rows["factor"].nunique()
    if factors == 1:
        return rows
    if factors > MOST_FACTORS:
        raise InvalidInput(f"the table has {factors} factors; allowed: at most {MOST_FACTORS}")
    groups = rows.groupby(["representation", "control", "k", "seed"])["accuracy"]
    if (groups.size() != factors).any():
        raise InvalidInput("measurements differ between factors; allowed: the same for all")
    return pd.concat([groups.mean().reset_index().assign(factor=ALL_FACTORS), rows])


def _draw_accuracies(axes: Axes, rows: pd.DataFrame, test_over_train: float) -> None:
    for control, style in CONTROLS.items():
        own = rows[rows["control"] == control].groupby("k")["accuracy"]
        if own.ngroups:
            means = own.mean()
            size = 3.5 if len(means) <= 32 else 0
            axes.plot(means.index, means, **style, linewidth=1.0, markersize=size)
            half_widths = own.agg(_half_width, test_over_train)
            axes.fill_between(
                means.index,
                means - half_widths,
                means + half_widths,
                color=style["color"],
                alpha=0.2,
                linewidth=0,
            )


def _half_width(accuracies: pd.Series, test_over_train: float) -> float:
    """Half the width of a mean's interval; 0 for a single value, which has no interval."""
    if len(accuracies) == 1:
        return 0.0
    values = accuracies.tolist()
    return half_width(values, confidence=CONFIDENCE, test_over_train=test_over_train)


def _limit_accuracies(axes: Axes) -> None:
    """Keep the axis between 0 and 1, the range of accuracies, which the bands may leave."""
    low, high = axes.get_ylim()
    axes.set_ylim(max(0.0, low), min(1.0, high))


def _draw_legend(figure: Figure, controls: set[str], n_active: int | None) -> None:
    handles = [
        Line2D([], [], **style, markersize=4)
        for control, style in CONTROLS.items()
        if control in controls
    ]
    if n_active is not None:
        handles.append(Line2D([], [], **ACTIVES_LINE, label=f"active latents: {n_active}"))
    draw_legend(figure, handles)
