"""Webhooks: told of every end, signed, again until they answer, and only where that is allowed."""

import asyncio
import json
import re
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import SecretStr
from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from polar.errors import InvalidInput
from polar.spec import ExperimentSpec
from service.settings import Settings
from service.storage import studies, webhooks
from service.storage.database import Database
from service.storage.states import RunState, StudyState
from service.storage.study_tables import Study
from service.storage.webhooks import Delivery, Webhook
from service.studies.webhooks import ANSWERS_S, SIGNATURE, tell, tell_once

if TYPE_CHECKING:
    from tests.service.conftest import Submitter, Trials, Worker
    from tests.service.studies.conftest import SpecOf

SECRET = "s" * 64
SMALL = {"dataset": {"name": "digits"}, "model": {}}
DOCS = Path(__file__).parents[3] / "docs" / "webhooks.md"


class Receiver:
    """A server that keeps what it is sent, and answers as it is told."""

    def __init__(self) -> None:
        self.status = "204 No Content"
        self.url = ""
        self.requests: list[tuple[dict[str, str], bytes]] = []

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        headers = dict(line.lower().split(": ", 1) for line in head.splitlines()[1:] if line)
        self.requests.append((headers, await reader.readexactly(int(headers["content-length"]))))
        writer.write(f"HTTP/1.1 {self.status}\r\nLocation: /elsewhere\r\n\r\n".encode())
        writer.close()
        await writer.wait_closed()


@asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    receiver = Receiver()
    server = await asyncio.start_server(receiver.answer, "127.0.0.1", 0)
    receiver.url = f"http://localhost:{server.sockets[0].getsockname()[1]}/hook?a=b"
    async with server:
        yield receiver


def with_hook(settings: Settings, url: str, *, private: bool = True) -> Settings:
    changed = {
        "webhooks": url,
        "webhook_secret": SecretStr(SECRET),
        "webhooks_allow_private": private,
    }
    return settings.model_copy(update=changed)


async def end_one(submit: "Submitter", worker: "Worker", seed: int = 0) -> str:
    (run,) = (await submit(ExperimentSpec.model_validate(SMALL | {"seeds": [seed]}))).new
    await worker.claim(run.id)
    await worker.finish(run.id, RunState.FAILED)
    return str(run.id)


async def rows(database: Database) -> list[Delivery]:
    async with database.transaction() as session:
        return list(await webhooks.newest(session, 100))


async def make_due(database: Database, **changes: Any) -> None:  # noqa: ANN401
    async with database.transaction() as session:
        await session.execute(update(Delivery).values(due_at=func.now(), **changes))


async def test_every_end_is_told_once_and_signed(
    settings: Settings,
    database: Database,
    submit: "Submitter",
    worker: "Worker",
) -> None:
    await end_one(submit, worker, 9)  # before anybody wanted to know
    async with receiving() as receiver:
        settings = with_hook(settings, receiver.url)
        await tell_once(settings, database, receiver.url)
        run_id = await end_one(submit, worker)
        for _ in range(3):
            await tell_once(settings, database, receiver.url)
        ((headers, body),) = receiver.requests

    (delivery,) = await rows(database)
    said = json.loads(body)
    assert said.pop("ended_at") == delivery.ended_at.isoformat()
    assert said == {
        "id": str(delivery.id),
        "event": "run.ended",
        "run_id": run_id,
        "state": "failed",
        "reason": None,
    }
    assert headers["host"] == receiver.url.split("/")[2]
    assert delivery.delivered_at is not None
    assert verifier()(SECRET, headers[SIGNATURE.lower()], body)


async def test_a_study_that_is_extended_ends_twice(
    settings: Settings, database: Database, trials: "Trials", spec_of: "SpecOf"
) -> None:
    async with receiving() as receiver:
        settings = with_hook(settings, receiver.url)
        await tell_once(settings, database, receiver.url)
        async with database.transaction() as session:
            study = await studies.create(session, spec_of(), "d" * 64)
        for _ in range(2):
            await trials.end_study(study.id)
            await tell_once(settings, database, receiver.url)
            async with database.transaction() as session:
                await session.execute(
                    update(Study).values(state=StudyState.RUNNING, finished_at=None)
                )
        first, second = [json.loads(body) for _, body in receiver.requests]

    assert (first["event"], first["study_id"]) == ("study.ended", str(study.id))
    assert (first["state"], first["reason"]) == ("completed", "budget_spent")
    assert first["id"] != second["id"]


def verifier() -> Callable[..., bool]:
    """The program of the documentation."""
    (program,) = re.findall(r"```python\n(.*?)```", DOCS.read_text(), re.DOTALL)
    names: dict[str, Any] = {}
    exec(program, names)
    is_from_polar: Callable[..., bool] = names["is_from_polar"]
    return is_from_polar


def test_the_documented_program_refuses_what_is_forged_or_old() -> None:
    from service.studies.webhooks import signature

    is_from_polar, now = verifier(), int(time.time())
    signed = signature(SECRET, now, b"{}")

    assert is_from_polar(SECRET, signed, b"{}")
    assert not is_from_polar(SECRET, signed, b"{ }")
    assert not is_from_polar("t" * 64, signed, b"{}")
    assert not is_from_polar(SECRET, signed.replace(str(now), str(now + 1)), b"{}")
    assert not is_from_polar(SECRET, signature(SECRET, now - 301, b"{}"), b"{}")


@pytest.mark.parametrize("status", ["500 Internal Server Error", "302 Found"])
async def test_what_is_not_taken_is_tried_again_with_the_same_id(
    status: str,
    settings: Settings,
    database: Database,
    submit: "Submitter",
    worker: "Worker",
) -> None:
    async with receiving() as receiver:
        settings = with_hook(settings, receiver.url)
        await tell_once(settings, database, receiver.url)
        await end_one(submit, worker)
        receiver.status = status
        for _ in range(2):
            await make_due(database)
            await tell_once(settings, database, receiver.url)
        (failed,) = await rows(database)
        await tell_once(settings, database, receiver.url)  # it is not due yet
        receiver.status = "200 OK"
        await make_due(database)
        await tell_once(settings, database, receiver.url)
        (delivery,) = await rows(database)
        bodies = {body for _, body in receiver.requests}

    assert len(receiver.requests) == 3
    assert len(bodies) == 1
    assert failed.error is not None
    assert status[:3] in failed.error
    pause = failed.due_at - failed.created_at
    assert timedelta(seconds=20) <= pause < timedelta(seconds=60)
    assert (delivery.tries, delivery.error) == (3, None)
    assert delivery.delivered_at is not None


async def test_it_is_given_up_after_a_day(
    settings: Settings,
    database: Database,
    submit: "Submitter",
    worker: "Worker",
) -> None:
    url = "http://127.0.0.1:1/"  # where nobody listens
    settings = with_hook(settings, url)
    await tell_once(settings, database, url)
    await end_one(submit, worker)
    await tell_once(settings, database, url)
    await make_due(database, created_at=func.now() - timedelta(hours=24))
    tried = [await tell_once(settings, database, url) for _ in range(2)]

    (delivery,) = await rows(database)
    assert tried == [1, 0]
    assert delivery.given_up_at is not None
    assert "ConnectError" in (delivery.error or "")


async def test_an_address_of_this_machine_is_refused_at_every_try(
    settings: Settings,
    database: Database,
    submit: "Submitter",
    worker: "Worker",
) -> None:
    async with receiving() as receiver:
        settings = with_hook(settings, receiver.url, private=False)
        await tell_once(settings, database, receiver.url)
        await end_one(submit, worker)
        await tell_once(settings, database, receiver.url)

    (delivery,) = await rows(database)
    assert receiver.requests == []
    assert "which is no public address" in (delivery.error or "")


async def test_a_name_whose_answer_changes_leads_nowhere_else(
    settings: Settings,
    database: Database,
    submit: "Submitter",
    worker: "Worker",
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The name is looked up once a try, and httpx connects to a number."""
    lookups: list[str] = []
    real = socket.getaddrinfo

    def changing(host: str, *rest: Any, **options: Any) -> Any:  # noqa: ANN401
        if host == "changes.example":
            lookups.append(host)
            host = "127.0.0.1" if len(lookups) == 1 else "127.0.0.2"
        return real(host, *rest, **options)

    monkeypatch.setattr(socket, "getaddrinfo", changing)
    async with receiving() as receiver:
        url = receiver.url.replace("localhost", "changes.example")
        settings = with_hook(settings, url)
        await tell_once(settings, database, url)
        await end_one(submit, worker)
        await tell_once(settings, database, url)

    assert lookups == ["changes.example"]
    assert receiver.requests[0][0]["host"] == url.split("/")[2]


async def test_without_addresses_the_earlier_ones_are_forgotten_and_nothing_is_told(
    settings: Settings, database: Database
) -> None:
    async with database.transaction() as session:
        await webhooks.notice(session, "https://a.example")
    await tell(settings)

    async with database.transaction() as session:
        assert await session.scalar(select(func.count()).select_from(Webhook)) == 0


async def test_a_name_that_cannot_be_looked_up_fails_like_any_other(
    settings: Settings, database: Database, submit: "Submitter", worker: "Worker"
) -> None:
    url = "http://a..b/"  # which the settings refuse
    settings = with_hook(settings, url)
    await tell_once(settings, database, url)
    await end_one(submit, worker)
    await tell_once(settings, database, url)

    (delivery,) = await rows(database)
    assert "UnicodeError" in (delivery.error or "")


async def test_a_silent_address_and_a_fault_keep_nobody_waiting(
    settings: Settings,
    database: Database,
    submit: "Submitter",
    worker: "Worker",
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def fail(session: AsyncSession, url: str) -> None:
        if "broken" in url:
            raise RuntimeError("a fault of ours")
        await real(session, url)

    real = webhooks.notice
    monkeypatch.setattr(webhooks, "notice", fail)
    async with receiving() as receiver:
        silent = socket.create_server(("127.0.0.1", 0))  # which connects, and says nothing
        urls = [f"http://127.0.0.1:{silent.getsockname()[1]}/", "http://broken.example/"]
        urls.append(receiver.url)
        for url in (urls[0], receiver.url):
            await tell_once(settings, database, url)
        for seed in range(2):
            await end_one(submit, worker, seed)
        telling = asyncio.create_task(tell(with_hook(settings, " ".join(urls))))
        async with asyncio.timeout(ANSWERS_S / 2):
            while len(receiver.requests) < 2:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        is_alive = not telling.done()
        telling.cancel()
        await asyncio.wait([telling])
        silent.close()

    assert is_alive


@pytest.mark.parametrize(
    ("webhooks", "secret", "said"),
    [
        ("https://a.example", None, "POLAR_WEBHOOK_SECRET is not"),
        ("https://a.example file:///etc", SECRET, "'file:///etc' is not the address of a server"),
        ("https://a.example", "short", "POLAR_WEBHOOK_SECRET: this is no token"),
    ],
)
def test_wrong_settings_are_refused(
    webhooks: str, secret: str | None, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POLAR_WEBHOOKS", webhooks)
    if secret:
        monkeypatch.setenv("POLAR_WEBHOOK_SECRET", secret)
    with pytest.raises(InvalidInput, match=said):
        Settings.read(database_url="postgresql://h/app", artifacts="/tmp", mlflow_url="")
