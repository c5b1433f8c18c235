"""Connections that sleep until there is something to read.

Psycopg's own look ten times a second whether they have been interrupted, which is most of what an
idle process that listens for notifications costs. In an event loop nothing depends on it, because
signals and cancelled tasks wake the loop.
"""

from typing import Any

import psycopg

LOOK_S = 60.0


class ListeningConnection(psycopg.AsyncConnection[Any]):
    """A connection of psycopg, which sleeps for longer."""

    async def wait(
        self,
        gen: Any,  # noqa: ANN401
        interval: float = LOOK_S,
        timeout: float | None = None,  # noqa: ASYNC109
    ) -> Any:  # noqa: ANN401
        return await super().wait(gen, interval, timeout)
