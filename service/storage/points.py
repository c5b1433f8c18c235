"""What the trials of a study have finished, as far as its budget counts it."""

from collections.abc import Collection, Hashable, Iterable, Mapping
from contextlib import suppress

from pydantic import TypeAdapter, ValidationError

from polar.spec.axis import Value
from polar.spec.points import SEED, STEPS, Point
from service.storage.states import TrialState
from service.storage.study_tables import Trial

#: States of trials that count towards the number of trials wanted.
COUNTED_STATES = (TrialState.COMPLETED, TrialState.PRUNED)

_POINT: TypeAdapter[dict[str, Value]] = TypeAdapter(dict[str, Value])


def readable(stored: object) -> dict[str, Value] | None:
    """The point of a trial; None where it cannot be read, because somebody broke it by hand."""
    try:
        return _POINT.validate_python(stored)
    except ValidationError:
        return None


def count_completed(trials: Iterable[Trial]) -> int:
    """How many points these trials have finished, which counts towards the trials wanted.

    Pruned trials count, because they have shown what their points are worth. A point counts once,
    even if it was tried again with more seeds or after a failure.
    """
    return len({_identity(trial.point) for trial in trials if trial.state in COUNTED_STATES})


def count_steps(trials: Iterable[Trial]) -> int:
    """The training steps of these trials, those of failed and cancelled trials excluded.

    Trials in flight count with all their steps, and so do trainings that were stopped early or
    that other experiments share. A training that went on counts once, up to its last step.
    """
    return sum(steps_of_trainings(trials))


def steps_of_trainings(trials: Iterable[Trial]) -> Collection[int]:
    """The steps of each training of these trials, as `count_steps` counts them."""
    longest: dict[Hashable, int] = {}
    for trial in trials:
        if trial.state in (TrialState.FAILED, TrialState.CANCELLED):
            continue
        for seed in trial.seeds:
            training = (_identity(_without_steps(trial.point)), seed)
            longest[training] = max(longest.get(training, 0), trial.steps)
    return longest.values()


def _without_steps(point: Point) -> object:
    """The part of a point that trainings share which go on from each other.

    In a range study that is all but seed and steps, elsewhere the whole point: a study that sweeps
    the steps trains each number of them anew, as far as its budget knows.
    """
    if not isinstance(point, Mapping) or SEED not in point:
        return point
    return {name: value for name, value in point.items() if name not in (SEED, STEPS)}


def _identity(point: object) -> Hashable:
    """What equal points have in common; a point that was broken by hand counts by its text."""
    if isinstance(point, Mapping):
        with suppress(TypeError):  # a value is a list or an object
            return frozenset(point.items())
    return repr(point)
