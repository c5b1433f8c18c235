"""Addresses of HTTP servers."""

import socket
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TypedDict
from urllib.parse import urlsplit

from polar.errors import InvalidInput


class Reach(TypedDict):
    """Arguments of an httpx client that depend on the server's address."""

    trust_env: bool
    verify: bool


def is_loopback(host: str) -> bool:
    """Whether a host is a loopback address, which only this machine can reach."""
    address = _ip_address(host)
    return host == "localhost" or (address is not None and address.is_loopback)


def _ip_address(host: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None


def reach(url: str) -> Reach:
    """The arguments with which an httpx client reaches a URL.

    For this machine the environment is ignored, because its proxies, password file and
    certificates are meant for other machines.
    """
    try:
        parts = urlsplit(url)
    except ValueError:  # httpx will refuse the URL
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
    """The address of a server, unchanged; an empty address stands for no server.

    Raises:
        InvalidInput: it is not an address of an HTTP server.
    """
    if url and not _is_http(url):
        raise InvalidInput(f"{url!r} is not the address of a server; allowed: http://host:port")
    return url


def _is_http(url: str) -> bool:
    if not url.isprintable() or " " in url:  # urlsplit would silently drop such characters
        return False
    try:
        parts = urlsplit(url)
        # a name with empty, long or forged labels cannot be looked up
        host = (parts.hostname or "").encode("idna").decode("idna")
        return parts.scheme in ("http", "https") and bool(host) and parts.port != 0
    except ValueError:  # the port, the name, or the brackets around an address, are wrong
        return False
