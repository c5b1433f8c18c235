"""Shows runs live, with a line for each, until the last run has ended."""

from collections.abc import Iterable, Mapping, Sequence
from typing import assert_never
from uuid import UUID

from service.api.experiments.schemas import ExperimentView, RunOfExperiment
from service.api.run_events import Evaluated, Progressed, QueueMoved, RunEvent, StateChanged
from service.api.runs.schemas import RunView
from service.cli import verdicts
from service.cli.bars import Bars, time_left
from service.storage.states import RunState


def runs_of(watched: ExperimentView | RunView) -> Sequence[RunOfExperiment | RunView]:
    """The runs of an experiment, or the run itself."""
    return watched.runs if isinstance(watched, ExperimentView) else [watched]


def show(events: Iterable[RunEvent], names: Mapping[UUID, str]) -> None:
    """Show the events of runs, each run under its name."""
    bars = Bars()
    lines = {run_id: bars.add(name) for run_id, name in names.items()}
    with bars:
        for event in events:
            line = lines[event.run_id]
            match event:
                case StateChanged(state=state, reason=reason):
                    status = f"{state} ({reason})" if reason else state
                    bars.update(line, status=status, is_moving=state is RunState.RUNNING)
                case QueueMoved(position=position):
                    bars.update(line, status=f"queued, {position} before it")
                case Progressed(progress=progress):
                    bars.update(
                        line,
                        completed=progress.step,
                        total=progress.steps,
                        status=time_left(progress),
                    )
                case Evaluated(evaluation=evaluation):
                    verdict = evaluation.verdict
                    words = f"{verdicts.regime(verdict)} {verdict.polarisation:.2f}"
                    bars.update(line, verdict=words)
                case _:
                    assert_never(event)
