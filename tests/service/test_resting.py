"""Servers that end when nobody asks them anything, and lose no request by it."""

import asyncio
import json
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import httpx
import pytest
import uvicorn
from starlette.types import Receive, Scope, Send

from service import resting
from service.embedded.supervised import has_client

#: Answers with its pid, after as many seconds as the path says.
SERVER = """
import asyncio, os, sys
from service import resting

async def app(scope, receive, send):
    if scope["type"] != "http":
        raise NotImplementedError
    await asyncio.sleep(float(scope["path"][1:] or 0))
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": str(os.getpid()).encode()})

resting.serve(app, int(sys.argv[1]), quiet_s=float(sys.argv[2]))
"""
REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
#: Longer than a server takes to start and an answer to come, on a busy machine, too.
PATIENCE_S = 60.0


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as held:
        yield held


@contextmanager
def server(listening: socket.socket, quiet_s: float) -> Iterator[subprocess.Popen[bytes]]:
    descriptor = listening.fileno()
    process = subprocess.Popen(
        [sys.executable, "-c", SERVER, str(descriptor), str(quiet_s)], pass_fds=[descriptor]
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def ask(listening: socket.socket, path: str = "") -> int:
    """The server that answers."""
    port = listening.getsockname()[1]
    answer = httpx.get(f"http://127.0.0.1:{port}/{path}", timeout=PATIENCE_S)
    return int(json.loads(answer.content))


async def until(claim: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while True:
            if claim():
                return
            await asyncio.sleep(0.01)


def test_it_answers_and_then_ends_well_when_nobody_asks(listening: socket.socket) -> None:
    with server(listening, quiet_s=0.1) as process:
        answer = ask(listening)

        assert answer == process.pid
        assert process.wait(PATIENCE_S) == 0


def test_an_answer_that_takes_longer_than_the_quiet_time_is_given(
    listening: socket.socket,
) -> None:
    with server(listening, quiet_s=0.1) as process:
        assert ask(listening, "0.5") == process.pid


def test_a_client_that_comes_while_it_rests_is_answered_by_the_next(
    listening: socket.socket,
) -> None:
    with server(listening, quiet_s=0.0) as first:
        assert first.wait(PATIENCE_S) == 0
    with socket.create_connection(listening.getsockname()) as client:
        client.sendall(REQUEST)
        assert has_client(listening.fileno())
        with server(listening, quiet_s=PATIENCE_S) as second:
            client.settimeout(PATIENCE_S)
            answer = client.makefile("rb").read()

    assert str(second.pid).encode() in answer


async def test_a_client_that_was_accepted_in_the_last_moment_is_answered_and_others_wait(
    listening: socket.socket,
) -> None:
    async def app(scope: Scope, _: Receive, send: Send) -> None:
        assert scope["type"] == "http"
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"here you are"})

    config = uvicorn.Config(app, fd=listening.fileno(), log_level="warning", lifespan="off")
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    await until(lambda: server.started)
    reader, writer = await asyncio.open_connection(*listening.getsockname())
    await until(lambda: bool(server.server_state.connections))

    resting_by_now = asyncio.create_task(resting._rest(server))
    await asyncio.sleep(0.3)  # longer than uvicorn takes to look whether it is to end
    with socket.create_connection(listening.getsockname()):
        assert has_client(listening.fileno())
    writer.write(REQUEST)
    answer = await reader.read()
    writer.close()

    assert b"here you are" in answer
    await asyncio.gather(resting_by_now, serving, writer.wait_closed())


def test_it_ends_when_it_is_told_to(listening: socket.socket) -> None:
    with server(listening, quiet_s=PATIENCE_S) as process:
        ask(listening)

        process.terminate()

        assert process.wait(PATIENCE_S) in (0, -signal.SIGTERM)


def test_an_application_that_cannot_start_ends_the_server_with_an_error(
    listening: socket.socket,
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "service.resting", "no.such:app", str(listening.fileno())],
        pass_fds=[listening.fileno()],
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_S,
    )

    assert done.returncode != 0
    assert "No module named 'no'" in done.stderr
