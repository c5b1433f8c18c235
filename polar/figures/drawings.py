"""What a model draws, as contact sheets: reconstructions, latents, samples of the prior."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from jaxtyping import UInt8
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from polar.errors import InvalidInput
from polar.figures.style import WIDTH_INCHES, canvases
from polar.figures.tables import read

#: Most latents on one page; of more, those with the highest entropies are shown.
MOST_ROWS = 40
#: Samples of the prior in a row.
COLUMNS = 10
#: Part of the width of the paper that pictures take; the names of rows need the rest.
PART = 0.6
#: Pixels between two pictures, and their colour.
GAP, PAPER = 1, 255


def reconstructions(table: pd.DataFrame) -> Figure:
    """Images, and beneath each of them what the model makes of it.

    Args:
        table: A row for each picture. Columns: `image`, `kind` (original or reconstruction),
            `channels`, `side`, `pixels` (bytes, channels x side x side).

    Raises:
        InvalidInput: the table is empty, lacks a column, or a picture has a wrong number of bytes.
    """
    rows = read(table, ["image"], ["kind"], key=["image", "kind"])
    kinds = ("original", "reconstruction")
    pictures = _pictures(table)
    lines = [pictures[(rows["kind"] == kind).to_numpy()] for kind in kinds]
    if len(lines[0]) != len(lines[1]) or len(lines[0]) * 2 != len(rows):
        raise InvalidInput(
            f"the table has {len(lines[0])} originals and {len(lines[1])} reconstructions of "
            f"{len(rows)} pictures; allowed: as many of both, and no others"
        )
    figure, axes = _sheet("Images and their reconstructions from mean codes", lines)
    _name_rows(axes, kinds, lines)
    return figure


def traversals(table: pd.DataFrame, latents: pd.DataFrame) -> Figure:
    """What each latent does: a row for each, by descending entropy, along its own quantiles.

    All other latents stay as the first image has them.

    Args:
        table: A row for each latent and quantile. Columns: `latent`, `quantile` (0 to 1), `value`
            (in units of the latent), `channels`, `side`, `pixels` as for `reconstructions`.
        latents: A row for each latent. Columns: `latent`, `judged_entropy_nats`, `label`, and
            where it was measured `usage_nats`.

    Raises:
        InvalidInput: a table is empty, lacks a column or has a wrong value.
    """
    rows = read(table, ["latent", "quantile", "value"], key=["latent", "quantile"])
    known = read(
        latents.reindex(columns=[*latents.columns.union(["usage_nats"])]),
        ["latent", "judged_entropy_nats"],
        ["label"],
        optional=["usage_nats"],
        key=["latent"],
    ).sort_values(["judged_entropy_nats", "latent"], ascending=[False, True])
    pictures = _pictures(table)
    shown = known.head(MOST_ROWS)
    lines = [pictures[(rows["latent"] == latent).to_numpy()] for latent in shown["latent"]]
    more = len(known) - len(shown)
    beyond = f" ({more} of lower entropy are not shown)" if more else ""
    figure, axes = _sheet(f"What each latent does{beyond}", lines)
    names = [
        f"{latent:.0f} {label}, H {entropy:.2f}"
        + ("" if np.isnan(usage) else f", usage {usage:.1f}")
        for latent, label, entropy, usage in zip(
            shown["latent"],
            shown["label"],
            shown["judged_entropy_nats"],
            shown["usage_nats"],
            strict=True,
        )
    ]
    _name_rows(axes, names, lines)
    quantiles = sorted(rows["quantile"].unique())
    places = _centres(len(quantiles), lines[0].shape[1])
    axes.set_xticks(places, [f"{100 * quantile:g} %" for quantile in quantiles])
    figure.supxlabel("quantile of the latent's own means (H, usage: nats)", fontsize="medium")
    return figure


def prior_samples(table: pd.DataFrame) -> Figure:
    """What the model draws from samples of its prior.

    Args:
        table: A row for each picture. Columns: `sample`, `channels`, `side`, `pixels` as for
            `reconstructions`.

    Raises:
        InvalidInput: the table is empty, lacks a column, or a picture has a wrong number of bytes.
    """
    read(table, ["sample"], key=["sample"])
    pictures = _pictures(table)
    lines = [pictures[begin : begin + COLUMNS] for begin in range(0, len(pictures), COLUMNS)]
    figure, axes = _sheet("Samples of the prior", lines)
    axes.set_yticks([])
    return figure


def _pictures(table: pd.DataFrame) -> UInt8[np.ndarray, "n side side c"]:
    sizes = read(table, ["channels", "side"]).drop_duplicates()
    if len(sizes) > 1 or "pixels" not in table.columns:
        raise InvalidInput(
            f"the table has pictures of {len(sizes)} shapes and the columns "
            f"{list(table.columns)}; allowed: one shape, and a column pixels"
        )
    channels, side = (int(size) for size in sizes.iloc[0])
    wanted = channels * side**2
    wrong = [pixels for pixels in table["pixels"] if len(pixels) != wanted]
    if wrong or channels not in (1, 3):
        raise InvalidInput(
            f"a picture of {channels} channels and side {side} has "
            f"{len(wrong[0]) if wrong else wanted} bytes; allowed: 1 or 3 channels, {wanted} bytes"
        )
    flat = np.frombuffer(b"".join(table["pixels"]), np.uint8)
    return flat.reshape(-1, channels, side, side).transpose(0, 2, 3, 1)


def _sheet(title: str, lines: Sequence[UInt8[np.ndarray, "n side side c"]]) -> tuple[Figure, Axes]:
    """A figure with lines of pictures, each line from left to right."""
    side, channels = lines[0].shape[1], lines[0].shape[3]
    columns, cell = max(len(line) for line in lines), side + GAP
    sheet = np.full((len(lines) * cell - GAP, columns * cell - GAP, channels), PAPER, np.uint8)
    for row, line in enumerate(lines):
        for column, picture in enumerate(line):
            top, left = row * cell, column * cell
            sheet[top : top + side, left : left + side] = picture
    height = 0.8 + PART * WIDTH_INCHES * sheet.shape[0] / sheet.shape[1]
    figure, grid = canvases(title, 1, 1, height)
    axes = grid[0, 0]
    axes.imshow(
        sheet[..., 0] if channels == 1 else sheet,
        cmap="gray",
        vmin=0,
        vmax=255,
        interpolation="nearest",
    )
    axes.set_xticks([])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    return figure, axes


def _name_rows(
    axes: Axes, names: Sequence[str], lines: Sequence[UInt8[np.ndarray, "n side side c"]]
) -> None:
    axes.set_yticks(_centres(len(names), lines[0].shape[1]), names, fontsize="x-small")


def _centres(count: int, side: int) -> list[float]:
    """The middle of each of so many pictures in a line, in pixels."""
    return [place * (side + GAP) + (side - 1) / 2 for place in range(count)]
