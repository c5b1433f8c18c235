"""What trials have reported so far, and which trainings to stop because of it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from polar.records.events import Evaluation
from polar.records.trials import Measures
from polar.spec import StudySpec
from service.storage.states import TrialState
from service.storage.studies import COLLAPSED
from service.storage.study_tables import Trial
from service.storage.tables import EvaluationRow, Run
from service.studies.comparing import Comparison
from service.studies.judging import NotMeasured, has_collapsed, measures, value_of


@dataclass(frozen=True)
class _Evaluated:
    """The part of an evaluation that is kept."""

    measured: Measures
    has_collapsed: bool
    at: datetime


@dataclass(frozen=True)
class Report:
    """The objectives of one trial at one step, aggregated over its seeds."""

    #: The number of the trial.
    number: int
    step: int
    values: list[float]
    #: When the last of the seeds was evaluated at this step.
    at: datetime


@dataclass(frozen=True)
class Stop:
    """A decision to stop trainings of a trial."""

    trial: Trial
    #: The runs of the trial that are to be stopped.
    run_ids: frozenset[UUID]
    reason: str
    message: str


class Following:
    """The reports of one study that this broker has read.

    They are kept in memory to save time; the truth is in the database.
    """

    def __init__(self, spec: StudySpec) -> None:
        self._spec = spec
        #: The evaluations of each run, by step.
        self._evaluated: dict[UUID, dict[int, _Evaluated]] = {}
        #: Number of the trial and step of every report so far.
        self._reported: set[tuple[int, int]] = set()
        self._comparison = Comparison(spec) if spec.pruner.compares else None

    def unread(self, keys: Sequence[tuple[UUID, int]]) -> list[tuple[UUID, int]]:
        """The run and step of each evaluation among these that was not added yet."""
        return [(run, step) for run, step in keys if step not in self._evaluated.get(run, {})]

    def add(self, rows: Sequence[EvaluationRow], runs: Mapping[UUID, Run]) -> None:
        for row in rows:
            evaluation = Evaluation.model_validate(row.evaluation)
            is_over = has_collapsed(self._spec, runs[row.run_id], evaluation)
            kept = _Evaluated(measures(evaluation), is_over, row.at)
            self._evaluated.setdefault(row.run_id, {})[row.step] = kept

    def reports(self, trials: Mapping[Trial, Sequence[Run]]) -> list[Report]:
        """New reports, one for each step at which all seeds of a trial were evaluated, by time.

        Evaluations of runs that are not among these are dropped from memory.
        """
        run_ids = {run.id for runs in trials.values() for run in runs}
        self._evaluated = {
            run_id: evaluated for run_id, evaluated in self._evaluated.items() if run_id in run_ids
        }
        new = [
            report
            for trial, runs in trials.items()
            for report in self._reports_of(trial.number, runs)
        ]
        self._reported |= {(report.number, report.step) for report in new}
        return sorted(new, key=lambda report: (report.at, report.number, report.step))

    def stops(
        self, trials: Mapping[Trial, Sequence[Run]], reports: Sequence[Report]
    ) -> Iterator[Stop]:
        """The trainings to stop: those that have collapsed, and those of trials that are worse.

        Args:
            trials: The runs of each trial.
            reports: The new reports of these trials.
        """
        if self._spec.pruner.name == "none":
            return
        for trial, runs in trials.items():
            yield from self._collapsed(trial, runs)
        if self._comparison is not None:
            yield from self._worse(self._comparison, trials, reports)

    def end(self, trial: Trial) -> None:
        """Compare later reports with the values that this trial, which has ended, came to."""
        if self._comparison is not None:
            self._comparison.end(trial.number, trial.values)

    def _reports_of(self, number: int, runs: Sequence[Run]) -> Iterator[Report]:
        by_seed = [self._evaluated.get(run.id, {}) for run in runs]
        for step in set.intersection(*(set(evaluated) for evaluated in by_seed)):
            if (number, step) in self._reported:
                continue
            at_step = [evaluated[step] for evaluated in by_seed]
            measured = [evaluated.measured for evaluated in at_step]
            places = range(len(self._spec.objectives))
            try:
                values = [value_of(self._spec, place, measured) for place in places]
            except NotMeasured:
                return  # the trial will fail for this reason when its runs have ended
            yield Report(number, step, values, max(evaluated.at for evaluated in at_step))

    def _collapsed(self, trial: Trial, runs: Sequence[Run]) -> Iterator[Stop]:
        for run in runs:
            evaluated = self._evaluated.get(run.id)
            if run.state.is_final or run.cancel_requested or not evaluated:
                continue
            collapses = [step for step, at_step in evaluated.items() if at_step.has_collapsed]
            if collapses:
                share = self._spec.pruner.warm_up
                message = (
                    f"the run had collapsed at step {min(collapses):,}, after the warm-up of "
                    f"{share:.0%} of its steps"
                )
                yield Stop(trial, frozenset({run.id}), COLLAPSED, message)

    def _worse(
        self,
        comparison: Comparison,
        trials: Mapping[Trial, Sequence[Run]],
        reports: Sequence[Report],
    ) -> Iterator[Stop]:
        by_number = {trial.number: trial for trial in trials}
        ended = sorted(
            (trial.finished_at, trial.number) for trial in trials if trial.finished_at is not None
        )
        for report in reports:
            while ended and ended[0][0] < report.at:
                self.end(by_number[ended.pop(0)[1]])
            is_worse = comparison.report(report.number, report.step, report.values)
            trial = by_number[report.number]
            if is_worse and trial.state is TrialState.RUNNING:
                run_ids = frozenset(run.id for run in trials[trial])
                message = f"it was worse than other trials at step {report.step:,}"
                yield Stop(trial, run_ids, self._spec.pruner.name, message)
        for _, number in ended:
            self.end(by_number[number])
