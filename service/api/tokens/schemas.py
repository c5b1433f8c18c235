"""Schemas of what the API takes and answers about tokens."""

from datetime import datetime

from pydantic import Field

from polar.spec import SpecPart
from polar.spec.fields import Integer
from service.api.schemas import ResponseModel
from service.tokens import Kind, Scope

MOST_DAYS = 3_650


class NewToken(SpecPart):
    """A token that is to be made."""

    #: Who will use it, or what for.
    name: str = Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9][A-Za-z0-9_.@-]*$")
    scope: Scope = Scope.READ
    days: Integer = Field(90, ge=1, le=MOST_DAYS, description="Days for which it can be used.")


class TokenView(ResponseModel):
    """What is known of a token, which is all but the token itself."""

    name: str
    #: `bearer` for programs, `cookie` for a browser, `link` for one that is to be logged in.
    kind: Kind
    scope: Scope
    created_at: datetime
    expires_at: datetime
    #: Whether it cannot be used any more because its time is over.
    has_expired: bool = False
    revoked_at: datetime | None


class NewTokenView(TokenView):
    """A token that was just made."""

    #: The token itself, which nobody can read again.
    token: str


class Tokens(ResponseModel):
    """All tokens and sessions of browsers that have not been revoked, the newest first."""

    tokens: list[TokenView]


class WhoAmI(ResponseModel):
    """Who sends this request."""

    #: The name of the token, or `owner`.
    name: str
    scope: Scope
    #: None for the owner, whose token does not expire.
    expires_at: datetime | None


class LoginLink(ResponseModel):
    """A link that logs one browser in, once."""

    #: Path at this service.
    url: str
    expires_at: datetime
