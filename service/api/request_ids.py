"""Every request has an id, which its answer and the log name."""

import re
from uuid import uuid4

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.logs import request_id

HEADER = "X-Request-ID"
#: Ids of clients that can be logged as they are; others are replaced.
SAFE = re.compile(r"[A-Za-z0-9._-]{1,64}")


class RequestIds:
    """Takes the id that the client gave, or makes one, and says it in the answer."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        given = Headers(scope=scope).get(HEADER, "")
        # each request has a task of its own, with a context of its own
        request_id.set(given if SAFE.fullmatch(given) else uuid4().hex)

        async def named(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)[HEADER] = request_id.get() or ""
            await send(message)

        await self.app(scope, receive, named)
