"""/logout: ends the cookie of the browser that asks for it."""

from fastapi import APIRouter, Request, Response

from service.api.dependencies import Service, Session
from service.api.door import cookie_name, needs, who_may
from service.api.pages.door import PageDoor
from service.api.pages.rendering import page
from service.api.problems import Refused
from service.storage import tokens
from service.tokens import Scope

router = APIRouter(route_class=PageDoor, include_in_schema=False)


@router.post("/logout", dependencies=[needs(Scope.READ)])
async def log_out(request: Request, service: Service, session: Session) -> Response:
    """Log this browser out; others, and the token that let it in, stay as they are."""
    principal = who_may(request, Scope.READ)
    if principal.token_id is None or "authorization" in request.headers:
        detail = (
            f"the token of {principal.name!r} came in the header Authorization; allowed: the "
            "cookie of a browser. `polar token revoke NAME` ends tokens, but for the owner's"
        )
        raise Refused(403, "cookie-needed", detail)
    await tokens.end(session, principal.token_id)
    answer = await page("logged_out.html")
    answer.delete_cookie(
        cookie_name(service.settings.home_id),
        httponly=True,
        samesite="lax",
        secure=request.url.scheme == "https",
    )
    return answer
