"""Pauses between two looks at what is waited for, for a limited time."""

import asyncio
import time
from math import inf

from service.client.errors import ClientError

POLL_S = 0.5


class Clock:
    """Pauses until the time is over.

    Raises (both methods):
        TimeoutError: the time is over; its message begins with what goes on.
    """

    def __init__(self, timeout_s: float | None) -> None:
        """Begin now; None is any time.

        Raises:
            ClientError: the time is not a number.
        """
        if timeout_s is not None and not (isinstance(timeout_s, int | float) and timeout_s >= 0):
            raise ClientError(f"the timeout is {timeout_s!r}; allowed: seconds from 0, or None")
        self._timeout_s = timeout_s
        self._end = inf if timeout_s is None else time.monotonic() + timeout_s

    def pause(self, what_goes_on: str) -> None:
        time.sleep(self._pause_s(what_goes_on))

    async def pause_async(self, what_goes_on: str) -> None:
        await asyncio.sleep(self._pause_s(what_goes_on))

    def _pause_s(self, what_goes_on: str) -> float:
        left = self._end - time.monotonic()
        if left <= 0:
            raise TimeoutError(f"{what_goes_on} after {self._timeout_s:g} s")
        return min(POLL_S, left)
