"""Steps that fail the same way again and again: when is it time to give up?"""

import traceback
from collections.abc import Hashable

#: A step that has failed in the same way so often in a row is given up.
MOST_REPETITIONS = 5


class Repetition:
    """Counts how often in a row the same step has failed in the same way.

    Two failures are the same when errors of one class come from one line of code: their messages
    may tell times and addresses.
    """

    def __init__(self) -> None:
        self._last: dict[Hashable, tuple[object, int]] = {}

    def count(self, step: Hashable, error: Exception) -> int:
        """How many times in a row the step has failed in this way, this time included."""
        raised_at = traceback.extract_tb(error.__traceback__)[-1]
        way = (type(error), raised_at.filename, raised_at.lineno)
        before, times = self._last.get(step, (way, 0))
        times = times + 1 if before == way else 1
        self._last[step] = way, times
        return times

    def forget(self, step: Hashable) -> None:
        """The step has succeeded."""
        self._last.pop(step, None)
