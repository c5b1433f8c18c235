"""Draws a study's phase diagram.

    python -m service.drawing png

reads the content of the diagram, a `polar.records.phases.Phases`, as JSON from stdin and writes
the picture to stdout, so that the API can have it drawn in a separate process.
"""

import sys
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from polar.figures import phase_diagram, phase_table, save
from polar.figures.files import write
from polar.ranges import Search
from polar.records.phases import Phases


def save_phase_diagram(phases: Phases, path: Path) -> list[Path]:
    """Write the picture as PNG, SVG or PDF, by the ending of the path, and its numbers next to it.

    Raises:
        InvalidInput: the path has another ending.
    """
    return save(_figure(phases), phase_table(_table(phases), phases.range), path)


def _figure(phases: Phases) -> Figure:
    search = Search(low=phases.ends[0], high=phases.ends[1]) if phases.ends else None
    return phase_diagram(_table(phases), search, phases.range)


def _table(phases: Phases) -> pd.DataFrame:
    return pd.DataFrame([training.model_dump(mode="json") for training in phases.trainings])


if __name__ == "__main__":
    drawn = _figure(Phases.model_validate_json(sys.stdin.buffer.read()))
    write(drawn, sys.argv[1], sys.stdout.buffer)
