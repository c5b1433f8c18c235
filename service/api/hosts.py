"""The names by which requests may address the service.

A stranger's site can point a name of its own at our address (DNS rebinding), and a browser then
lets that site read our answers. Only the name in the request's Host header shows that.
"""

import socket
from ipaddress import ip_address
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from service.api.problems import Refused, refused
from service.settings import Settings


class TrustedHosts:
    """Refuses requests that address the service by a name that is not its own."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self.app = app
        own = ("localhost", settings.api_host, socket.gethostname())
        self.names = {name.lower() for name in (*own, *settings.api_hosts.split())}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or self._is_trusted(host := Headers(scope=scope).get("host")):
            await self.app(scope, receive, send)
            return
        allowed = f"any IP address, {', '.join(sorted(self.names))}"
        detail = f"the service is not {host!r}; allowed: {allowed}; POLAR_API_HOSTS can add names"
        answer = refused(Request(scope), Refused(421, "misdirected", detail))
        await answer(scope, receive, send)

    def _is_trusted(self, host: str | None) -> bool:
        try:
            name = urlsplit(f"//{host or ''}").hostname or ""
        except ValueError:  # an incomplete IPv6 address
            return False
        return name in self.names or _is_address(name)


def _is_address(name: str) -> bool:
    """Whether this is an IP address; a stranger can point only a name at our address."""
    try:
        ip_address(name)
    except ValueError:
        return False
    return True
