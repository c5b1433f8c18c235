"""Runs shown live, one line each, until the last of them has ended."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import assert_never
from uuid import UUID

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from service.api.views import (
    Evaluated,
    ExperimentView,
    Progressed,
    QueueMoved,
    RunEvent,
    RunOfExperiment,
    RunView,
    StateChanged,
)


def runs_of(found: ExperimentView | RunView) -> Sequence[RunOfExperiment | RunView]:
    """What there is to watch."""
    return found.runs if isinstance(found, ExperimentView) else [found]


def show(events: Iterable[RunEvent], names: Mapping[UUID, str]) -> None:
    """Show what happens to the runs of these names."""
    bars = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[status]}"),
        TextColumn("{task.fields[verdict]}"),
        console=Console(stderr=True),
    )
    with bars:
        lines = {
            run_id: bars.add_task(name, total=None, status="", verdict="")
            for run_id, name in names.items()
        }
        for event in events:
            line = lines[event.run_id]
            match event:
                case StateChanged(state=state, reason=reason):
                    bars.update(line, status=f"{state} ({reason})" if reason else state)
                case QueueMoved(position=position):
                    bars.update(line, status=f"queued, {position} before it")
                case Progressed(progress=progress):
                    left = timedelta(seconds=round(progress.eta_s))
                    bars.update(
                        line,
                        completed=progress.step,
                        total=progress.steps,
                        status=f"{left} left",
                    )
                case Evaluated(evaluation=evaluation):
                    verdict = evaluation.verdict
                    bars.update(line, verdict=f"{verdict.regime} {verdict.polarisation:.2f}")
                case _:
                    assert_never(event)
