"""Where webhooks may lead: to the internet, and neither to this machine nor to its network."""

import ipaddress
import socket
from collections.abc import Iterable, Iterator, Sequence
from typing import Any
from urllib.parse import urlsplit


class Refused(Exception):
    """An address leads where nothing is sent."""


def allowed(host: str, found: Sequence[Any], *, is_private_allowed: bool) -> str:
    """An address of a host, if all that `getaddrinfo` has found may be sent to.

    Raises:
        Refused: one of them is of this machine or its network.
    """
    addresses = [str(entry[4][0]) for entry in found]
    for address in addresses:
        if not (is_private_allowed or is_public(address)):
            raise Refused(
                f"{host} is {address}, which is no public address; allowed: public addresses, or "
                "all with POLAR_WEBHOOKS_ALLOW_PRIVATE=true"
            )
    return addresses[0]


def untold(urls: Iterable[str], *, is_private_allowed: bool) -> Iterator[str]:
    """Why addresses would not be told now, if there are such; it may wait for names."""
    for url in urls:
        host = urlsplit(url).hostname or ""
        try:
            found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
            allowed(host, found, is_private_allowed=is_private_allowed)
        except (OSError, UnicodeError) as error:
            yield f"{host} cannot be looked up: {error}"
        except Refused as error:
            yield str(error)


#: Networks that Python counts as global, although they may lead to this machine or its network:
#: old addresses of sites, translation within a network, and IPv4 within IPv6 in two old forms.
_LOCAL = [
    ipaddress.ip_network(network)
    for network in ("fec0::/10", "64:ff9b:1::/48", "::/96", "::ffff:0:0:0/96")
]


def is_public(address: str) -> bool:
    """Whether an address belongs to the internet, and neither to this machine nor its network."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if any(ip in network for network in _LOCAL):
        return False
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour or (ip.teredo or (None, None))[1] or _behind_nat(ip)
        ip = inner or ip
    return ip.is_global and not ip.is_multicast


def _behind_nat(ip: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    """The address to which a network without IPv4 translates this one."""
    if ip in ipaddress.ip_network("64:ff9b::/96"):
        return ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
    return None
