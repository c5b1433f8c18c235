"""Addresses of servers that are asked over HTTP."""

import socket
from ipaddress import ip_address
from typing import TypedDict
from urllib.parse import urlsplit


class Reach(TypedDict):
    """What the clients of httpx are told of their surroundings."""

    trust_env: bool
    verify: bool


def is_loopback(host: str) -> bool:
    """Whether a host is this machine for itself alone."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def reach(url: str) -> Reach:
    """How a client of httpx gets to a URL.

    No proxy leads to this machine, and no password file and no certificates are needed there:
    what the environment says of them is for others.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    is_here = is_loopback(host) or host == socket.gethostname().lower()
    return {"trust_env": not is_here, "verify": not is_here or parts.scheme == "https"}
