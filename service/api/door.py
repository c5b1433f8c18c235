"""The door of the API: who asks, whether they may, and from which page.

All this is decided before anything of a request's body is read, so that a stranger can make the
service neither store nor parse anything.
"""

import hmac
import re
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

from fastapi import Request, Response, Security
from fastapi.params import Depends
from fastapi.params import Security as Needed
from fastapi.routing import APIRoute
from fastapi.security import HTTPBearer

from service.api.problems import Refused, refusals
from service.settings import DoorSettings
from service.storage import tokens
from service.storage.database import Database
from service.storage.errors import StorageError
from service.tokens import Kind, Scope, digest_of, is_token

#: How the name begins of the cookie by which a browser that was let in shows who it is.
COOKIE = "polar"
#: The holder of the token in POLAR_TOKEN, or in the home: who started the service.
OWNER = "owner"
SAFE = {"GET", "HEAD"}
SCHEME = "Bearer"
#: Seconds after which a stream that still sends something asks anew whether its reader may read.
ASK_AGAIN_S = 10.0
_SCHEME = re.compile(r"[A-Za-z]{1,12}")

Event = TypeVar("Event")

#: Says in the documentation what each route needs; `Door` sees to it.
_BEARER = HTTPBearer(
    auto_error=False,
    scheme_name=SCHEME,
    description="A token of `polar token create`, or the file `token` in the home of `polar up`.",
)


@dataclass(frozen=True)
class Principal:
    """Who asks."""

    name: str
    scope: Scope
    #: The token that they show; None for the owner.
    token_id: UUID | None
    expires_at: datetime | None


THE_OWNER = Principal(OWNER, Scope.ADMIN, None, None)


def cookie_name(home_id: str | None) -> str:
    """Name of the cookie of one stack: browsers send cookies to all ports of a machine."""
    return f"{COOKIE}-{home_id}" if home_id else COOKIE


def needs(scope: Scope) -> Depends:
    """What a route depends on that does more than to show something."""
    return Security(_BEARER, scopes=[scope])


class Door(APIRoute):
    """A route that answers only those who may ask: to read, unless it says what else it needs.

    Routes without this class are open to everybody.
    """

    def __init__(
        self,
        path: str,
        endpoint: Any,  # noqa: ANN401
        *,
        dependencies: Sequence[Depends] | None = None,
        responses: Mapping[int | str, Any] | None = None,
        **options: Any,  # noqa: ANN401
    ) -> None:
        wanted = list(dependencies or ())
        scopes = [
            scope for each in wanted if isinstance(each, Needed) for scope in each.scopes or ()
        ]
        if not scopes and not SAFE.issuperset(options["methods"]):
            raise TypeError(f"the route {path} changes something; say with `needs` who may")
        (self.scope,) = [Scope(scope) for scope in scopes] or [Scope.READ]
        super().__init__(
            path,
            endpoint,
            dependencies=wanted if scopes else [*wanted, needs(self.scope)],
            responses={**refusals(401, 403), **(responses or {})},
            **options,
        )

    def get_route_handler(self) -> Any:  # noqa: ANN401
        handle = super().get_route_handler()

        async def let_in_and_handle(request: Request) -> Response:
            await let_in(request, self.scope)
            answer: Response = await handle(request)
            return answer

        return let_in_and_handle


async def let_in(request: Request, scope: Scope) -> Principal:
    """Who sends this request, if they may do what needs this scope.

    Raises:
        Refused: they may not; it says why, and what helps.
        DatabaseAway: only the database knows this token, and it does not answer.
    """
    only_own_pages(request)
    request.state.principal = await _principal_of(request)
    return who_may(request, scope)


async def while_let_in(request: Request, events: AsyncIterator[Event]) -> AsyncIterator[Event]:
    """What a stream sends, until whoever asked for it may not read any more.

    A token that is revoked, or over, would otherwise show everything until the last run has ended.
    """
    asked_at = time.monotonic()
    async for event in events:
        if time.monotonic() > asked_at + ASK_AGAIN_S:
            try:
                await let_in(request, Scope.READ)
            except Refused:
                return
            except StorageError:  # nothing new is known of the token; the next event asks again
                pass
            else:
                asked_at = time.monotonic()
        yield event


def who_may(request: Request, scope: Scope) -> Principal:
    """Who sends this request, which was let in, if they may do what needs this scope.

    Raises:
        Refused: they may not.
    """
    principal: Principal = request.state.principal
    if not principal.scope.includes(scope):
        raise _too_little(request, principal, scope)
    return principal


def only_own_pages(request: Request) -> None:
    """Refuse changes that a page of another site sends, which browsers do not prevent.

    Raises:
        Refused: such a page sends this.
    """
    origin = request.headers.get("origin")  # every browser sends it, and no other client does
    if request.method in SAFE or origin is None:
        return
    if origin.partition("://")[2] != request.headers.get("host"):
        detail = f"the request comes from a page of {origin!r}; allowed: pages of this service"
        raise Refused(403, "cross-site", detail)


async def _principal_of(request: Request) -> Principal:
    token, kind = shown(request, request.app.state.parts.settings)
    parts = request.app.state.parts
    if kind is Kind.BEARER and is_owners(token, parts.settings):
        return THE_OWNER
    return await _holder_in(parts.database, token, kind, owners_digest(parts.settings))


def shown(request: Request, settings: DoorSettings) -> tuple[str, Kind]:
    """The token with which a request shows who sends it, and how it does so.

    Raises:
        Refused: it shows none, or what cannot be one and might not even fit into a header.
    """
    authorization = request.headers.get("authorization")
    cookie = request.cookies.get(cookie_name(settings.home_id))
    if authorization is not None:
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != SCHEME.lower():
            # anything but a short word may be the token itself, which nobody may read in a log
            is_word = _SCHEME.fullmatch(scheme)
            what = f"is of the kind {scheme!r}" if is_word else "names no kind"
            raise _nobody(f"the header Authorization {what}", "")
        shown, kind = token.strip(), Kind.BEARER
    elif cookie is not None:
        shown, kind = cookie, Kind.COOKIE
    else:
        raise _nobody("no token came with this request", "")
    if not is_token(shown):
        raise _unknown(kind)
    return shown, kind


def _unknown(kind: Kind) -> Refused:
    what = "token" if kind is Kind.BEARER else "cookie"
    return _nobody(f"this service knows no such {what}", "invalid_token")


def is_owners(token: str, settings: DoorSettings) -> bool:
    """Whether this is the owner's token; the time that this takes says nothing of the token."""
    known = owners_digest(settings)
    return known is not None and hmac.compare_digest(digest_of(token), known)


def owners_digest(settings: DoorSettings) -> str | None:
    """The digest of the owner's token; None if the service knows none."""
    return digest_of(settings.token.get_secret_value()) if settings.token else None


async def _holder_in(
    database: Database, token: str, kind: Kind, owners_digest: str | None
) -> Principal:
    async with database.transaction() as session:
        found = await tokens.find(session, token, kind, owners_digest)
    what = "token" if kind is Kind.BEARER else "cookie"
    if found is None:
        raise _unknown(kind)
    row = found.row
    if row.revoked_at is not None:
        raise _nobody(f"the {what} {row.name!r} was revoked", "invalid_token")
    if found.is_orphaned:
        why = f"the {what} {row.name!r} ended with the token that let it in"
        raise _nobody(why, "invalid_token")
    if found.is_over:
        when = f"{row.expires_at:%Y-%m-%d %H:%M} UTC"
        raise _nobody(f"the {what} {row.name!r} expired at {when}", "invalid_token")
    return Principal(row.name, Scope(row.scope), row.id, row.expires_at)


def _nobody(why: str, error: str) -> Refused:
    detail = (
        f"{why}; allowed: the header `Authorization: Bearer TOKEN`, which `polar` and "
        "polar.client send if POLAR_TOKEN is set, or by themselves to the stack of their own "
        "home, and MLflow's client if MLFLOW_TRACKING_TOKEN is set. Make a token with `polar "
        "token create NAME`; let a browser in with `polar login`."
    )
    return Refused(401, "unauthorized", detail, headers=_challenge(error))


def _too_little(request: Request, principal: Principal, scope: Scope) -> Refused:
    detail = (
        f"{request.method} {request.url.path} needs the scope '{scope}', and {principal.name!r} "
        f"has '{principal.scope}'; whoever holds a token with the scope 'admin' makes another "
        f"with `polar token create NAME --scope {scope}`, or lets a browser in with `polar login "
        f"--scope {scope}`"
    )
    headers = _challenge("insufficient_scope", scope)
    return Refused(403, "scope-missing", detail, headers=headers)


def _challenge(error: str, scope: Scope | None = None) -> dict[str, str]:
    """The header that RFC 6750 wants; a request without any token gets no code of an error."""
    parts = {"realm": "polar", "error": error, "scope": scope}
    words = ", ".join(f'{name}="{value}"' for name, value in parts.items() if value)
    return {"WWW-Authenticate": f"{SCHEME} {words}"}
