"""Our servers: they have room for those who ask, whoever else is connected, and cost little idle.

A connection costs whoever makes it nothing, nor need they show a token for it; but a server that
has opened as many files as it may answers nobody any more. So each process has room for a number
of connections, and where none is left, one leaves on which nobody waits for an answer.
"""

import asyncio
import contextlib
import json
import resource
import sys
from uuid import uuid4

import uvicorn
from starlette.types import Receive, Scope, Send
from uvicorn.config import STARTUP_FAILURE
from uvicorn.protocols.http.h11_impl import H11Protocol

#: Uvicorn looks ten times a second whether it is to end, which is most of what an idle server
#: costs.
LOOK_S = 0.5
#: Connections for which a process has room, if it may open four times as many files.
MOST_CONNECTIONS = 1000


def room() -> int:
    """The number of connections for which this process has room.

    The other files that it may open are for the database, for what is sent, and for clients that
    come at the same moment.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    files = 4 * MOST_CONNECTIONS
    if hard != resource.RLIM_INFINITY:
        files = min(files, hard)
    if soft != resource.RLIM_INFINITY and soft < files:
        resource.setrlimit(resource.RLIMIT_NOFILE, (files, hard))
    return files // 4


class Protocol(H11Protocol):
    """HTTP on a connection that leaves where there is no room and nobody waits for an answer."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._began = self.loop.time()
        if len(self.connections) <= room():
            return
        others = self.connections - {self}
        idle = [each for each in others if isinstance(each, Protocol) and each.is_idle]
        if idle:
            longest = min(idle, key=lambda each: each._began)
            longest.transport.abort()
            self.connections.discard(longest)  # which otherwise happens only in a moment
        else:
            self.app = _no_room

    @property
    def is_idle(self) -> bool:
        """Whether its client has not asked, not asked to the end, or does not read the answer."""
        return self.cycle is None or self.cycle.response_complete or self.flow.write_paused


async def _no_room(scope: Scope, _receive: Receive, send: Send) -> None:
    problem = {
        "type": "urn:polar:problem:busy",
        "title": "Service Unavailable",
        "status": 503,
        "detail": f"all {room()} connections of this server are in use, most of them by those who "
        "watch; try again, or start the service with more processes (`polar up --workers N`)",
        "instance": scope["path"],
        "request_id": uuid4().hex,
        "errors": [],
    }
    body = json.dumps(problem).encode()
    headers = {
        "content-type": "application/problem+json",
        "content-length": str(len(body)),
        "connection": "close",
        "retry-after": "5",
    }
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": 503, "headers": raw})
    await send({"type": "http.response.body", "body": body})


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
