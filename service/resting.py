"""`python -m service.resting APP FD`: serves an application until nobody has asked for long.

Whoever started it keeps the socket, and starts it again as soon as a client connects: until then
the connection waits.
"""

import asyncio
import sys
import time

import uvicorn
from starlette.types import ASGIApp

#: A server rests once nobody has asked it anything for so many seconds.
QUIET_S = 120.0
#: How often it looks whether somebody has.
LOOK_S = 1.0


def serve(app: ASGIApp | str, descriptor: int, *, quiet_s: float = QUIET_S) -> None:
    """Serve on a listening socket until SIGTERM, SIGINT, or the end of a quiet time.

    Args:
        app: The application, or `module:name` of it.
        descriptor: File descriptor of the socket.
        quiet_s: How long a time without any request is.
    """
    config = uvicorn.Config(
        app, fd=descriptor, log_level="warning", timeout_graceful_shutdown=5, workers=1
    )
    asyncio.run(_serve(uvicorn.Server(config), quiet_s))


async def _serve(server: uvicorn.Server, quiet_s: float) -> None:
    serving = asyncio.create_task(server.serve())
    answered, quiet_since = 0, time.monotonic()
    while not serving.done():
        await asyncio.wait([serving], timeout=min(LOOK_S, quiet_s))
        state = server.server_state
        if state.connections or state.tasks or state.total_requests > answered:
            answered, quiet_since = state.total_requests, time.monotonic()
        elif time.monotonic() > quiet_since + quiet_s:
            server.should_exit = True
    await serving
    if not server.started:
        sys.exit("error: the server could not start")


if __name__ == "__main__":
    serve(sys.argv[1], int(sys.argv[2]))
