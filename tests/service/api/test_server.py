"""The API over real sockets, and as the process that `polar up` starts."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

import fastapi.routing
import httpx
import pytest

from service.api.body import MAX_BODY
from service.settings import Settings
from tests.service.conftest import OWNER, TOKEN

if TYPE_CHECKING:
    from tests.conftest import Reports
    from tests.service.conftest import SpecMaker, Submitter, Worker


@pytest.fixture
async def wire(served: str) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=f"{served}/api/v1", headers=OWNER, timeout=30) as client:
        yield client


@pytest.fixture
async def run_id(submit: "Submitter", spec_of: "SpecMaker") -> UUID:
    """A queued run."""
    return (await submit(spec_of())).runs[0].id


async def test_events_come_as_they_happen(
    wire: httpx.AsyncClient, run_id: UUID, worker: "Worker", reports: "Reports"
) -> None:
    async with wire.stream("GET", f"/runs/{run_id}/events") as answer:
        lines = answer.aiter_lines()
        beginning = [await anext(lines) for _ in range(2)]
        await worker.claim(run_id)
        await worker.record(run_id, reports.evaluation(10))
        await worker.finish(run_id)
        rest = [line async for line in lines]

    events = [line for line in rest if line.startswith("event: ")]
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert beginning[0] == "event: state"
    assert '"state":"queued"' in beginning[1]
    assert events[-2:] == ["event: evaluation", "event: state"]
    assert "id: 10" in rest
    assert '"state":"succeeded"' in rest[-2]


async def test_a_watcher_comes_back_where_he_was(
    wire: httpx.AsyncClient, run_id: UUID, worker: "Worker", reports: "Reports"
) -> None:
    await worker.claim(run_id)
    await worker.record(run_id, *(reports.evaluation(step) for step in (0, 10, 20)))
    await worker.finish(run_id)

    answer = await wire.get(f"/runs/{run_id}/events", headers={"Last-Event-ID": "0"})

    assert [line for line in answer.text.splitlines() if line.startswith("id")] == [
        "id: 10",
        "id: 20",
    ]


async def test_many_watchers_leave_room_for_others(
    served: str, run_id: UUID, worker: "Worker"
) -> None:
    # More than the service has connections to its database.
    limits = httpx.Limits(max_connections=50)
    async with (
        httpx.AsyncClient(
            base_url=f"{served}/api/v1", headers=OWNER, timeout=20, limits=limits
        ) as wire,
        AsyncExitStack() as streams,
    ):
        watching = [
            await streams.enter_async_context(wire.stream("GET", f"/runs/{run_id}/events"))
            for _ in range(25)
        ]
        answer = await wire.get(f"/runs/{run_id}")
        await worker.claim(run_id)
        await worker.finish(run_id)
        ends = [[line async for line in stream.aiter_lines() if line][-1] for stream in watching]

    assert answer.status_code == 200
    assert all('"state":"succeeded"' in end for end in ends)


async def test_a_stream_without_news_is_kept_alive(
    wire: httpx.AsyncClient, run_id: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fastapi.routing, "_PING_INTERVAL", 0.05)  # 15 s, really

    async with wire.stream("GET", f"/runs/{run_id}/events") as answer:
        comment = await anext(line async for line in answer.aiter_lines() if line.startswith(":"))

    assert comment == ": ping"


@pytest.mark.parametrize("length", [None, "10"])
async def test_a_large_body_is_refused_whatever_its_length_is_said_to_be(
    length: str | None, served: str
) -> None:
    # Raw: no client would lie. Chunked, there is no length at all.
    head = "Transfer-Encoding: chunked" if length is None else f"Content-Length: {2 * MAX_BODY}"
    reader, writer = await asyncio.open_connection(*served.removeprefix("http://").split(":"))
    writer.write(
        b"POST /api/v1/experiments HTTP/1.1\r\nHost: localhost\r\n"
        b"Content-Type: application/json\r\n"
        + f"Authorization: Bearer {TOKEN}\r\n{head}\r\n\r\n".encode()
    )
    chunk = b"%x\r\n%s\r\n" % (65_536, b" " * 65_536) if length is None else b" " * 65_536
    for _ in range(MAX_BODY // 65_536 + 1):
        writer.write(chunk)

    answer = await reader.read(65_536)

    writer.close()
    assert answer.startswith(b"HTTP/1.1 413")
    assert b"application/problem+json" in answer


async def test_a_client_that_sends_too_much_can_read_why(wire: httpx.AsyncClient) -> None:
    body = b" " * (5 * MAX_BODY)

    answer = await wire.post(
        "/experiments", content=body, headers={"content-type": "application/json"}
    )

    assert answer.status_code == 413


@pytest.fixture
def environment(settings: Settings) -> dict[str, str]:
    """That of `python -m service.api`."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    return os.environ | {
        "POLAR_DATABASE_URL": settings.database_url.get_secret_value(),
        "POLAR_ARTIFACTS": str(settings.artifacts),
        "POLAR_MLFLOW_URL": settings.mlflow_url,
        "POLAR_API_PORT": str(port),
        "POLAR_TOKEN": TOKEN,
        "WEB_CONCURRENCY": "4",  # as some platforms set it; the API then did not start
    }


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "api.log"


@pytest.fixture
def process(environment: dict[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "service.api"]
    with log.open("wb") as file:
        process = subprocess.Popen(command, env=environment, stderr=file)
    yield process
    process.kill()
    process.wait()


def test_the_process_serves_and_ends_though_somebody_watches(
    process: subprocess.Popen[bytes],
    log: Path,
    environment: dict[str, str],
    run_id: UUID,
) -> None:
    url = f"http://127.0.0.1:{environment['POLAR_API_PORT']}/api/v1"
    deadline = time.monotonic() + 60
    while not is_up(url) and time.monotonic() < deadline:
        time.sleep(0.05)

    httpx.get(f"{url}/login", params={"link": "polar_secret"}, timeout=30)
    with httpx.stream("GET", f"{url}/runs/{run_id}/events", headers=OWNER, timeout=30) as answer:
        lines = answer.iter_lines()
        first = next(lines)
        process.send_signal(signal.SIGTERM)
        process.wait(30)

    said = log.read_text()
    assert '"GET /api/v1/login HTTP/1.1" 401' in said
    assert "polar_secret" not in said
    assert first == "event: state"
    assert process.returncode in (0, -signal.SIGTERM)


def test_a_process_that_comes_after_a_killed_one_serves_whoever_connected_between(
    environment: dict[str, str],
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        environment |= {"POLAR_API_FD": str(listening.fileno())}
        url = f"http://127.0.0.1:{listening.getsockname()[1]}/api/v1/healthz"
        for _ in range(2):
            process = subprocess.Popen(
                [sys.executable, "-m", "service.api"],
                env=environment,
                pass_fds=[listening.fileno()],
            )
            try:
                answer = httpx.get(url, timeout=60)  # asked before it is up
            finally:
                process.kill()
                process.wait()

            assert answer.status_code == 200


def is_up(url: str) -> bool:
    try:
        return httpx.get(f"{url}/healthz").is_success
    except httpx.TransportError:
        return False


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"POLAR_API_HOST": "0.0.0.0"}, "cross the network unencrypted; allowed: 127.0.0.1"),
        ({"POLAR_API_HOST": "example.org"}, "POLAR_API_ALLOW_REMOTE=true"),
        ({"POLAR_API_PORT": "0"}, "POLAR_API_PORT is '0'; allowed: an integer from 1 to 65535"),
        ({"POLAR_TOKEN": ""}, "POLAR_TOKEN: this is no token; allowed: 32 to 512 characters"),
        ({"POLAR_TOKEN": "secret"}, "POLAR_TOKEN: this is no token; allowed: 32 to 512"),
    ],
)
def test_the_process_refuses_settings_that_cannot_be(
    wrong: dict[str, str], said: str, environment: dict[str, str]
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "service.api"],
        env=environment | wrong,
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert done.returncode == 1
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert environment["POLAR_DATABASE_URL"] not in done.stderr


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_the_api_may_listen_on_loopback(host: str, settings: Settings) -> None:
    assert Settings.model_validate(settings.model_dump() | {"api_host": host}).api_host == host


@pytest.mark.parametrize("allow_remote", ["true", "false"])
def test_the_process_refuses_to_start_without_a_token(
    allow_remote: str, environment: dict[str, str]
) -> None:
    del environment["POLAR_TOKEN"]

    done = subprocess.run(
        [sys.executable, "-m", "service.api"],
        env=environment | {"POLAR_API_ALLOW_REMOTE": allow_remote},
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert done.returncode == 1
    assert "POLAR_TOKEN is not set; allowed:" in done.stderr


def test_the_api_may_listen_elsewhere_when_it_is_told_so(settings: Settings) -> None:
    wanted = {"api_host": "0.0.0.0", "api_allow_remote": True}

    assert Settings.model_validate(settings.model_dump() | wanted).api_host == wanted["api_host"]
