"""All pictures of one run or measurement that its tables allow."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import pandas as pd
from matplotlib.figure import Figure

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


class Picture(NamedTuple):
    """A figure, its file name without the ending, and the numbers that it was drawn from."""

    name: str
    figure: Figure
    numbers: pd.DataFrame


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
        for name, figure, numbers in _pictures(tables, tau_nats)
        for path in save(figure, numbers, folder / f"{name}.png")
    ]


def _pictures(tables: Mapping[str, pd.DataFrame], tau_nats: float) -> Iterator[Picture]:
    final = _final(tables)
    ends = final.merge(tables["held_out"], on="latent") if "held_out" in tables else final
    numbers = ends[[name for name in (*ENTROPIES, *MARKED) if name in ends.columns]]
    yield Picture("sorted_entropies", sorted_entropies(ends, tau_nats), numbers)
    if "diagnostics" in tables:
        yield from _over_training(tables, tau_nats)
    if "usage" in tables:
        figure = criteria.usage_against_entropy(tables["usage"], final, tau_nats)
        numbers = tables["usage"].merge(final[ENTROPIES], on="latent")
        yield Picture("usage_against_entropy", figure, numbers)
    if "keep_curve" in tables:
        figure = explained_by_the_most_used(tables["keep_curve"], final)
        yield Picture("explained_by_the_most_used", figure, tables["keep_curve"])
    if "traversals" in tables:
        figure = drawings.traversals(tables["traversals"], final)
        yield Picture("traversals", figure, tables["traversals"].drop(columns=PIXELS))
    if "thresholds" in tables:
        intervals, rules = tables["latents"][INTERVALS], tables["thresholds"]
        figure = criteria.thresholds(intervals, rules)
        yield Picture("thresholds", figure, pd.concat([intervals, rules]))
    if "downstream" in tables:
        figure = accuracy_against_k(tables["downstream"], _count_active(final))
        yield Picture("accuracy_against_k", figure, tables["downstream"])
    for name, draw in DRAWN_ALONE.items():
        if name in tables:
            numbers = tables[name].drop(columns=PIXELS, errors="ignore")
            yield Picture(draw.__name__, draw(tables[name]), numbers)


def _over_training(tables: Mapping[str, pd.DataFrame], tau_nats: float) -> Iterator[Picture]:
    table, dynamics = tables["diagnostics"], tables.get("dynamics")
    yield Picture("entropy_over_training", entropy_lines(table, tau_nats), table[ENTROPIES])
    yield Picture("entropy_heatmap", entropy_heatmap(table), table[ENTROPIES])
    if _count_active(_final(tables)) and table["information_nats"].notna().any():
        yield Picture("measures_over_training", measures_over_training(table), table[MEASURES])
    if dynamics is None:
        return
    yield Picture("trajectories", trajectories(table, dynamics, tau_nats), dynamics)
    if "usage" in tables and dynamics["activation_step"].notna().any():
        figure = activation_order(dynamics, tables["usage"])
        yield Picture("activation_order", figure, dynamics.merge(tables["usage"], on="latent"))


def _final(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """The latents at their last measurement."""
    if "diagnostics" not in tables:
        return tables["latents"].assign(step=0)
    table = tables["diagnostics"]
    read(table, ["step", "latent", *MEASURED], ["label"], optional=["information_nats"])
    return table[table["step"] == table["step"].max()]


def _count_active(latents: pd.DataFrame) -> int:
    return int((latents["label"] == Label.ACTIVE.value).sum())
