"""Bearer tokens: their form, what they let their holder do, and how they are kept."""

import hashlib
import re
import secrets
from enum import StrEnum

#: What begins every token, so that people and programs that look for leaked secrets recognise it.
TOKEN_PREFIX = "polar_"
#: So long that nobody who has a digest can guess its token, and fit for a header.
_TOKEN = re.compile(r"[!-~]{32,512}")
#: The form of a token, in words.
ALLOWED = "32 to 512 characters without blanks, drawn at random"


class Scope(StrEnum):
    """What a token lets its holder do; each scope includes those before it."""

    #: See everything.
    READ = "read"
    #: Submit experiments, studies and codes to be measured, and ask for figures.
    SUBMIT = "submit"
    #: Change what others have submitted: cancel, pause, resume, extend.
    STEER = "steer"
    #: Make, list and revoke tokens.
    ADMIN = "admin"

    def includes(self, other: "Scope") -> bool:
        scopes = list(Scope)
        return scopes.index(self) >= scopes.index(other)


class Kind(StrEnum):
    """How a token reaches the API; a token of one kind does not work as another."""

    #: In the header `Authorization` of each request.
    BEARER = "bearer"
    #: In a login link, which can be opened once and then becomes a cookie.
    LINK = "link"
    COOKIE = "cookie"


def new_token() -> str:
    """A token of 256 random bits."""
    return TOKEN_PREFIX + secrets.token_urlsafe(32)


def is_token(text: str) -> bool:
    """Whether this may be a token; whether it is one, only the service knows."""
    return _TOKEN.fullmatch(text) is not None


def digest_of(token: str) -> str:
    """What is kept of a token: its SHA-256 in hexadecimal digits."""
    return hashlib.sha256(token.encode()).hexdigest()
