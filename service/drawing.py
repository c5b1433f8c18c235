"""Draws the figures of a study: its phase diagram, and its hysteresis.

    python -m service.drawing phase_diagram png

reads the content of the figure, a `polar.records.phases.Phases`, as JSON from stdin and writes
the picture to stdout, so that the API can have it drawn in a separate process.
"""

import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from polar.figures import hysteresis_diagram, hysteresis_table, phase_diagram, phase_table, save
from polar.figures.files import write
from polar.ranges import Search
from polar.records.phases import Phases
from polar.records.ranges import RangeReport

Draw = Callable[[pd.DataFrame, Search | None, RangeReport | None], Figure]
Table = Callable[[pd.DataFrame, RangeReport | None], pd.DataFrame]

#: How each figure is drawn, and what the table of its numbers is.
FIGURES: Mapping[str, tuple[Draw, Table]] = {
    "phase_diagram": (phase_diagram, phase_table),
    "hysteresis": (hysteresis_diagram, hysteresis_table),
}


def save_figure(name: str, phases: Phases, path: Path) -> list[Path]:
    """Write the picture as PNG, SVG or PDF, by the ending of the path, and its numbers next to it.

    Raises:
        InvalidInput: the path has another ending.
    """
    _, numbers = FIGURES[name]
    return save(_figure(name, phases), numbers(_table(phases), phases.range), path)


def _figure(name: str, phases: Phases) -> Figure:
    search = Search(low=phases.ends[0], high=phases.ends[1]) if phases.ends else None
    draw, _ = FIGURES[name]
    return draw(_table(phases), search, phases.range)


def _table(phases: Phases) -> pd.DataFrame:
    trainings = phases.trainings
    return pd.DataFrame([each.model_dump(mode="json", exclude_none=True) for each in trainings])


if __name__ == "__main__":
    name, kind = sys.argv[1:]
    drawn = _figure(name, Phases.model_validate_json(sys.stdin.buffer.read()))
    write(drawn, kind, sys.stdout.buffer)
