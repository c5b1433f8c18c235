"""Which service commands speak to, and what they say where it does not answer."""

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from service.api import submission
from service.embedded.state import lock

if TYPE_CHECKING:
    from tests.service.cli.conftest import Polar, Write
    from tests.service.conftest import Worker


SPEC = "{dataset: {name: digits}, model: {}}"


@pytest.fixture(autouse=True)
async def _an_agent_is_there(worker: "Worker") -> None:
    await worker.announce()


async def test_a_service_that_is_not_there_is_said_so(
    polar: "Polar", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.client.connection.PAUSES_S", ())

    result = await polar("list", "--url", "http://127.0.0.1:1")

    assert result.exit_code == 3
    assert "http://127.0.0.1:1" in result.stderr
    assert "polar up" in result.stderr
    assert result.stdout == ""


async def test_commands_do_not_turn_to_the_stack_of_another_home(
    polar: "Polar", write: "Write", tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # With an empty home, they once listed and stored what another stack had on the default port.
    monkeypatch.setenv("POLAR_HOME", str(tmp_path / "empty"))
    spec = write(SPEC)

    for command in (["list"], ["submit", spec], ["study", "list"]):
        result = await polar(*command, service="")

        assert result.exit_code == 3
        assert result.stdout == ""
        assert result.stderr == (
            f"error: no stack runs in {tmp_path}/empty; start it with `polar up`, "
            "or name a service with --url or POLAR_URL\n"
        )


async def test_who_asks_a_stack_that_starts_or_stops_is_not_told_to_start_it(
    polar: "Polar", tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POLAR_HOME", str(tmp_path))
    with lock(tmp_path):
        result = await polar("list", service="")

    assert result.exit_code == 3
    assert result.stderr == (
        f"error: the stack of {tmp_path} is starting or stopping (process {os.getpid()}); "
        "try again in a moment\n"
    )


async def test_an_address_without_its_kind_is_refused_before_it_is_asked(polar: "Polar") -> None:
    result = await polar("list", "--url", "127.0.0.1:8650")

    assert result.exit_code == 2
    assert "allowed: http://host:port" in result.stderr


async def test_a_failure_of_the_service_names_its_request(
    polar: "Polar", write: "Write", monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object, **__: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(submission, "submit", fail)

    result = await polar("submit", write(SPEC))

    assert result.exit_code == 1
    assert re.fullmatch(
        r"error: the service failed; its log has the request_id: [0-9a-f]{32}\n", result.stderr
    )
