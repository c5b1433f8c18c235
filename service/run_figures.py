"""Draws a figure of a run or of a measurement once more, as another kind of picture.

    python -m service.run_figures runs/.../out/figures/traversals.png svg

draws it from the tables in its folder and writes it to stdout, so that the API can have
it drawn in a separate process. The exit code is REFUSED where the tables do not allow it; the last
line on stderr says why.
"""

import json
import sys
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from polar.errors import InvalidInput
from polar.figures import figure_of
from polar.figures.files import write
from polar.records.measurement import MEASUREMENT_FILE
from service.exit_codes import REFUSED


def redraw(picture: Path) -> Figure:
    """The figure of a picture in a folder `figures`, from the tables beside that folder.

    Raises:
        InvalidInput: the tables are not there, cannot be read, or do not give the figure.
    """
    folder = picture.parent.parent
    try:
        tau_nats = json.loads((folder / MEASUREMENT_FILE).read_bytes())["verdict"]["tau_nats"]
        tables = {path.stem: pd.read_parquet(path) for path in sorted(folder.glob("*.parquet"))}
    except OSError as error:
        raise InvalidInput(f"its files cannot be read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise InvalidInput(
            f"one of its files is of another version or damaged: {error}"
        ) from error
    try:
        return figure_of(picture.stem, tables, tau_nats)
    except KeyError as error:
        raise InvalidInput(
            f"its tables are of another version, and this one misses {error}"
        ) from error


if __name__ == "__main__":
    try:
        figure = redraw(Path(sys.argv[1]))
    except InvalidInput as refusal:
        sys.stderr.write(f"{refusal}\n")
        sys.exit(REFUSED)
    write(figure, sys.argv[2], sys.stdout.buffer)
