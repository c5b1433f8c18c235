"""How long a child may say nothing before it counts as hung."""

import asyncio
from collections.abc import Callable

#: Seconds beyond the longest silence that are too long whatever the settings say.
MOST_MORE_S = 7200.0


class Silence:
    """Calls back when nothing has come for too long since the last report, or the beginning.

    The wait for the first report says nothing about those between later ones, because data are
    loaded and code is compiled meanwhile.
    """

    def __init__(self, least_s: float, times: float, call_back: Callable[[], None]) -> None:
        """Begin to wait for the first report.

        Args:
            least_s: Seconds that are never too long.
            times: How many times longer than the longest silence between two reports is too long.
            call_back: What is called then, once.
        """
        self._loop = asyncio.get_running_loop()
        self._least_s, self._times, self._call_back = least_s, times, call_back
        self._longest_s = 0.0
        self._has_reported = False
        self._wait()

    def end(self) -> None:
        """Note a report; the next silence begins."""
        if self._has_reported:
            self._longest_s = max(self._longest_s, self._loop.time() - self._since)
        self._has_reported = True
        self._timer.cancel()
        self._wait()

    def forget(self) -> None:
        """Wait no more."""
        self._timer.cancel()

    def _wait(self) -> None:
        self._since = self._loop.time()
        longest_s = self._longest_s
        limit_s = max(self._least_s, min(self._times * longest_s, longest_s + MOST_MORE_S))
        self._timer = self._loop.call_at(self._since + limit_s, self._call_back)
