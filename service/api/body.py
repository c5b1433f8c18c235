"""The limit on the body of a request."""

from collections.abc import Mapping

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

#: Bytes, for most paths; the largest spec (1,000 seeds, 1,000 epochs) has about 30 kB.
MAX_BODY = 1024 * 1024


class BodyLimit:
    """Refuses what is declared to be too long, and counts the bytes that arrive all the same."""

    def __init__(self, app: ASGIApp, larger: Mapping[str, int]) -> None:
        self.app = app
        #: Path -> limit in bytes, for paths that allow more than MAX_BODY.
        self.larger = larger

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        limit, read = self.larger.get(scope.get("path", ""), MAX_BODY), 0
        declared = _declared(scope)

        async def counted() -> Message:
            nonlocal read
            if declared > limit:  # before anything of it is kept anywhere
                raise HTTPException(413, f"the body is larger than {limit} bytes")
            message = await receive()
            read += len(message.get("body", b""))
            if read > limit:
                raise HTTPException(413, f"the body is larger than {limit} bytes")
            return message

        await self.app(scope, counted, send)


def _declared(scope: Scope) -> int:
    """The length that the request says that its body has; 0 where it says none."""
    if scope["type"] != "http":
        return 0
    length = Headers(scope=scope).get("content-length", "")
    return int(length) if length.isdecimal() and len(length) < 20 else 0
