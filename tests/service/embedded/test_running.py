import json
import os
from http import HTTPStatus
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from service.embedded.errors import EmbeddedError
from service.embedded.running import (
    RunningStack,
    find_running,
    login_link,
    publish,
    running_stack,
    wait_until_healthy,
    withdraw,
)
from service.embedded.state import lock
from service.homes import TOKEN_FILE
from tests.service.conftest import TOKEN
from tests.service.servers import server_that_answers

HOME_ID = "0" * 32


def a_stack(url: str = "http://127.0.0.1:1") -> RunningStack:
    return RunningStack(url, url, url, os.getpid(), {"api": 12}, HOME_ID)


def test_a_stack_is_found_as_it_was_published(tmp_path: Path) -> None:
    with lock(tmp_path):
        publish(tmp_path, a_stack())

        assert find_running(tmp_path) == a_stack()


def test_nothing_runs_in_an_empty_home(tmp_path: Path) -> None:
    assert find_running(tmp_path) is None
    assert find_running(tmp_path / "none") is None


def test_a_stack_of_an_earlier_version_is_to_be_stopped_first(tmp_path: Path) -> None:
    with lock(tmp_path):
        old = {"api": "http://a", "mlflow": "http://m", "pid": os.getpid(), "processes": {}}
        (tmp_path / "up.json").write_text(json.dumps(old))

        with pytest.raises(EmbeddedError, match=f"earlier version; .* process {os.getpid()}"):
            find_running(tmp_path)


def test_what_a_dead_supervisor_left_fools_nobody(tmp_path: Path) -> None:
    with lock(tmp_path):
        publish(tmp_path, a_stack())

    assert find_running(tmp_path) is None


def test_what_the_last_supervisor_left_is_not_taken_for_the_next(tmp_path: Path) -> None:
    url = "http://old"
    publish(tmp_path, RunningStack(url, url, url, os.getpid() + 1, {}, HOME_ID))

    with lock(tmp_path):
        assert find_running(tmp_path) is None


def test_a_stack_that_was_withdrawn_is_not_found(tmp_path: Path) -> None:
    with lock(tmp_path):
        publish(tmp_path, a_stack())
        withdraw(tmp_path)
        withdraw(tmp_path)

        assert find_running(tmp_path) is None


def test_only_the_owner_may_read_where_the_stack_is(tmp_path: Path) -> None:
    publish(tmp_path, a_stack())

    assert (tmp_path / "up.json").stat().st_mode & 0o777 == 0o600


def test_a_stack_that_runs_is_used_and_left_running(tmp_path: Path) -> None:
    with server_that_answers(HTTPStatus.OK) as url, lock(tmp_path):
        publish(tmp_path, a_stack(url))

        with running_stack(tmp_path) as stack:
            assert stack == a_stack(url)

        assert find_running(tmp_path) == a_stack(url)


def test_a_stack_that_is_not_ready_is_not_waited_for_without_end(tmp_path: Path) -> None:
    with server_that_answers(HTTPStatus.SERVICE_UNAVAILABLE) as url, lock(tmp_path):
        publish(tmp_path, a_stack(url))

        with pytest.raises(EmbeddedError, match=r"not healthy after 0 s \(.*health, .*readyz\)"):
            wait_until_healthy(tmp_path, within_s=0)


def test_a_stack_whose_servers_are_silent_is_not_healthy(tmp_path: Path) -> None:
    with lock(tmp_path):
        publish(tmp_path, a_stack("http://127.0.0.1:1"))

        with pytest.raises(EmbeddedError, match="not healthy"):
            wait_until_healthy(tmp_path, within_s=0)


def test_a_folder_of_the_user_is_not_taken_for_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("service", "workers", "polar"):
        (tmp_path / "own" / name).mkdir(parents=True)
        (tmp_path / "own" / name / "__init__.py").write_text(f"raise SystemExit('my {name}')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "own"))
    monkeypatch.chdir(tmp_path / "own")

    with (
        pytest.raises(EmbeddedError, match=r"device 'tpu' is not on this machine"),
        running_stack(tmp_path / "home", device="tpu"),
    ):
        pass


def test_a_stack_that_cannot_start_tells_why(tmp_path: Path) -> None:
    with (
        pytest.raises(
            EmbeddedError, match=r"(?s)did not start:.*device 'tpu' is not on this machine"
        ),
        running_stack(tmp_path, device="tpu"),
    ):
        pass

    assert find_running(tmp_path) is None


def test_the_link_of_a_stack_lets_a_browser_in_to_steer(served: str, tmp_path: Path) -> None:
    (tmp_path / TOKEN_FILE).write_text(TOKEN)

    link = login_link(tmp_path, a_stack(served))

    assert link is not None
    with httpx.Client() as browser:
        assert browser.get(link).status_code == 303
        refused = browser.post(f"{served}/api/v1/studies/{uuid4()}/pause")
        assert refused.status_code == 404  # it may pause studies, and there is none


@pytest.mark.parametrize("token", [TOKEN[::-1], None])
def test_a_stack_that_refuses_has_no_link(served: str, tmp_path: Path, token: str | None) -> None:
    (tmp_path / TOKEN_FILE).write_text(token or TOKEN)

    assert login_link(tmp_path, a_stack(served if token else "http://127.0.0.1:1")) is None
