"""Shows runs live, with a line for each, until the last run has ended."""

from collections.abc import Iterable, Sequence
from typing import assert_never

from service.api.experiments.schemas import ExperimentView, RunOfExperiment
from service.api.run_events import Evaluated, Progressed, QueueMoved, RunEvent, StateChanged
from service.api.runs.schemas import RunView
from service.cli import verdicts
from service.cli.bars import Bars, time_left
from service.storage.states import RunState


def runs_of(watched: ExperimentView | RunView) -> Sequence[RunOfExperiment | RunView]:
    """The runs of an experiment, or the run itself."""
    return watched.runs if isinstance(watched, ExperimentView) else [watched]


def show(events: Iterable[RunEvent], runs: Sequence[RunOfExperiment | RunView]) -> None:
    """Show the events of these runs, each run by its seed."""
    bars = Bars()
    lines = {run.id: bars.add(f"seed {run.seed}") for run in runs}
    begun = set()
    for run in runs:
        if run.progress:
            begun.add(run.id)
            bars.update(lines[run.id], completed=run.progress.step, total=run.progress.steps)
    with bars:
        for event in events:
            line = lines[event.run_id]
            match event:
                case StateChanged(state=state, reason=reason):
                    status = words_of(state, has_begun=event.run_id in begun)
                    status = f"{status} ({reason})" if reason else status
                    bars.tell(line, status=status, is_moving=state is RunState.RUNNING)
                case QueueMoved(position=position):
                    if position:
                        bars.tell(line, status=f"queued, {position} before it")
                    else:
                        bars.tell(line, status=words_of(RunState.QUEUED))
                case Progressed(progress=progress):
                    begun.add(event.run_id)
                    bars.update(
                        line,
                        completed=progress.step,
                        total=progress.steps,
                        status=time_left(progress),
                    )
                case Evaluated(evaluation=evaluation):
                    verdict = evaluation.verdict
                    words = f"{verdicts.regime(verdict)} {verdict.polarisation:.2f}"
                    if event.run_id not in begun:  # evaluations come sooner than progress
                        begun.add(event.run_id)
                        bars.update(line, status=str(RunState.RUNNING))
                    bars.tell(line, verdict=words)
                case _:
                    assert_never(event)


def words_of(state: RunState, *, has_begun: bool = False) -> str:
    """The state, in words that say what a run that has not begun to train waits for."""
    if state is RunState.QUEUED:
        return "waits for an agent"
    return "is starting" if state is RunState.RUNNING and not has_begun else str(state)
