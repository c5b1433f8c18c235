"""Whether a trial in flight is worse than others, by the rules of Optuna's pruners."""

from collections.abc import Sequence
from typing import assert_never

import optuna
from optuna.pruners import BasePruner, HyperbandPruner, MedianPruner, SuccessiveHalvingPruner
from optuna.trial import Trial, TrialState

from polar.spec import StudySpec

#: At each rung, one in this many of the trials that have come that far goes on.
REDUCTION = 2
#: Number of completed trials from which on there is a median to compare with.
FEWEST_COMPLETED = 4


class Comparison:
    """Compares the trials of one study by their reports, in the order in which they were made.

    Optuna prunes by one objective only, and its pruners keep their decisions in the Optuna study.
    Each objective therefore has an Optuna study of its own. These studies live in memory, so a
    restarted broker reports everything again.
    """

    def __init__(self, spec: StudySpec) -> None:
        self._studies = [
            # Hyperband decides by a hash of the study's name, which must not change with restarts.
            optuna.create_study(
                study_name="comparison", direction=objective.direction, pruner=_pruner(spec)
            )
            for objective in spec.objectives
        ]
        self._trials: dict[int, list[Trial]] = {}

    def report(self, number: int, step: int, values: Sequence[float]) -> bool:
        """Add the objectives of a trial at a step; return whether all of them say to stop it."""
        if number not in self._trials:
            self._trials[number] = [study.ask() for study in self._studies]
        verdicts = []
        for trial, value in zip(self._trials[number], values, strict=True):
            trial.report(value, step)
            verdicts.append(trial.should_prune())
        return all(verdicts)

    def end(self, number: int, values: Sequence[float] | None) -> None:
        """Add the objectives with which a trial ended; None if it was stopped or failed."""
        for place, trial in enumerate(self._trials.get(number, ())):
            if values is None:
                self._studies[place].tell(trial, state=TrialState.PRUNED, skip_if_finished=True)
            else:
                self._studies[place].tell(trial, values[place], skip_if_finished=True)


def _pruner(spec: StudySpec) -> BasePruner:
    steps = spec.experiment({}).training.steps
    first = max(round(spec.pruner.warm_up * steps), 1)
    match spec.pruner.name:
        case "median":
            return MedianPruner(n_startup_trials=FEWEST_COMPLETED, n_warmup_steps=first)
        case "successive_halving":
            return SuccessiveHalvingPruner(min_resource=first, reduction_factor=REDUCTION)
        case "hyperband":
            return HyperbandPruner(
                min_resource=first, max_resource=steps, reduction_factor=REDUCTION
            )
        case "none" | "collapse":
            raise AssertionError(f"the pruner {spec.pruner.name} compares no trials")
        case _:
            assert_never(spec.pruner.name)
