"""Addresses of databases, as text. No message of this module shows a password."""

import re
from urllib.parse import parse_qsl, quote, unquote

from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict

from polar.errors import InvalidInput

_SHAPE = re.compile(
    r"""
    postgres(?:ql(?:\+psycopg)?)?://
    (?:(?P<user>[^:/?@]*)(?::(?P<password>[^@]*))?@)?
    (?P<host>\[[^\]/?@]*\]|[^:/?@]*)
    (?::(?P<port>\d*))?
    (?:/(?P<name>[^/?@]*))?
    (?:\?(?P<options>[^@]*))?
    """,
    re.VERBOSE,
)
#: The message does not quote the address, because any part of it may be the password.
_UNREADABLE = (
    "this is not the address of a PostgreSQL database; allowed: "
    "postgresql://user:password@host:port/name, where user, password and name are "
    "percent-encoded (%40 for @, %2F for /, %3A for :)"
)


def libpq_url(address: str) -> str:
    """The address of a database, in the form that psycopg and other libpq clients read.

    Raises:
        InvalidInput: it is not such an address; the message does not show it, because it may
            contain a password.
    """
    return _database_url("postgresql", address)


def sqlalchemy_url(address: str, name: str | None = None) -> str:
    """The address for SQLAlchemy, with the psycopg driver.

    Args:
        address: As for `libpq_url`.
        name: Name of another database on the same server.

    Raises:
        InvalidInput: as in `libpq_url`.
    """
    return _database_url("postgresql+psycopg", address, name)


def _database_url(scheme: str, address: str, name: str | None = None) -> str:
    # We parse and format addresses ourselves, because libpq and SQLAlchemy disagree about blanks,
    # plus signs and characters that should have been encoded.
    parts = _SHAPE.fullmatch(address.strip())
    if parts is None or int(parts["port"] or 0) > 65535:
        raise InvalidInput(_UNREADABLE)
    user, password, host, port, own_name, options = parts.groups()
    login = "" if user is None else _encoded(user)
    login += "" if password is None else f":{_encoded(password)}"
    path = _encoded(own_name or "") if name is None else quote(name, safe="")
    pairs = parse_qsl(options or "", keep_blank_values=True)
    url = (
        f"{login}{'' if user is None else '@'}{host}{f':{port}' if port else ''}/{path}"
        + ("?" if pairs else "")
        + "&".join(f"{quote(key, safe='')}={quote(value, safe='')}" for key, value in pairs)
    )
    try:
        conninfo_to_dict(f"postgresql://{url}")
    except ProgrammingError:
        raise InvalidInput(_UNREADABLE) from None
    return f"{scheme}://{url}"


def _encoded(part: str) -> str:
    return quote(unquote(part), safe="")
