"""The limit on the body of a request."""

from collections.abc import Mapping

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

#: Bytes, for most paths; the largest spec (1,000 seeds, 1,000 epochs) has about 30 kB.
MAX_BODY = 1024 * 1024


class BodyLimit:
    """Counts the bytes that arrive, whatever length the request declares."""

    def __init__(self, app: ASGIApp, larger: Mapping[str, int]) -> None:
        self.app = app
        #: Path -> limit in bytes, for paths that allow more than MAX_BODY.
        self.larger = larger

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        limit, read = self.larger.get(scope.get("path", ""), MAX_BODY), 0

        async def counted() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > limit:
                raise HTTPException(413, f"the body is larger than {limit} bytes")
            return message

        await self.app(scope, counted, send)
