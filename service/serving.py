"""Servers that look twice a second whether they are to end.

Uvicorn looks ten times a second, which is most of what an idle server costs.
"""

import asyncio
import contextlib
import sys

import uvicorn
from uvicorn.config import STARTUP_FAILURE

LOOK_S = 0.5


class Server(uvicorn.Server):
    """Uvicorn's server, which sleeps for longer."""

    async def main_loop(self) -> None:
        must_end = await self.on_tick(0)
        while not must_end:
            await asyncio.sleep(LOOK_S)
            must_end = await self.on_tick(0)


def serve(config: uvicorn.Config) -> None:
    """Serve until SIGTERM or SIGINT, as `uvicorn.run` does with one worker.

    Raises:
        SystemExit: the server could not start.
    """
    server = Server(config)
    with contextlib.suppress(KeyboardInterrupt):
        server.run()
    if not server.started:
        sys.exit(STARTUP_FAILURE)
