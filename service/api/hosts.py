"""By which names the service may be called.

A stranger's site can point a name of its own at our address (DNS rebinding): a browser then lets
that site read our answers. The only sign of it is the name that such a request calls us by.
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
    """Refuses requests that call the service by a name that is not its own."""

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
        except ValueError:  # half an IPv6 address
            return False
        return name in self.names or _is_address(name)


def _is_address(name: str) -> bool:
    """No name at all, so nobody can have pointed it here."""
    try:
        ip_address(name)
    except ValueError:
        return False
    return True
