"""`python -m service.resting APP FD`: serves an application until nobody has asked for long.

Whoever started it keeps the socket, and starts it again as soon as a client connects: until then
the connection waits.
"""

import asyncio
import sys
import time

import uvicorn
from starlette.types import ASGIApp

from service.serving import Protocol, Server

#: The server ends after so many seconds without any request.
QUIET_S = 120.0
#: How often it looks whether there has been one.
LOOK_S = 1.0
#: How long clients that connected in the last moment and ask nothing keep the next from its start.
FAREWELL_S = 5.0


def serve(app: ASGIApp | str, descriptor: int, *, quiet_s: float = QUIET_S) -> None:
    """Serve on a listening socket until SIGTERM, SIGINT, or the end of a quiet time.

    Args:
        app: The application, or `module:name` of it.
        descriptor: File descriptor of the socket.
        quiet_s: How long a time without any request is.
    """
    config = uvicorn.Config(
        app,
        http=Protocol,
        fd=descriptor,
        log_level="warning",
        timeout_graceful_shutdown=5,
        workers=1,
    )
    asyncio.run(_serve(Server(config), quiet_s))


async def _serve(server: uvicorn.Server, quiet_s: float) -> None:
    serving = asyncio.create_task(server.serve())
    answered, quiet_since = 0, time.monotonic()
    while not serving.done():
        await asyncio.wait([serving], timeout=min(LOOK_S, quiet_s))
        state = server.server_state
        is_asked = state.connections or state.tasks or state.total_requests > answered
        if is_asked or not server.started:
            answered, quiet_since = state.total_requests, time.monotonic()
        elif time.monotonic() > quiet_since + quiet_s:
            await _rest(server)
            break
    await serving
    if not server.started:
        sys.exit("error: the server could not start")


async def _rest(server: uvicorn.Server) -> None:
    """End a server that nobody asks, after the answers to those who ask at this very moment.

    Uvicorn would close connections whose request has not come yet.
    """
    for listening in server.servers:
        listening.close()  # whoever connects from now on waits for the next server
    state, leave_at = server.server_state, time.monotonic() + FAREWELL_S
    while True:
        await asyncio.sleep(0.1)  # a connection that was just accepted is not counted at once
        if not (state.tasks or (state.connections and time.monotonic() < leave_at)):
            break
    server.should_exit = True


if __name__ == "__main__":
    serve(sys.argv[1], int(sys.argv[2]))
