"""How long requests take, by route."""

import time

from prometheus_client import CollectorRegistry, Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send

#: From the fastest answers to the longest that anybody waits for, in seconds.
BUCKETS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 60)


class TimedRequests:
    """Times each request up to the beginning of its answer."""

    def __init__(self, app: ASGIApp, registry: CollectorRegistry) -> None:
        self.app = app
        self._seconds = Histogram(
            "polar_request_seconds",
            "Seconds from a request to the beginning of its answer.",
            ["method", "route", "status"],
            buckets=BUCKETS,
            registry=registry,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began, is_answered = time.perf_counter(), False

        def observe(status: int) -> None:
            # a path without a route could have any name, and each would be kept for ever
            route = getattr(scope.get("route"), "path", "none")
            labels = self._seconds.labels(_method(scope), route, status)
            labels.observe(time.perf_counter() - began)

        async def timed(message: Message) -> None:
            nonlocal is_answered
            if message["type"] == "http.response.start":
                is_answered = True
                observe(message["status"])
            await send(message)

        try:
            await self.app(scope, receive, timed)
        except Exception:
            if not is_answered:
                observe(500)  # its answer is made outside of this
            raise


def _method(scope: Scope) -> str:
    known = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
    return scope["method"] if scope["method"] in known else "other"
