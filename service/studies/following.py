"""What the trials in flight have reported so far, and which trainings to stop for it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from polar.records.events import Evaluation
from polar.records.latents import Regime
from polar.records.trials import Measures
from polar.spec import StudySpec
from service.storage.states import TrialState
from service.storage.study_tables import Trial
from service.storage.tables import EvaluationRow, Run
from service.studies.comparing import Comparison
from service.studies.judging import COLLAPSED, NotMeasured, measures, value_of


@dataclass(frozen=True)
class _Said:
    """What is kept of one evaluation."""

    measured: Measures
    regime: Regime
    at: datetime


@dataclass(frozen=True)
class Report:
    """The objectives of one trial at one step, over its seeds."""

    number: int
    step: int
    values: list[float]
    at: datetime


@dataclass(frozen=True)
class Stop:
    """A trial of which trainings are to be stopped."""

    trial: Trial
    #: Those of its runs.
    run_ids: frozenset[UUID]
    reason: str
    message: str


class Following:
    """The reports of one study, as far as this broker has heard them; memory, never the truth."""

    def __init__(self, spec: StudySpec) -> None:
        self._spec = spec
        self._said: dict[UUID, dict[int, _Said]] = {}
        self._reported: set[tuple[int, int]] = set()
        self._comparison = Comparison(spec) if spec.pruner.compares else None

    def unheard(self, keys: Sequence[tuple[UUID, int]]) -> list[tuple[UUID, int]]:
        """Those evaluations, by run and step, that were not heard yet."""
        return [(run, step) for run, step in keys if step not in self._said.get(run, {})]

    def hear(self, rows: Sequence[EvaluationRow]) -> None:
        """Hear evaluations."""
        for row in rows:
            evaluation = Evaluation.model_validate(row.evaluation)
            said = _Said(measures(evaluation), evaluation.verdict.regime, row.at)
            self._said.setdefault(row.run_id, {})[row.step] = said

    def reports(self, trials: Mapping[Trial, Sequence[Run]]) -> list[Report]:
        """What is new: the steps that all seeds of a trial have come to, as they came.

        What was heard of runs that are not among these is forgotten.
        """
        run_ids = {run.id for runs in trials.values() for run in runs}
        self._said = {run_id: said for run_id, said in self._said.items() if run_id in run_ids}
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
        """Which trainings to stop, given what is new."""
        if self._spec.pruner.name == "none":
            return
        for trial, runs in trials.items():
            yield from self._collapsed(trial, runs)
        if self._comparison is not None:
            yield from self._worse(self._comparison, trials, reports)

    def end(self, trial: Trial) -> None:
        """Hear that a trial has ended."""
        if self._comparison is not None:
            self._comparison.end(trial.number, trial.values)

    def _reports_of(self, number: int, runs: Sequence[Run]) -> Iterator[Report]:
        of_seeds = [self._said.get(run.id, {}) for run in runs]
        for step in set.intersection(*(set(said) for said in of_seeds)):
            if (number, step) in self._reported:
                continue
            at_step = [said[step] for said in of_seeds]
            measured = [said.measured for said in at_step]
            places = range(len(self._spec.objectives))
            try:
                values = [value_of(self._spec, place, measured) for place in places]
            except NotMeasured:
                return  # the trial fails for it when it has ended
            yield Report(number, step, values, max(said.at for said in at_step))

    def _collapsed(self, trial: Trial, runs: Sequence[Run]) -> Iterator[Stop]:
        for run in runs:
            said = self._said.get(run.id)
            if run.state.is_final or run.cancel_requested or not said:
                continue
            step = max(said)
            warm_up = self._spec.pruner.warm_up * run.spec["training"]["steps"]
            if step >= warm_up and said[step].regime is Regime.COLLAPSED:
                message = (
                    f"no latent was active at step {step:,}, after a warm-up of {warm_up:,.0f}"
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
