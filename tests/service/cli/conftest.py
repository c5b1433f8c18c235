"""How tests run the commands that speak with the service."""

import asyncio
import os
import socket
import sys
from asyncio.subprocess import PIPE
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

import pytest
from typer.testing import CliRunner, Result

from tests.service.cli.specs import SPEC

if TYPE_CHECKING:
    from tests.conftest import Reports
    from tests.service.conftest import SpecMaker, Submitter, Worker

Polar = Callable[..., Coroutine[None, None, Result]]
Process = Callable[..., Coroutine[None, None, "Ended"]]
Write = Callable[[str], Path]


@pytest.fixture
def polar(served: str) -> Polar:
    """Runs a command in this process, one at a time: it takes over stdout."""
    # Here, because what a conftest imports at its top escapes the checks of shapes.
    from service.cli import app

    async def run(*arguments: object, service: str = served) -> Result:
        line = [str(argument) for argument in arguments]
        return await asyncio.to_thread(CliRunner().invoke, app, line, env={"POLAR_URL": service})

    return run


@dataclass(frozen=True)
class Ended:
    """What a process said, and how it ended."""

    exit_code: int | None
    stdout: str
    stderr: str


@pytest.fixture
def polar_process(served: str) -> Process:
    """Runs a command in a process of its own, beside the test and other commands."""

    async def run(*arguments: object) -> Ended:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "service.cli", *map(str, arguments),
            env=os.environ | {"POLAR_URL": served}, stdout=PIPE, stderr=PIPE,
        )  # fmt: skip
        said = [text.decode(errors="replace") for text in await process.communicate()]
        return Ended(process.returncode, *said)

    return run


@pytest.fixture
async def finished_run(
    worker: "Worker", submit: "Submitter", spec_of: "SpecMaker", reports: "Reports"
) -> UUID:
    """The id of a run that has succeeded after 100 steps."""
    spec = spec_of(training={"steps": 100})
    run_id = (await submit(spec)).runs[0].id
    await worker.claim(run_id)
    await worker.record(run_id, reports.result(spec))
    await worker.finish(run_id)
    return run_id


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a spec file."""

    def to_file(text: str) -> Path:
        path = tmp_path / "spec.yaml"
        path.write_text(text)
        return path

    return to_file


@pytest.fixture
def special_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A socket that must survive the test; it stands for devices and pipes, but never blocks."""
    path = tmp_path / "special.png"
    monkeypatch.chdir(tmp_path)  # a socket's path must be short
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(path.name)
    yield path
    assert path.is_socket()


@pytest.fixture(params=[60, 80, 200])
def columns(request: pytest.FixtureRequest) -> int:
    """The width of a terminal."""
    return int(request.param)


@pytest.fixture
def spec(write: Write) -> Path:
    """The file of a spec with two seeds."""
    return write(SPEC)
