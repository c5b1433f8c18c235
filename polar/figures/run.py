"""All pictures of one run or measurement that its tables allow."""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pandas as pd
from matplotlib.figure import Figure

from polar.errors import InvalidInput
from polar.figures import codes, criteria, drawings
from polar.figures.downstream import accuracy_against_k
from polar.figures.dynamics import activation_order, measures_over_training, trajectories
from polar.figures.entropies import entropy_heatmap, entropy_lines, sorted_entropies
from polar.figures.estimators import entropy_against_variance
from polar.figures.files import save
from polar.figures.information import information_diagram, information_split
from polar.figures.keeping import explained_by_the_most_used
from polar.figures.tables import read
from polar.records.latents import Label

ENTROPIES = ["step", "latent", "entropy_nats", "judged_entropy_nats", "label"]
#: Columns that not every model has.
MARKED = ["is_idle", "difference_nats"]
INTERVALS = ["latent", "judged_entropy_nats", "low_nats", "high_nats", "label"]
MEASURED = ["entropy_nats", "judged_entropy_nats", "var_of_mean"]
INFORMATION = ["information_nats", "information_residual_nats"]
#: Columns of pictures, which the figure shows instead.
PIXELS = ["channels", "side", "pixels"]
MEASURES = ["step", "latent", "judged_entropy_nats", *INFORMATION, "var_of_mean", "label"]


#: Figures that need a single table, by its name.
DRAWN_ALONE = {
    "information": information_split,
    "diagram": information_diagram,
    "agreement": criteria.criteria_agreement,
    "estimators": entropy_against_variance,
    "representations": codes.representations,
    "reconstructions": drawings.reconstructions,
    "prior_samples": drawings.prior_samples,
}


#: A figure, and the numbers that it was drawn from.
Drawn = tuple[Figure, pd.DataFrame]


class Picture(NamedTuple):
    """A figure that the tables allow: its file name without the ending, and how it is drawn."""

    name: str
    draw: Callable[[], Drawn]


def save_figures(tables: Mapping[str, pd.DataFrame], tau_nats: float, folder: Path) -> list[Path]:
    """Write every figure that the tables of a run, or of a measurement of codes, allow.

    Each figure has its numbers next to it. The same tables give the same bytes. Every file is
    either complete or absent.

    Args:
        tables: Tables by name; figures whose table is missing are not drawn. A run has
            `diagnostics`, with one row for each evaluation and latent. A measurement has
            `latents`, with the same columns except `step`; where there is a table `thresholds`,
            also with `low_nats` and `high_nats`. For the columns of the other tables see their
            figures: `dynamics` (trajectories; with `usage`, activation_order), `usage`,
            `keep_curve`, `held_out` (`latent`, `difference_nats`), `downstream`,
            `information`, `diagram`, `agreement`, `estimators`, `representations`,
            `reconstructions`, `traversals`, `prior_samples`.
        tau_nats: The threshold.
        folder: Folder for `sorted_entropies.png`, `sorted_entropies.csv` and so on; created if it
            is missing.

    Returns:
        The paths of all files.

    Raises:
        InvalidInput: a table is empty, covers more than one run, lacks a column or has a wrong
            value.
    """
    return [
        path
        for name, draw in _pictures(tables, tau_nats)
        for path in save(*draw(), folder / f"{name}.png")
    ]


def figure_of(name: str, tables: Mapping[str, pd.DataFrame], tau_nats: float) -> Figure:
    """One of the figures that `save_figures` writes; the others are not drawn.

    Args:
        name: Name of its file without the ending, such as `traversals`.
        tables: Tables by name, as for `save_figures`.
        tau_nats: The threshold.

    Raises:
        InvalidInput: the tables give no figure of this name; or as for `save_figures`.
    """
    others = []
    for picture in _pictures(tables, tau_nats):
        if picture.name == name:
            return picture.draw()[0]
        others.append(picture.name)
    raise InvalidInput(f"the tables give no figure {name}; allowed: {', '.join(others)}")


def _pictures(tables: Mapping[str, pd.DataFrame], tau_nats: float) -> Iterator[Picture]:
    final = _final(tables)
    ends = final.merge(tables["held_out"], on="latent") if "held_out" in tables else final
    numbers = ends[[name for name in (*ENTROPIES, *MARKED) if name in ends.columns]]
    yield Picture("sorted_entropies", lambda: (sorted_entropies(ends, tau_nats), numbers))
    if "diagnostics" in tables:
        yield from _over_training(tables, tau_nats)
    if "usage" in tables:
        yield Picture("usage_against_entropy", lambda: _usage(tables["usage"], final, tau_nats))
    if "keep_curve" in tables:
        curve = tables["keep_curve"]
        yield Picture(
            "explained_by_the_most_used", lambda: (explained_by_the_most_used(curve, final), curve)
        )
    if "traversals" in tables:
        table = tables["traversals"]
        yield Picture(
            "traversals",
            lambda: (drawings.traversals(table, final), table.drop(columns=PIXELS)),
        )
    if "thresholds" in tables:
        yield Picture("thresholds", lambda: _thresholds(tables["latents"], tables["thresholds"]))
    if "downstream" in tables:
        accuracies = tables["downstream"]
        yield Picture(
            "accuracy_against_k",
            lambda: (accuracy_against_k(accuracies, _count_active(final)), accuracies),
        )
    for name, draw in DRAWN_ALONE.items():
        if name in tables:
            yield Picture(draw.__name__, partial(_alone, draw, tables[name]))


def _over_training(tables: Mapping[str, pd.DataFrame], tau_nats: float) -> Iterator[Picture]:
    table, dynamics = tables["diagnostics"], tables.get("dynamics")
    yield Picture(
        "entropy_over_training", lambda: (entropy_lines(table, tau_nats), table[ENTROPIES])
    )
    yield Picture("entropy_heatmap", lambda: (entropy_heatmap(table), table[ENTROPIES]))
    if _count_active(_final(tables)) and table["information_nats"].notna().any():
        yield Picture(
            "measures_over_training", lambda: (measures_over_training(table), table[MEASURES])
        )
    if dynamics is None:
        return
    yield Picture("trajectories", lambda: (trajectories(table, dynamics, tau_nats), dynamics))
    if "usage" in tables and dynamics["activation_step"].notna().any():
        yield Picture("activation_order", lambda: _order(dynamics, tables["usage"]))


def _usage(usage: pd.DataFrame, final: pd.DataFrame, tau_nats: float) -> Drawn:
    figure = criteria.usage_against_entropy(usage, final, tau_nats)
    return figure, usage.merge(final[ENTROPIES], on="latent")


def _thresholds(latents: pd.DataFrame, rules: pd.DataFrame) -> Drawn:
    intervals = latents[INTERVALS]
    return criteria.thresholds(intervals, rules), pd.concat([intervals, rules])


def _order(dynamics: pd.DataFrame, usage: pd.DataFrame) -> Drawn:
    return activation_order(dynamics, usage), dynamics.merge(usage, on="latent")


def _alone(draw: Callable[[pd.DataFrame], Figure], table: pd.DataFrame) -> Drawn:
    return draw(table), table.drop(columns=PIXELS, errors="ignore")


def _final(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """The latents at their last measurement."""
    if "diagnostics" not in tables:
        return tables["latents"].assign(step=0)
    table = tables["diagnostics"]
    read(table, ["step", "latent", *MEASURED], ["label"], optional=["information_nats"])
    return table[table["step"] == table["step"].max()]


def _count_active(latents: pd.DataFrame) -> int:
    return int((latents["label"] == Label.ACTIVE.value).sum())
