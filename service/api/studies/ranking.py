"""Which trials of a study are its best."""

from collections.abc import Iterator, Sequence

from polar.records.trials import Measured
from polar.spec import StudySpec
from service.storage.states import TrialState
from service.storage.study_tables import Trial


def best(spec: StudySpec, trials: Sequence[Trial]) -> Trial | None:
    """The best trial by the only objective; None with several of them, or without any trial."""
    if len(spec.objectives) > 1:
        return None
    return min(_eligible(spec, trials), key=lambda trial: _losses(spec, trial), default=None)


def front(spec: StudySpec, trials: Sequence[Trial]) -> list[Trial]:
    """The trials that no other one dominates: is as good as in all objectives, better in one."""
    found: list[tuple[float, ...]] = []
    of_front = []
    # What dominates a trial comes before it in this order, and so does one of the front that does.
    for trial in sorted(_eligible(spec, trials), key=lambda trial: _losses(spec, trial)):
        losses = _losses(spec, trial)
        if not any(_dominates(other, losses) for other in found):
            found.append(losses)
            of_front.append(trial)
    return sorted(of_front, key=lambda trial: trial.number)


def _dominates(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    return one != other and all(a <= b for a, b in zip(one, other, strict=True))


def _eligible(spec: StudySpec, trials: Sequence[Trial]) -> Iterator[Trial]:
    """The completed trials that keep all constraints."""
    for trial in trials:
        if trial.state is TrialState.COMPLETED and _keeps_constraints(spec, trial):
            yield trial


def _keeps_constraints(spec: StudySpec, trial: Trial) -> bool:
    """Also false where this version cannot read what was measured."""
    if not isinstance(trial.measured, Measured):
        return not spec.constraints
    means = [(bound, trial.measured.value(bound.measure)) for bound in spec.constraints]
    return all(mean is not None and bound.is_kept(mean) for bound, mean in means)


def _losses(spec: StudySpec, trial: Trial) -> tuple[float, ...]:
    """Its values, each such that less is better."""
    return tuple(
        value if objective.direction == "minimize" else -value
        for objective, value in zip(spec.objectives, trial.values or (), strict=True)
    )
