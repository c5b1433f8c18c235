"""The entropies of a run's latents: sorted at the end, and over training.

The figures read the columns `step`, `latent`, `judged_entropy_nats` and `label` of the
diagnostics of one run. A latent has the colour, mark and line style of its final label. Labels are
decided by the judged entropy, which is in units of the ruler: relative to the prior, or without a
prior to the largest std of a latent.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float, Int
from matplotlib.figure import Figure

from polar.errors import InvalidInput
from polar.figures.line_ends import LineEnd, number_the_ends
from polar.figures.style import (
    BLACK,
    IDLE,
    LINES,
    MAP,
    MARKS,
    Style,
    canvas,
    draw_entropy_axis,
    draw_legend,
    draw_rank_axis,
    draw_step_axis,
    label_handles,
    tau_handle,
)
from polar.figures.tables import are_idle, labels_of, read
from polar.records.latents import Label

#: Largest number of lines whose numbers fit at their ends without overlap.
NUMBERED_LINES = 16
#: Largest number of heat map rows that can carry the numbers of their latents.
NUMBERED_ROWS = 32
#: Number of characters that fit below the heat map.
WRITTEN_CHARACTERS = 60
MARGINAL: Style = {
    "color": BLACK,
    "marker": "_",
    "linestyle": "",
    "markeredgewidth": 1.5,
    "label": "entropy of the mean as it is",
}
HELD_OUT: Style = {
    "color": BLACK,
    "marker": "x",
    "markersize": 5,
    "linestyle": "",
    "label": "on held-out images",
}


def sorted_entropies(table: pd.DataFrame, tau_nats: float) -> Figure:
    """The final entropies in descending order, with the threshold (Figs. 11-13, for one run).

    Where the judged entropy is not that of the mean as it is, the latter is also drawn, at the
    rank of its latent, from the column `entropy_nats`. Idle latents have a ring where there is a
    column `is_idle`. Where there is a column `difference_nats`, a cross shows what the entropy is
    on held-out images: that column has by how much it exceeds that on as many training images.

    Raises:
        InvalidInput: the table is empty, incomplete, or covers more than one run.
    """
    history = _history(table)
    final = history.entropies[-1]
    ranks = np.arange(1, len(final) + 1)
    final_rows = _final_rows(table, history)
    marginal = final_rows["entropy_nats"].to_numpy()
    figure, axes = canvas("Entropies of the latents, sorted")
    size = 5 if len(final) <= NUMBERED_ROWS else 3
    styles = {label: style | {"markersize": size} for label, style in MARKS.items()}
    for label in _seen(history.labels):
        own = np.array([other == label for other in history.labels])
        axes.vlines(ranks[own], 0, final[own], colors=styles[label]["color"], linewidth=0.8)
        axes.plot(ranks[own], final[own], **styles[label])
    highest = final.max()
    handles = [*label_handles(styles, history.labels), tau_handle(tau_nats)]
    if (marginal != final).any():
        (marks,) = axes.plot(ranks, marginal, **MARGINAL)
        highest = max(highest, marginal.max())
        handles.append(marks)
    if "difference_nats" in final_rows:
        held_out = final + read(final_rows, ["difference_nats"])["difference_nats"].to_numpy()
        handles += axes.plot(ranks, held_out, **HELD_OUT)
        highest = max(highest, held_out.max())
    idle = are_idle(final_rows)
    if idle.any():
        handles += axes.plot(ranks[idle], final[idle], **IDLE)
    draw_entropy_axis(axes, highest, tau_nats)
    draw_rank_axis(axes, len(final))
    axes.set_xlabel("rank of the latent by entropy")
    draw_legend(figure, handles)
    return figure


def entropy_lines(table: pd.DataFrame, tau_nats: float) -> Figure:
    """The entropy of every latent over training, with the threshold (Figs. 9, 10, all latents).

    The axis of steps is logarithmic where that spaces the evaluations more evenly. If there are at
    most NUMBERED_LINES latents, their lines are numbered.

    Raises:
        InvalidInput: the table is empty, incomplete, or covers more than one run.
    """
    history = _history(table)
    evaluations, latents = history.entropies.shape
    few = latents <= NUMBERED_LINES
    size = {"linewidth": 1.2 if few else 0.7, "markersize": 3 if few or evaluations == 1 else 0}
    styles = {label: style | size for label, style in LINES.items()}
    figure, axes = canvas("Entropies of the latents over training")
    for label, line in zip(history.labels, history.entropies.T, strict=True):
        axes.plot(history.steps, line, **styles[label], clip_on=False)
    draw_entropy_axis(axes, history.entropies.max(), tau_nats)
    draw_step_axis(axes, history.steps)
    if few:
        number_the_ends(axes, _ends(history))
    draw_legend(figure, [*label_handles(styles, history.labels), tau_handle(tau_nats)])
    return figure


def entropy_heatmap(table: pd.DataFrame) -> Figure:
    """The entropy of every latent at every evaluation, with the highest final entropy on top.

    Raises:
        InvalidInput: the table is empty, incomplete, or covers more than one run.
    """
    history = _history(table)
    evaluations, latents = history.entropies.shape
    figure, axes = canvas("Entropies of the latents over training")
    image = axes.imshow(
        history.entropies.T,
        cmap=MAP,
        vmin=0,
        vmax=history.entropies.max() or 1.0,
        aspect="auto",
        interpolation="nearest",
        extent=(0.5, evaluations + 0.5, latents + 0.5, 0.5),  # evaluations and ranks count from 1
    )
    figure.colorbar(image, label="entropy (nats)")
    steps = [f"{step:,}" for step in history.steps]
    every = -(-evaluations * len(f"{steps[-1]}  ") // WRITTEN_CHARACTERS)
    axes.set_xticks(range(evaluations, 0, -every), steps[::-every])
    axes.set_xlabel("training step of the evaluation")
    if latents <= NUMBERED_ROWS:
        axes.set_yticks(range(1, latents + 1), history.latents, fontsize="x-small")
        axes.set_ylabel("latent, by final entropy")
    else:
        axes.set_ylabel("rank of the latent by final entropy")
    return figure


@dataclass(frozen=True)
class _History:
    """A table as arrays; the latents are ordered by final entropy, highest first."""

    steps: Int[np.ndarray, " evaluations"]
    latents: Int[np.ndarray, " latents"]
    #: Judged entropies, in nats.
    entropies: Float[np.ndarray, "evaluations latents"]
    #: The final label of each latent.
    labels: list[Label]


def _history(table: pd.DataFrame) -> _History:
    numbers = ["step", "latent", "judged_entropy_nats"]
    rows = read(table, numbers, ["label"], key=["step", "latent"])
    by_step = rows.pivot(index="step", columns="latent", values="judged_entropy_nats")
    if by_step.isna().any(axis=None):
        raise InvalidInput("latents differ between steps; allowed: every latent at every step")
    entropies = by_step.to_numpy()
    order = np.argsort(-entropies[-1], kind="stable")
    final = rows[rows["step"] == by_step.index[-1]].set_index("latent")["label"]
    latents = by_step.columns.to_numpy()[order]
    return _History(
        steps=by_step.index.to_numpy().astype(int),
        latents=latents.astype(int),
        entropies=entropies[:, order],
        labels=labels_of(final.loc[latents]),
    )


def _final_rows(table: pd.DataFrame, history: _History) -> pd.DataFrame:
    """The rows of the last evaluation, in the order of the history's latents."""
    read(table, ["step", "latent", "entropy_nats"])
    final = table[table["step"] == history.steps[-1]].set_index("latent")
    return final.loc[history.latents]


def _seen(labels: list[Label]) -> list[Label]:
    return [label for label in Label if label in labels]


def _ends(history: _History) -> list[LineEnd]:
    rows = zip(history.latents, history.labels, history.entropies[-1], strict=True)
    return [
        LineEnd(float(history.steps[-1]), end, f"{latent}", MARKS[label]["color"])
        for latent, label, end in rows
    ]
