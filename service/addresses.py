"""Addresses of servers that are asked over HTTP."""

import socket
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TypedDict
from urllib.parse import urlsplit

from polar.errors import InvalidInput


class Reach(TypedDict):
    """What the clients of httpx are told of their surroundings."""

    trust_env: bool
    verify: bool


def is_loopback(host: str) -> bool:
    """Whether a host is this machine for itself alone."""
    address = _ip_address(host)
    return host == "localhost" or (address is not None and address.is_loopback)


def _ip_address(host: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None


def reach(url: str) -> Reach:
    """How a client of httpx gets to a URL.

    No proxy leads to this machine, and no password file and no certificates are needed there:
    what the environment says of them is for others.
    """
    try:
        parts = urlsplit(url)
    except ValueError:  # httpx will say so, too
        return {"trust_env": True, "verify": True}
    host = parts.hostname or ""
    address = _ip_address(host)
    is_here = (
        is_loopback(host)
        or host == socket.gethostname().lower()
        or (address is not None and address.is_unspecified)
    )
    return {"trust_env": not is_here, "verify": not is_here or parts.scheme == "https"}


def http_url(url: str) -> str:
    """The address of a server as it stands; an empty one is that of no server.

    Raises:
        InvalidInput: it is none.
    """
    if url and not _is_http(url):
        raise InvalidInput(f"{url!r} is not the address of a server; allowed: http://host:port")
    return url


def _is_http(url: str) -> bool:
    if not url.isprintable() or " " in url:  # urlsplit would leave them out
        return False
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # of the port, or of the brackets around an address
        return False
