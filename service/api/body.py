"""How much of a request the service reads."""

from collections.abc import Mapping

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

#: Bytes, where nothing else is said; the largest spec (1,000 seeds, 1,000 epochs) has about 30 kB.
MAX_BODY = 1024 * 1024


class BodyLimit:
    """Counts what arrives, whatever the request says of its length."""

    def __init__(self, app: ASGIApp, larger: Mapping[str, int]) -> None:
        self.app = app
        #: Path -> bytes, where more than MAX_BODY is expected.
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
