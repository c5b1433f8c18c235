"""/tokens, /login-links, /login: make and revoke tokens, and let browsers in."""

from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import RedirectResponse

from service.api import links
from service.api.dependencies import Reading, Service, Session, only_json
from service.api.door import Door, cookie_name, needs, owners_digest, who_may
from service.api.problems import Refused, refusals
from service.api.tokens.schemas import LoginLink, NewToken, NewTokenView, Tokens, TokenView, WhoAmI
from service.settings import Settings
from service.storage import tokens
from service.storage.tokens import Maker
from service.tokens import Scope

router = APIRouter(route_class=Door, tags=["tokens"], responses=refusals(422, 503))

#: Where a browser goes that has just been let in.
LANDING_PAGE = "/"
#: Whoever opens a login link has no token yet, and the link is the proof.
open_router = APIRouter(tags=["tokens"], responses=refusals(422, 503))


@router.post(
    "/tokens",
    status_code=201,
    dependencies=[Depends(only_json), needs(Scope.ADMIN)],
    responses=refusals(400, 409, 413, 415),
)
async def create_token(wanted: NewToken, session: Session, response: Response) -> NewTokenView:
    """Make a token. This answer alone has it: it is stored as a digest only."""
    lasts = timedelta(days=wanted.days)
    row, token = await tokens.create(session, wanted.name, wanted.scope, lasts)
    response.headers["Cache-Control"] = "no-store"
    return NewTokenView(**TokenView.model_validate(row).model_dump(), token=token)


@router.get("/tokens", dependencies=[needs(Scope.ADMIN)])
async def list_tokens(session: Reading) -> Tokens:
    """List the tokens and the browsers that have not been revoked."""
    views = [
        TokenView.model_validate(row).model_copy(update={"has_expired": has_expired})
        for row, has_expired in await tokens.all_of_them(session)
    ]
    return Tokens(tokens=views)


@router.post("/tokens/{name}/revoke", dependencies=[needs(Scope.ADMIN)], responses=refusals(404))
async def revoke_token(name: str, session: Session) -> TokenView:
    """Revoke a token, or log a browser out; browsers that the token let in are logged out too."""
    return TokenView.model_validate(await tokens.revoke(session, name))


@router.get("/whoami")
async def who_am_i(request: Request) -> WhoAmI:
    """Say whose token came with this request, and what it lets them do."""
    return WhoAmI.model_validate(who_may(request, Scope.READ))


@router.post("/login-links", status_code=201, dependencies=[needs(Scope.READ)])
async def create_login_link(
    request: Request,
    service: Service,
    session: Session,
    response: Response,
    scope: Annotated[Scope, Query(description="What the browser may do.")] = Scope.READ,
) -> LoginLink:
    """Make a link that logs one browser in, once, with no more than the caller's own scope."""
    maker = _maker(request, scope, service.settings)
    row, token = await tokens.make_link(session, scope, maker)
    response.headers["Cache-Control"] = "no-store"
    return LoginLink(url=links.to_login(token), expires_at=row.expires_at)


def _maker(request: Request, scope: Scope, settings: Settings) -> Maker:
    """Whose token lets a browser in, which ends with that token."""
    token_id = who_may(request, scope).token_id
    if "authorization" not in request.headers:
        raise Refused(403, "bearer-needed", "a browser lets no other in; use `polar login`")
    return Maker(token_id, None if token_id else owners_digest(settings))


@open_router.get(
    "/login", status_code=303, response_class=RedirectResponse, responses=refusals(401)
)
async def log_in(
    request: Request,
    service: Service,
    session: Session,
    token: Annotated[str, Query(alias="link", max_length=512)],
) -> Response:
    """Log this browser in, and lead it to the page of studies."""
    opened = await tokens.open_link(session, token, owners_digest(service.settings))
    has_cookie = cookie_name(service.settings.home_id) in request.cookies
    if opened is None and has_cookie and "text/html" in request.headers.get("accept", ""):
        return RedirectResponse(LANDING_PAGE, status_code=303)  # this browser may be in already
    if opened is None:
        minutes = tokens.LINK_LASTS // timedelta(minutes=1)
        detail = (
            f"this link was used already, or is older than {minutes} minutes; `polar login` makes "
            "a new one"
        )
        raise Refused(401, "unauthorized", detail)
    row, cookie = opened
    answer = RedirectResponse(LANDING_PAGE, status_code=303, headers={"Cache-Control": "no-store"})
    answer.set_cookie(
        cookie_name(service.settings.home_id),
        cookie,
        expires=row.expires_at,
        httponly=True,
        samesite="lax",
        secure=request.url.scheme == "https",
    )
    return answer
