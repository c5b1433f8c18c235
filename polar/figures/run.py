"""All pictures of one run, as far as its tables go."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd
from matplotlib.figure import Figure

from polar.events import Label
from polar.figures import codes, criteria
from polar.figures.downstream import accuracy_against_k
from polar.figures.dynamics import activation_order, measures_over_training, trajectories
from polar.figures.entropies import entropy_heatmap, entropy_lines, sorted_entropies
from polar.figures.estimators import entropy_against_variance
from polar.figures.files import save
from polar.figures.information import information_diagram, information_split
from polar.figures.tables import read

ENTROPIES = ["step", "latent", "entropy_nats", "judged_entropy_nats", "label"]
INTERVALS = ["latent", "judged_entropy_nats", "low_nats", "high_nats", "label"]
MEASURED = ["entropy_nats", "judged_entropy_nats", "var_of_mean"]
MEASURES = ["step", "latent", "entropy_nats", "information_nats", "var_of_mean", "label"]


class Picture(NamedTuple):
    """A figure, its file name without ending, and the numbers that it was drawn from."""

    name: str
    figure: Figure
    numbers: pd.DataFrame


def save_figures(
    table: pd.DataFrame,
    tau_nats: float,
    folder: Path,
    *,
    dynamics: pd.DataFrame | None = None,
    information: pd.DataFrame | None = None,
    diagram: pd.DataFrame | None = None,
    usage: pd.DataFrame | None = None,
    agreement: pd.DataFrame | None = None,
    intervals: pd.DataFrame | None = None,
    thresholds: pd.DataFrame | None = None,
    estimators: pd.DataFrame | None = None,
    downstream: pd.DataFrame | None = None,
    representations: pd.DataFrame | None = None,
) -> list[Path]:
    """Writes every figure that the tables of one run can give, each with its numbers beside it.

    The same tables give the same bytes. Every file is either whole or not there.

    Args:
        table: The diagnostics: one row for each evaluation and latent.
        tau_nats: The threshold.
        folder: For `sorted_entropies.png`, `sorted_entropies.csv` and so on; made if need be.
        dynamics: See `trajectories`; together with `usage`, `activation_order`.
        information: See `information_split`.
        diagram: See `information_diagram`.
        usage: See `usage_against_entropy`.
        agreement: See `criteria_agreement`.
        intervals: See `thresholds`; drawn if both are there.
        thresholds: The rules, see there.
        estimators: See `entropy_against_variance`.
        downstream: See `accuracy_against_k`.
        representations: See `polar.figures.codes.representations`.

    Returns:
        The paths of all files.

    Raises:
        InvalidInput: a table is empty, not of one run, lacks a column, or has something else in
            it.
    """
    read(table, ["step", "latent", *MEASURED], ["label"], optional=["information_nats"])
    final = table[table["step"] == table["step"].max()]
    n_active = int((final["label"] == Label.ACTIVE.value).sum())
    pictures = [
        Picture("sorted_entropies", sorted_entropies(table, tau_nats), final[ENTROPIES]),
        Picture("entropy_over_training", entropy_lines(table, tau_nats), table[ENTROPIES]),
        Picture("entropy_heatmap", entropy_heatmap(table), table[ENTROPIES]),
    ]
    if n_active and table["information_nats"].notna().any():
        figure = measures_over_training(table)
        pictures.append(Picture("measures_over_training", figure, table[MEASURES]))
    if dynamics is not None:
        figure = trajectories(table, dynamics, tau_nats)
        pictures.append(Picture("trajectories", figure, dynamics))
    if information is not None:
        pictures.append(Picture("information_split", information_split(information), information))
    if diagram is not None:
        pictures.append(Picture("information_diagram", information_diagram(diagram), diagram))
    if usage is not None:
        figure = criteria.usage_against_entropy(usage, table, tau_nats)
        numbers = usage.merge(final[ENTROPIES], on="latent")
        pictures.append(Picture("usage_against_entropy", figure, numbers))
    if dynamics is not None and usage is not None and dynamics["activation_step"].notna().any():
        figure = activation_order(dynamics, usage)
        pictures.append(Picture("activation_order", figure, dynamics.merge(usage, on="latent")))
    if agreement is not None:
        figure = criteria.criteria_agreement(agreement)
        pictures.append(Picture("criteria_agreement", figure, agreement))
    if intervals is not None and thresholds is not None:
        pictures.append(_thresholds(intervals[INTERVALS], thresholds))
    if estimators is not None:
        figure = entropy_against_variance(estimators)
        pictures.append(Picture("entropy_against_variance", figure, estimators))
    if downstream is not None:
        figure = accuracy_against_k(downstream, n_active)
        pictures.append(Picture("accuracy_against_k", figure, downstream))
    if representations is not None:
        figure = codes.representations(representations)
        pictures.append(Picture("representations", figure, representations))
    return _save_all(pictures, folder)


def save_measurement_figures(
    tables: Mapping[str, pd.DataFrame], tau_nats: float, folder: Path
) -> list[Path]:
    """Writes every figure that a measurement of codes can give, as `save_figures` does.

    Args:
        tables: By name: `latents` (one row for each latent, with the columns of diagnostics but
            `step`, and `low_nats` and `high_nats`), `thresholds`, and, if there is more than one
            criterion, `agreement`; also `usage` and `representations` if they are to be drawn.
        tau_nats: The threshold.
        folder: For the files; made if need be.

    Raises:
        InvalidInput: a table is empty, lacks a column, or has something else in it.
    """
    latents = tables["latents"].assign(step=0)
    rules = tables["thresholds"]
    pictures = [
        Picture("sorted_entropies", sorted_entropies(latents, tau_nats), latents[ENTROPIES]),
        _thresholds(latents[INTERVALS], rules),
    ]
    if "agreement" in tables:
        figure = criteria.criteria_agreement(tables["agreement"])
        pictures.append(Picture("criteria_agreement", figure, tables["agreement"]))
    if "usage" in tables:
        figure = criteria.usage_against_entropy(tables["usage"], latents, tau_nats)
        numbers = tables["usage"].merge(latents[ENTROPIES], on="latent")
        pictures.append(Picture("usage_against_entropy", figure, numbers))
    if "representations" in tables:
        figure = codes.representations(tables["representations"])
        pictures.append(Picture("representations", figure, tables["representations"]))
    return _save_all(pictures, folder)


def _thresholds(intervals: pd.DataFrame, rules: pd.DataFrame) -> Picture:
    figure = criteria.thresholds(intervals, rules)
    return Picture("thresholds", figure, pd.concat([intervals, rules]))


def _save_all(pictures: Sequence[Picture], folder: Path) -> list[Path]:
    return [
        path
        for name, figure, numbers in pictures
        for path in save(figure, numbers, folder / f"{name}.png")
    ]
