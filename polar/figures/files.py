"""A figure on disk: the picture, and next to it the numbers that it was drawn from."""

from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

import matplotlib as mpl
import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from polar.errors import InvalidInput
from polar.files import written_aside

DOTS_PER_INCH = 150
#: Largest table that is written as text, which anyone can open; longer tables become Parquet.
ROWS_OF_TEXT = 10_000
#: Kinds of pictures, each with the metadata to leave out: matplotlib's version and the date would
#: make the bytes differ.
KINDS: Mapping[str, Mapping[str, None]] = {
    "png": {"Software": None},
    "svg": {"Creator": None, "Date": None},
    "pdf": {"Creator": None, "Producer": None, "CreationDate": None},
}


def save(figure: Figure, table: pd.DataFrame, path: Path) -> list[Path]:
    """Write a figure, and its numbers next to it; each file is either complete or absent.

    The same figure and table give the same bytes.

    Args:
        figure: What to draw.
        table: The numbers, written as CSV up to ROWS_OF_TEXT rows, otherwise as Parquet.
        path: Path of the picture, ending in `.png`, `.svg` or `.pdf`; a missing folder is created.

    Returns:
        The paths of picture and numbers, which differ only in their ending.

    Raises:
        InvalidInput: the path has another ending.
    """
    kind = path.suffix.removeprefix(".")
    if kind not in KINDS:
        allowed = ", ".join(f".{kind}" for kind in KINDS)
        raise InvalidInput(
            f"the picture's name is {path.name!r}; allowed: names that end in {allowed}"
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    numbers = _save_numbers(table, path)  # written first, so no picture exists without its numbers
    with written_aside(path, is_durable=True) as aside, aside.open("wb") as file:
        write(figure, kind, file)
    return [path, numbers]


def write(figure: Figure, kind: str, file: BinaryIO) -> None:
    """Write a picture of one of the KINDS; the same figure gives the same bytes."""
    if kind == "png":  # the same as `savefig`, which draws everything once more, to lay it out
        figure.set_dpi(DOTS_PER_INCH)
        canvas = FigureCanvasAgg(figure)
        canvas.print_png(file, metadata=KINDS[kind])  # type: ignore[no-untyped-call]
        return
    with mpl.rc_context({"svg.hashsalt": "polar"}):  # otherwise the SVG's ids are random
        figure.savefig(file, format=kind, dpi=DOTS_PER_INCH, metadata=KINDS[kind])


def _save_numbers(table: pd.DataFrame, picture: Path) -> Path:
    is_text = len(table) <= ROWS_OF_TEXT
    path = picture.with_suffix(".csv" if is_text else ".parquet")
    with written_aside(path, is_durable=True) as aside:
        if is_text:
            table.to_csv(aside, index=False, lineterminator="\n")
        else:
            table.to_parquet(aside, engine="pyarrow", index=False)
    return path
