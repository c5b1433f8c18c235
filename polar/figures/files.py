"""A figure on disk: the picture, and beside it the numbers that it was drawn from."""

from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from polar.errors import InvalidInput
from polar.files import whole

DOTS_PER_INCH = 150
#: Rows up to which numbers are written as text, which anyone can open; more go into Parquet.
ROWS_OF_TEXT = 10_000


def save(figure: Figure, table: pd.DataFrame, path: Path) -> list[Path]:
    """Writes a figure as PNG and its numbers beside it, each either whole or not there.

    The same figure and table give the same bytes.

    Args:
        figure: What to draw.
        table: The numbers; as CSV up to ROWS_OF_TEXT rows, else as Parquet.
        path: Of the picture, ending in `.png`; its folder is made if it is not there.

    Returns:
        The paths of picture and numbers, which differ in the ending only.

    Raises:
        InvalidInput: the path does not end in `.png`.
    """
    if path.suffix != ".png":
        raise InvalidInput(f"picture named {path.name!r}; allowed: names that end in .png")
    path.parent.mkdir(parents=True, exist_ok=True)
    numbers = _save_numbers(table, path)  # first: no picture is ever there without its numbers
    with whole(path) as part:
        # Without None, matplotlib writes its version into the file.
        figure.savefig(part, format="png", dpi=DOTS_PER_INCH, metadata={"Software": None})
    return [path, numbers]


def _save_numbers(table: pd.DataFrame, picture: Path) -> Path:
    is_text = len(table) <= ROWS_OF_TEXT
    path = picture.with_suffix(".csv" if is_text else ".parquet")
    with whole(path) as part:
        if is_text:
            table.to_csv(part, index=False, lineterminator="\n")
        else:
            table.to_parquet(part, engine="pyarrow", index=False)
    return path
