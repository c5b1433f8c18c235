"""Tells the addresses in POLAR_WEBHOOKS how runs and studies ended, signed, at least once.

The name of an address is resolved for each try, and the connection goes to what was looked at: a
name whose answer changes meanwhile leads nowhere else. Redirects are not followed.
"""

import asyncio
import hashlib
import hmac
import json
import logging
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import httpx

from service.settings import Settings
from service.storage import webhooks
from service.storage.database import Database
from service.storage.errors import DatabaseAway
from service.storage.webhooks import Delivery
from service.webhook_addresses import Refused, allowed, untold

_log = logging.getLogger(__name__)

LOOKS_EVERY_S = 5.0
ANSWERS_S = 10.0
#: How many messages one address gets at a time.
AT_ONCE = 20
#: The header with the time and the signature of a delivery.
SIGNATURE = "X-Polar-Signature"


async def tell(settings: Settings) -> None:
    """Tell all addresses of the settings what they are to be told, until this is cancelled."""
    urls = sorted(set(settings.webhooks.split()))
    database = Database(settings.sqlalchemy_url, connections=2)
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(_warn(settings, urls))
            group.create_task(_forget_others(database, urls))
            for url in urls:  # apart, so that none waits for another that is silent
                group.create_task(_tell_one(settings, database, url))
    finally:
        await database.close()


async def _warn(settings: Settings, urls: Sequence[str]) -> None:
    """Say now what would be said at the first end, which may come in days."""
    private = settings.webhooks_allow_private
    for why in await asyncio.to_thread(list, untold(urls, is_private_allowed=private)):
        _log.warning("as it is now, a webhook will not be told: %s", why)


async def _forget_others(database: Database, urls: Sequence[str]) -> None:
    while True:
        with _faults_kept():
            async with database.transaction() as session:
                await webhooks.forget_others(session, urls)
            return
        await asyncio.sleep(LOOKS_EVERY_S)


async def _tell_one(settings: Settings, database: Database, url: str) -> None:
    while True:
        with _faults_kept():
            while await tell_once(settings, database, url):
                pass
        await asyncio.sleep(LOOKS_EVERY_S)


@contextmanager
def _faults_kept() -> Iterator[None]:
    """Keep faults from the broker and the tracker, which share the process."""
    try:
        yield
    except DatabaseAway:  # the broker says so
        pass
    except Exception:
        _log.exception("webhooks were not told, next try in %.0f s", LOOKS_EVERY_S)


async def tell_once(settings: Settings, database: Database, url: str) -> int:
    """Try some of what this address is to be told now; returns how many were tried."""
    async with database.transaction() as session:
        await webhooks.notice(session, url)
        wanted = await webhooks.due(session, url, at_most=AT_ONCE)
    await asyncio.gather(*(_deliver(settings, database, delivery) for delivery in wanted))
    return len(wanted)


async def _deliver(settings: Settings, database: Database, delivery: Delivery) -> None:
    error = None
    try:
        async with asyncio.timeout(ANSWERS_S):
            await _post(settings, delivery)
    except Exception as failure:  # whatever it is, the others are told
        error = f"{type(failure).__name__}: {failure}"[:500]
        ids = {delivery.kind: delivery.subject}
        _log.warning("a webhook was not told: %s", error, extra=ids)
    async with database.transaction() as session:
        await webhooks.note(session, delivery.id, error)


async def _post(settings: Settings, delivery: Delivery) -> None:
    url = httpx.URL(delivery.url)
    port = url.port or {"http": 80, "https": 443}[url.scheme]
    found = await asyncio.get_running_loop().getaddrinfo(url.host, port, type=socket.SOCK_STREAM)
    address = allowed(url.host, found, is_private_allowed=settings.webhooks_allow_private)
    body = body_of(delivery)
    assert settings.webhook_secret  # which the settings see to
    headers = {
        "Host": url.netloc.decode(),
        "Content-Type": "application/json",
        SIGNATURE: signature(settings.webhook_secret.get_secret_value(), int(time.time()), body),
    }
    extensions = {"sni_hostname": url.host}  # whose certificate is asked for
    # without the environment's proxies, which would resolve the name once more
    async with (
        httpx.AsyncClient(trust_env=False, timeout=ANSWERS_S) as client,
        client.stream(
            "POST", url.copy_with(host=address), content=body, headers=headers,
            extensions=extensions,
        ) as answer,
    ):  # fmt: skip
        if not answer.is_success:
            raise Refused(f"it answered {answer.status_code}; allowed: 200 to 299")


def body_of(delivery: Delivery) -> bytes:
    """What an address is told, the same at every try."""
    said = {
        "id": str(delivery.id),
        "event": f"{delivery.kind}.ended",
        f"{delivery.kind}_id": str(delivery.subject),
        "state": delivery.state,
        "reason": delivery.reason,
        "ended_at": delivery.ended_at.isoformat(),
    }
    return json.dumps(said).encode()


def signature(secret: str, at: int, body: bytes) -> str:
    """The signature of a body at a time, in seconds since 1970."""
    code = hmac.new(secret.encode(), b"%d." % at + body, hashlib.sha256).hexdigest()
    return f"t={at},v1={code}"
