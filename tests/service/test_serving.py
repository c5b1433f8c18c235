"""Servers have room for those who ask, whoever else is connected."""

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

#: So few files that 100 connections have room.
FILES, ROOM = 400, 100
SERVER = f"""
import asyncio, os, resource, sys
import uvicorn
from service.serving import Protocol, serve

resource.setrlimit(resource.RLIMIT_NOFILE, ({FILES}, {FILES}))

async def app(scope, receive, send):
    if scope["type"] != "http":
        raise NotImplementedError
    await send({{"type": "http.response.start", "status": 200, "headers": []}})
    if scope["path"] == "/watched":
        await send({{"type": "http.response.body", "body": b"begins", "more_body": True}})
        while not os.path.exists(sys.argv[2]):
            await asyncio.sleep(0.05)
    if scope["path"] == "/large":
        for _ in range(1000):
            await send({{"type": "http.response.body", "body": bytes(65_536), "more_body": True}})
    await send({{"type": "http.response.body", "body": b"ends"}})

serve(uvicorn.Config(app, http=Protocol, fd=int(sys.argv[1]), log_level="critical"))
"""
HALF = b"GET / HTTP/1.1\r\nHost: local"
ANSWERED_ONCE = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\nGET"
SLOW_BODY = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n"
UNREAD = b"GET /large HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.fixture
def ending(tmp_path: Path) -> Path:
    """The file that ends what is watched, once it is there."""
    return tmp_path / "ends"


@pytest.fixture
def address(ending: Path) -> Iterator[tuple[str, int]]:
    with socket.create_server(("127.0.0.1", 0), backlog=FILES) as listening:
        descriptor = listening.fileno()
        process = subprocess.Popen(
            [sys.executable, "-c", SERVER, str(descriptor), str(ending)], pass_fds=[descriptor]
        )
        try:
            yield listening.getsockname()
        finally:
            process.kill()
            process.wait()


def ask(address: tuple[str, int]) -> httpx.Response:
    return httpx.get(f"http://127.0.0.1:{address[1]}/", timeout=60)


@pytest.mark.parametrize(
    "said",
    [b"", HALF, ANSWERED_ONCE, SLOW_BODY, UNREAD],
    ids=["silent", "half", "once", "slow", "unread"],
)
def test_connections_that_nobody_waits_on_keep_nobody_out(
    said: bytes, address: tuple[str, int], ending: Path
) -> None:
    with (
        httpx.stream("GET", f"http://127.0.0.1:{address[1]}/watched", timeout=60) as watched,
        ExitStack() as held,
    ):
        lines = watched.iter_text()
        begins = next(lines)
        answers = []
        for _ in range(3):  # together more than the server may open files
            for _ in range(FILES // 2):
                connection = held.enter_context(socket.create_connection(address, timeout=60))
                connection.sendall(said)
            answers.append(ask(address).text)
        ending.touch()
        ends = next(lines)

    assert answers == ["ends"] * 3
    assert (begins, ends) == ("begins", "ends")


def test_where_all_are_being_answered_the_next_hears_why_not(
    address: tuple[str, int], ending: Path
) -> None:
    with ExitStack() as held:
        for _ in range(ROOM):
            connection = held.enter_context(socket.create_connection(address, timeout=60))
            connection.sendall(b"GET /watched HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert connection.recv(65_536)
        refused = [ask(address) for _ in range(2)]
        held.pop_all().close()
        while (after := ask(address)).status_code != httpx.codes.OK:
            pass
        ending.touch()

    assert [answer.status_code for answer in refused] == [503, 503]
    assert refused[0].headers["content-type"] == "application/problem+json"
    assert refused[0].headers["retry-after"] == "5"
    assert f"all {ROOM} connections of this server are in use" in refused[0].json()["detail"]
    assert after.text == "ends"
