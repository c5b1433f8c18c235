"""The points that the trials of a study have finished."""

from collections.abc import Hashable, Iterable, Mapping
from contextlib import suppress

from service.storage.states import TrialState
from service.storage.study_tables import Trial

#: States of trials that count towards the number of trials wanted.
COUNTED_STATES = (TrialState.COMPLETED, TrialState.PRUNED)


def count_completed(trials: Iterable[Trial]) -> int:
    """How many points these trials have finished, which counts towards the trials wanted.

    Pruned trials count, because they have shown what their points are worth. A point counts once,
    even if it was tried again with more seeds or after a failure.
    """
    return len({_identity(trial.point) for trial in trials if trial.state in COUNTED_STATES})


def _identity(point: object) -> Hashable:
    """What equal points have in common; a point that was broken by hand counts by its text."""
    if isinstance(point, Mapping):
        with suppress(TypeError):  # a value is a list or an object
            return frozenset(point.items())
    return repr(point)
