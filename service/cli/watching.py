"""Runs shown live, a line each, until the last of them has ended."""

from collections.abc import Iterable, Mapping, Sequence
from typing import assert_never
from uuid import UUID

from service.api.experiments.schemas import ExperimentView, RunOfExperiment
from service.api.run_events import Evaluated, Progressed, QueueMoved, RunEvent, StateChanged
from service.api.runs.schemas import RunView
from service.cli.bars import Bars, time_left
from service.storage.states import RunState


def runs_of(found: ExperimentView | RunView) -> Sequence[RunOfExperiment | RunView]:
    """What there is to watch."""
    return found.runs if isinstance(found, ExperimentView) else [found]


def show(events: Iterable[RunEvent], names: Mapping[UUID, str]) -> None:
    """Show what happens to the runs of these names."""
    with Bars() as bars:
        lines = {run_id: bars.add(name) for run_id, name in names.items()}
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
                    bars.update(line, verdict=f"{verdict.regime} {verdict.polarisation:.2f}")
                case _:
                    assert_never(event)
