"""Draws a study's phase diagram.

    python -m service.drawing png

reads what the diagram shows, a `service.api.studies.phases.Phases`, as JSON from stdin, and
writes the picture to stdout: so the API has it drawn in a process of its own.
"""

import sys
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from polar.figures import phase_diagram, phase_table, save
from polar.figures.files import write
from polar.ranges import RangeReport, Search
from service.api.studies.phases import Phases


def save_phase_diagram(phases: Phases, path: Path) -> list[Path]:
    """Writes the picture, as PNG, SVG or PDF by the ending, and its numbers beside it.

    Raises:
        InvalidInput: the path ends in something else.
    """
    return save(_figure(phases), phase_table(_table(phases), _report(phases)), path)


def _figure(phases: Phases) -> Figure:
    search = Search(low=phases.ends[0], high=phases.ends[1]) if phases.ends else None
    return phase_diagram(_table(phases), search, _report(phases))


def _table(phases: Phases) -> pd.DataFrame:
    return pd.DataFrame([training.model_dump() for training in phases.trainings])


def _report(phases: Phases) -> RangeReport | None:
    """The range without what the service says besides."""
    if phases.range is None:
        return None
    return RangeReport(**{name: phases.range[name] for name in RangeReport.model_fields})


if __name__ == "__main__":
    drawn = _figure(Phases.model_validate_json(sys.stdin.buffer.read()))
    write(drawn, sys.argv[1], sys.stdout.buffer)
