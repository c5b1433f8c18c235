"""When to give up on a step that keeps failing in the same way."""

import traceback
from collections.abc import Hashable

#: Number of failures in a row, all in the same way, after which a step is given up.
MOST_REPETITIONS = 5


class Repetition:
    """Counts how often in a row the same step has failed in the same way.

    Two failures are the same when their errors have the same class and come from the same line of
    code. Messages are not compared because they may contain times and addresses.
    """

    def __init__(self) -> None:
        self._last: dict[Hashable, tuple[object, int]] = {}

    def count(self, step: Hashable, error: Exception) -> int:
        """Count a failure, and return how many times in a row the step has failed in this way."""
        raised_at = traceback.extract_tb(error.__traceback__)[-1]
        way = (type(error), raised_at.filename, raised_at.lineno)
        before, times = self._last.get(step, (way, 0))
        times = times + 1 if before == way else 1
        self._last[step] = way, times
        return times

    def forget(self, step: Hashable) -> None:
        """Start counting from 0 again, because the step has succeeded."""
        self._last.pop(step, None)
