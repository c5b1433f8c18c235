"""The door before MLflow and optuna-dashboard, which have none of their own.

It stands inside their processes, so that nobody on the machine can go round it. It knows the
owner's token and asks the API about all others.
"""

from collections.abc import Callable
from html import escape
from urllib.parse import urlsplit

import httpx
from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.types import ASGIApp, Receive, Send
from starlette.types import Scope as Connection

from service.addresses import is_loopback, reach
from service.api.door import (
    SAFE,
    THE_OWNER,
    Principal,
    cookie_name,
    is_owners,
    only_own_pages,
    shown,
    who_may,
)
from service.api.links import PREFIX
from service.api.problems import Refused, refused
from service.api.request_ids import HEADER
from service.api.schemas import Problem
from service.api.tokens.schemas import WhoAmI
from service.settings import DoorSettings
from service.tokens import Kind, Scope

#: How long the API may take to say who holds a token; its own answer that the database is away
#: comes earlier.
ASK_S = 10.0

_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>Polar: not shown</title>
<h1>This page cannot be shown</h1>
<p>{detail}</p>
<p>On the machine where Polar runs, <code>polar login</code> prints a link that lets a browser in,
here and at {api}.</p>
</html>
"""
#: Headers that a page has of the problem in whose place it is.
_KEPT = ("WWW-Authenticate", HEADER)
_PAGE_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}

#: The scope that a request needs; None if anybody may send it.
ScopeOf = Callable[[Request], Scope | None]


class Guard:
    """Lets in who shows a token whose scope suffices, as the door of the API does."""

    def __init__(self, app: ASGIApp, settings: DoorSettings, scope_of: ScopeOf) -> None:
        self._app = app
        self._settings = settings
        self._scope_of = scope_of
        # Other addresses of the API, as within containers, need not be those of browsers.
        self._api_is_here = is_loopback(urlsplit(settings.api_url).hostname or "")
        self._api = httpx.AsyncClient(
            base_url=settings.api_url,
            timeout=ASK_S,
            # Nothing stays open, because nobody says when an ASGI application ends.
            limits=httpx.Limits(max_keepalive_connections=0),
            **reach(settings.api_url),
        )

    async def __call__(self, connection: Connection, receive: Receive, send: Send) -> None:
        if connection["type"] == "lifespan":
            await self._app(connection, receive, send)
        elif connection["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
        elif refusal := await self._refusal(request := Request(connection)):
            await self._refused(request, refusal)(connection, receive, send)
        else:
            await self._app(connection, receive, send)

    def _refused(self, request: Request, refusal: Refused) -> Response:
        """A page for whoever looks with a browser, and a problem for programs and scripts."""
        problem = refused(request, refusal)
        if request.method not in SAFE or "text/html" not in request.headers.get("accept", ""):
            return problem
        url = escape(self._settings.api_url)
        api = f'<a href="{url}">{url}</a>' if self._api_is_here else "the pages of Polar"
        kept = {name: problem.headers[name] for name in _KEPT if name in problem.headers}
        page = _PAGE.format(detail=escape(str(refusal)), api=api)
        return HTMLResponse(page, refusal.status, _PAGE_HEADERS | kept)

    async def _refusal(self, request: Request) -> Refused | None:
        try:
            scope = self._scope_of(request)
            if scope is not None:
                only_own_pages(request)
                request.state.principal = await self._principal_of(request)
                who_may(request, scope)
        except Refused as refusal:
            return refusal
        return None

    async def _principal_of(self, request: Request) -> Principal:
        token, kind = shown(request, self._settings)
        if kind is Kind.BEARER:
            if is_owners(token, self._settings):
                return THE_OWNER
            return await self._holder({"Authorization": request.headers["authorization"]})
        return await self._holder({"Cookie": f"{cookie_name(self._settings.home_id)}={token}"})

    async def _holder(self, headers: dict[str, str]) -> Principal:
        """Who holds this token or cookie, as the API says now: it may have been revoked."""
        try:
            answer = await self._api.get(f"{PREFIX}/whoami", headers=headers)
            if answer.status_code == httpx.codes.UNAUTHORIZED:
                why = Problem.model_validate_json(answer.content).detail
                challenge = {"WWW-Authenticate": answer.headers.get("www-authenticate", "Bearer")}
                raise Refused(401, "unauthorized", why, headers=challenge)
            answer.raise_for_status()
            known = WhoAmI.model_validate_json(answer.content)
        except (httpx.HTTPError, ValidationError) as error:
            raise _away(self._settings.api_url, error) from error
        return Principal(known.name, known.scope, None, known.expires_at)


def _away(url: str, error: Exception) -> Refused:
    detail = (
        f"the API at {url} does not say who holds this token ({type(error).__name__}); wait until "
        f"{url}{PREFIX}/readyz answers 200, or use the owner's token, which needs no API"
    )
    return Refused(503, "away", detail)
