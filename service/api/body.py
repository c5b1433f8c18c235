"""How much of a request the service reads."""

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

#: Bytes; the largest spec (1,000 seeds, 1,000 epochs) has about 30 kB.
MAX_BODY = 1024 * 1024


class BodyLimit:
    """Counts what arrives, whatever the request says of its length."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        read = 0

        async def counted() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > MAX_BODY:
                raise HTTPException(413, f"the body is larger than {MAX_BODY} bytes")
            return message

        await self.app(scope, counted, send)
