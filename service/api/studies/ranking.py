"""The best trials of a study."""

from collections.abc import Iterator, Sequence

from polar.records.trials import Measured
from polar.spec import StudySpec
from service.storage.states import TrialState
from service.storage.study_tables import Trial


def best(spec: StudySpec, trials: Sequence[Trial]) -> Trial | None:
    """The best trial by the only objective; None with several objectives, or without any trial."""
    if len(spec.objectives) > 1:
        return None
    return min(_eligible(spec, trials), key=lambda trial: _losses(spec, trial), default=None)


def front(spec: StudySpec, trials: Sequence[Trial]) -> list[Trial]:
    """The trials that no other dominates, by being as good in all objectives and better in one."""
    losses_of_front: list[tuple[float, ...]] = []
    trials_of_front = []
    # A trial comes after all trials that dominate it, and at least one of those is in the front.
    for trial in sorted(_eligible(spec, trials), key=lambda trial: _losses(spec, trial)):
        losses = _losses(spec, trial)
        if not any(_dominates(others, losses) for others in losses_of_front):
            losses_of_front.append(losses)
            trials_of_front.append(trial)
    return sorted(trials_of_front, key=lambda trial: trial.number)


def _dominates(losses: tuple[float, ...], others: tuple[float, ...]) -> bool:
    return losses != others and all(a <= b for a, b in zip(losses, others, strict=True))


def _eligible(spec: StudySpec, trials: Sequence[Trial]) -> Iterator[Trial]:
    """The completed trials that keep all constraints."""
    for trial in trials:
        if trial.state is TrialState.COMPLETED and _keeps_constraints(spec, trial):
            yield trial


def _keeps_constraints(spec: StudySpec, trial: Trial) -> bool:
    """Whether a trial keeps all constraints; it keeps none if its measures cannot be read."""
    if not isinstance(trial.measured, Measured):
        return not spec.constraints
    means = [(bound, trial.measured.value(bound.measure)) for bound in spec.constraints]
    return all(mean is not None and bound.is_kept(mean) for bound, mean in means)


def _losses(spec: StudySpec, trial: Trial) -> tuple[float, ...]:
    """The values of the trial, with such signs that less is better."""
    return tuple(
        value if objective.direction == "minimize" else -value
        for objective, value in zip(spec.objectives, trial.values or (), strict=True)
    )
