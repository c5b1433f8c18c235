"""Shows studies live, with a line for each and for each of its trials in flight."""

import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING
from uuid import UUID

from rich.progress import TaskID

from polar.records.events import Progress
from service.api.experiments.schemas import ExperimentView
from service.api.studies.schemas import StudyView, TrialView
from service.cli import study_tables, verdicts
from service.cli.bars import Bars, time_left
from service.cli.output import say
from service.cli.watching import words_of
from service.client.errors import ClientError
from service.storage.states import RunState, TrialState

if TYPE_CHECKING:
    from service.client import Client

#: Seconds between two looks at the trials in flight.
POLL_S = 1.0


def until_they_end(client: "Client", studies: Sequence[StudyView], *news: str) -> list[StudyView]:
    """Print the news, then show on a line for each study how far it has come."""
    say(*news)
    bars = Bars()
    lines = [bars.add(study_tables.name_of_bar(study)) for study in studies]
    with bars, TrialsInFlight(client, bars) as trials:
        for now in client.watch_studies(*(study.id for study in studies)):
            studies = now
            trials.changed(studies)
            for line, study in zip(lines, studies, strict=True):
                bars.tell(
                    line,
                    completed=study.steps_spent if study.is_by_steps else study.completed,
                    total=study.steps_wanted if study.is_by_steps else study.trials_wanted,
                    status=study_tables.status(study),
                    is_moving=study.finished_at is None,
                )
    return list(studies)


class TrialsInFlight:
    """Keeps a bar for each trial in flight up to date, in a thread, because nobody tells of them.

    What cannot be fetched stays as it is until the next look.
    """

    def __init__(self, client: "Client", bars: Bars) -> None:
        self._client = client
        self._bars = bars
        self._studies: Sequence[StudyView] = ()
        #: The trials in flight by their studies, as they were when the study last changed.
        self._trials: Mapping[UUID, Sequence[TrialView]] = {}
        self._lines: dict[tuple[UUID, int], TaskID] = {}
        self._has_ended = threading.Event()
        self._thread = threading.Thread(target=self._look_again_and_again, daemon=True)

    def __enter__(self) -> "TrialsInFlight":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop looking; a look that nobody answers is not waited for."""
        self._has_ended.set()
        self._thread.join(2 * POLL_S)

    def changed(self, studies: Sequence[StudyView]) -> None:
        """Say how the studies are now, of which trials may have begun or ended."""
        self._studies = studies

    def _look_again_and_again(self) -> None:
        seen: Sequence[StudyView] = ()
        while not self._has_ended.wait(POLL_S):
            with suppress(ClientError):
                studies = self._studies
                if studies is not seen:
                    self._trials = {study.id: self._in_flight(study) for study in studies}
                    seen = studies
                self._show()
        for line in self._lines.values():  # what stays is about the studies
            self._bars.remove_task(line)

    def _in_flight(self, study: StudyView) -> list[TrialView]:
        if not study.trials.get(TrialState.RUNNING):
            return []
        trials = self._client.trials(study.id)
        return [trial for trial in trials if trial.state is TrialState.RUNNING]

    def _show(self) -> None:
        present = {(id, trial.number) for id, trials in self._trials.items() for trial in trials}
        for gone in self._lines.keys() - present:
            self._bars.remove_task(self._lines.pop(gone))
        for id, trials in self._trials.items():
            for trial in trials:
                experiment = self._client.experiment(trial.experiment_id)
                key = (id, trial.number)
                is_new = key not in self._lines
                if is_new:
                    self._lines[key] = self._bars.add(name_of(trial))
                completed, total = steps_of(experiment)
                self._bars.update(
                    self._lines[key],
                    completed=completed,
                    total=total,
                    status=status_of(experiment),
                    verdict=verdict_of(experiment),
                    is_moving=experiment.state is RunState.RUNNING,
                )
                if is_new:
                    self._bars.tell(self._lines[key])


def name_of(trial: TrialView) -> str:
    return f"trial {trial.number} {study_tables.point_of(trial)}"


def steps_of(experiment: ExperimentView) -> tuple[int, int | None]:
    """Steps that the runs of a trial have made, and how many they make, where all know it."""
    known = [_known(run.progress, run.state) for run in experiment.runs]
    totals = [progress.steps for progress in known if progress]
    is_known = len(totals) == len(known)
    return sum(progress.step for progress in known if progress), sum(totals) if is_known else None


def _known(progress: Progress | None, state: RunState) -> Progress | None:
    if progress is not None and state is RunState.SUCCEEDED:
        return progress.model_copy(update={"step": progress.steps})
    return progress


def status_of(experiment: ExperimentView) -> str:
    """The time that the slowest run of a trial still takes, or what the trial waits for."""
    running = [
        run.progress for run in experiment.runs if run.state is RunState.RUNNING and run.progress
    ]
    if not running:
        has_begun = any(run.progress for run in experiment.runs)
        return words_of(experiment.state, has_begun=has_begun)
    return time_left(max(running, key=lambda progress: progress.eta_s))


def verdict_of(experiment: ExperimentView) -> str:
    """The newest verdict of each run of a trial, each different verdict once."""
    words = (
        f"{verdicts.regime(run.verdict)}, P {run.verdict.polarisation:.2f}"
        for run in experiment.runs
        if run.verdict
    )
    return "; ".join(dict.fromkeys(words))
