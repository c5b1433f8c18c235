"""Whether a trial in flight is worse than the others, as Optuna's pruners see it."""

from collections.abc import Sequence

import optuna
from optuna.pruners import BasePruner, HyperbandPruner, MedianPruner, SuccessiveHalvingPruner
from optuna.trial import Trial, TrialState

from polar.spec import StudySpec

#: Of those that have come as far, one of so many goes on at each rung.
REDUCTION = 2
#: The median is that of at least so many completed trials.
FEWEST_COMPLETED = 4


class Comparison:
    """The reports of one study's trials, in the order in which they came.

    Optuna prunes by one objective only, and its pruners remember what they decided in the study
    itself. So each objective has a study of its own, in memory: another broker hears all reports
    again.
    """

    def __init__(self, spec: StudySpec) -> None:
        self._studies = [
            # Hyperband goes by the name: without one, it would be another each time.
            optuna.create_study(
                study_name="comparison", direction=objective.direction, pruner=_pruner(spec)
            )
            for objective in spec.objectives
        ]
        self._trials: dict[int, list[Trial]] = {}

    def report(self, number: int, step: int, values: Sequence[float]) -> bool:
        """Hear the objectives of a trial at a step; whether all of them say to stop it."""
        if number not in self._trials:
            self._trials[number] = [study.ask() for study in self._studies]
        verdicts = []
        for trial, value in zip(self._trials[number], values, strict=True):
            trial.report(value, step)
            verdicts.append(trial.should_prune())
        return all(verdicts)

    def end(self, number: int, values: Sequence[float] | None) -> None:
        """Hear how a trial ended; without values it was stopped, or failed."""
        for place, trial in enumerate(self._trials.get(number, ())):
            if values is None:
                self._studies[place].tell(trial, state=TrialState.PRUNED, skip_if_finished=True)
            else:
                self._studies[place].tell(trial, values[place], skip_if_finished=True)


def _pruner(spec: StudySpec) -> BasePruner:
    steps = spec.base.training.steps
    first = max(round(spec.pruner.warm_up * steps), 1)
    match spec.pruner.name:
        case "median":
            return MedianPruner(n_startup_trials=FEWEST_COMPLETED, n_warmup_steps=first)
        case "successive_halving":
            return SuccessiveHalvingPruner(min_resource=first, reduction_factor=REDUCTION)
        case _:
            return HyperbandPruner(
                min_resource=first, max_resource=steps, reduction_factor=REDUCTION
            )
