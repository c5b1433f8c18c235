"""Draws the figures of a study.

    python -m service.study_figures phase_diagram png
    python -m service.study_figures phase_diagram a.png a.svg

reads the content of the figure, a record of `polar.records.phases`, as JSON from stdin and writes
the picture to stdout, or pictures to files with their numbers next to them, so that the API and
the tracker can have it drawn in a separate process.
"""

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure
from pydantic import TypeAdapter

from polar import figures
from polar.figures.files import KINDS, write
from polar.ranges import Search
from polar.records.certificates import NotOptimal
from polar.records.phases import LossEnvelope, Phases, StudyFigure

Content = Phases | LossEnvelope
#: A picture, and the table of its numbers.
Drawn = tuple[Figure, pd.DataFrame]

_CONTENT: TypeAdapter[Content] = TypeAdapter(Content)


def save_figure(name: StudyFigure, content: Content, path: Path) -> list[Path]:
    """Write the picture as PNG, SVG or PDF, by the ending of the path, and its numbers next to it.

    Raises:
        InvalidInput: the path has another ending.
    """
    picture, numbers = FIGURES[name](content)
    return figures.save(picture, numbers, path)


def _phase_diagram(phases: Phases) -> Drawn:
    rows = _trainings(phases)
    picture = figures.phase_diagram(rows, _search(phases), phases.range)
    return picture, figures.phase_table(rows, phases.range)


def _hysteresis(phases: Phases) -> Drawn:
    rows = _trainings(phases)
    picture = figures.hysteresis_diagram(rows, _search(phases), phases.range)
    return picture, figures.hysteresis_table(rows, phases.range)


def _weight_by_steps(phases: Phases) -> Drawn:
    rows, search = _evaluations(phases), _search(phases)
    assert search is not None  # a study with a linear axis has no such figure
    assert phases.range is not None
    edges = figures.budget_table(phases.range)
    # nullable types keep whole numbers whole despite missing values
    numbers = pd.concat([table.convert_dtypes() for table in (rows, edges)])
    return figures.weight_by_steps(rows, search, phases.range), numbers


def _loss_envelope(envelope: LossEnvelope) -> Drawn:
    rows = _models(envelope)
    return figures.loss_envelope(rows, envelope.ends), rows


FIGURES: Mapping[StudyFigure, Callable[[Any], Drawn]] = {
    StudyFigure.PHASE_DIAGRAM: _phase_diagram,
    StudyFigure.HYSTERESIS: _hysteresis,
    StudyFigure.WEIGHT_BY_STEPS: _weight_by_steps,
    StudyFigure.LOSS_ENVELOPE: _loss_envelope,
}


def _search(phases: Phases) -> Search | None:
    return Search(low=phases.ends[0], high=phases.ends[1]) if phases.ends else None


def _trainings(phases: Phases) -> pd.DataFrame:
    return pd.DataFrame(
        training.model_dump(mode="json", exclude_none=True, exclude={"trajectory"})
        for training in phases.trainings
    )


def _evaluations(phases: Phases) -> pd.DataFrame:
    """A row for each evaluation of each training."""
    return pd.DataFrame(
        {
            **training.model_dump(include={"model", "dataset", "field", "weight", "seed"}),
            "steps": at.steps,
            "regime": at.regime.value,
        }
        for training in phases.trainings
        for at in training.snapshots
    )


def _models(envelope: LossEnvelope) -> pd.DataFrame:
    """A row for each model, with the model that is better at its weight, if one is known."""
    about = envelope.model_dump(include={"model", "dataset", "weight_name"})
    return pd.DataFrame(
        {
            **about,
            **model.model_dump(mode="json", exclude={"warm_start", "not_optimal"}),
            "warm_start": model.warm_start[-1] if model.warm_start else None,
            "not_optimal": model.not_optimal is not None,
            **_better(model.not_optimal),
        }
        for model in envelope.models
    )


def _better(beaten: NotOptimal | None) -> dict[str, str | float | None]:
    if beaten is None:
        return {"better": None, "by_nats": None, "se_nats": None}
    better = "total collapse" if beaten.better is None else beaten.better.words()
    return {"better": better, "by_nats": beaten.by_nats, "se_nats": beaten.se_nats}


if __name__ == "__main__":
    figure, *wanted = StudyFigure(sys.argv[1]), *sys.argv[2:]
    shown = _CONTENT.validate_json(sys.stdin.buffer.read())
    if wanted[0] in KINDS:
        write(FIGURES[figure](shown)[0], wanted[0], sys.stdout.buffer)
    else:
        for name in wanted:
            save_figure(figure, shown, Path(name))
