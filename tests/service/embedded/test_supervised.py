import itertools
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from service.embedded.supervised import (
    Launch,
    Supervised,
    has_client,
    last_lines,
    next_delay,
    spawn,
    stop_all,
)

STUBBORN = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("ready", flush=True)
time.sleep(600)
"""


def true() -> subprocess.Popen[bytes]:
    process = subprocess.Popen(["true"])
    process.wait()
    return process


def test_the_delay_doubles_to_ten_seconds() -> None:
    delays = list(
        itertools.accumulate(range(6), lambda delay, _: next_delay(delay, 0.1), initial=0.0)
    )

    assert delays == [0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 10.0]


def test_a_long_life_resets_the_delay() -> None:
    assert next_delay(10.0, lived_s=59.9) == 10.0
    assert next_delay(10.0, lived_s=60.0) == 0.5


def test_a_process_that_ends_well_is_started_again_all_the_same() -> None:
    process = Supervised("short", true)

    assert process.watch(now=100.0) is None
    assert process.watch(now=100.1) == "short ended with code 0; it starts again in 0.5 s"
    assert process.pid is None
    assert process.watch(now=100.5) is None
    assert process.pid is None  # not yet
    assert process.watch(now=100.6) is None
    assert process.pid is not None
    assert process.watch(now=100.7) == "short ended with code 0; it starts again in 1 s"


def test_a_process_that_is_needed_at_times_is_started_when_it_is() -> None:
    needs: list[str] = []
    process = Supervised("server", true, is_needed=lambda: bool(needs))

    assert process.watch(now=100.0) is None
    assert process.pid is None
    needs.append("a client")
    process.watch(now=100.1)
    assert process.pid is not None
    needs.clear()
    assert process.watch(now=100.2) is None  # it ends well, so there is nothing to say
    assert process.pid is None
    process.watch(now=200.0)
    assert process.pid is None


def test_a_process_that_dies_is_started_again_even_if_nobody_needs_it_then() -> None:
    needs = ["a client"]
    process = Supervised(
        "server", lambda: subprocess.Popen(["false"]), is_needed=lambda: bool(needs.pop())
    )

    process.watch(now=100.0)
    assert process.pid is not None
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    news = process.watch(now=100.1)
    process.watch(now=100.7)

    assert news == "server ended with code 1; it starts again in 0.5 s"
    assert process.pid is not None
    stop_all([process], within_s=10)


def test_a_socket_has_a_client_until_that_is_accepted() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        before = has_client(listening.fileno())
        with socket.create_connection(listening.getsockname()):
            during = has_client(listening.fileno())
            listening.accept()[0].close()
            after = has_client(listening.fileno())

    assert (before, during, after) == (False, True, False)


def test_a_program_that_cannot_start_is_tried_again(tmp_path: Path) -> None:
    launch = Launch("ghost", ["/no/such/program"])
    process = Supervised("ghost", lambda: spawn(launch, tmp_path / "ghost.log"))

    news = process.watch(now=1.0)

    assert news is not None
    assert "ghost could not start: [Errno 2]" in news
    assert process.watch(now=1.1) is None


def test_a_running_process_is_left_alone(tmp_path: Path) -> None:
    launch = Launch("sleeper", ["sleep", "600"])
    process = Supervised("sleeper", lambda: spawn(launch, tmp_path / "log"))

    process.watch(now=0.0)
    pid = process.pid
    process.watch(now=1000.0)

    assert process.pid == pid
    stop_all([process], within_s=10)


def test_output_is_added_to_the_log_and_the_environment_to_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OURS", "a")
    launch = Launch("shell", ["sh", "-c", "echo $OURS $ITS; echo oops >&2"], {"ITS": "b"})
    log = tmp_path / "shell.log"
    log.write_text("before\n")

    assert spawn(launch, log).wait(30) == 0

    assert log.read_text() == "before\na b\noops\n"
    assert last_lines(log) == "before\na b\noops"


def test_a_process_that_does_not_stop_is_killed(
    tmp_path: Path, eventually: Callable[[Callable[[], object]], None]
) -> None:
    log = tmp_path / "log"
    launch = Launch("stubborn", [sys.executable, "-c", STUBBORN])
    process = Supervised("stubborn", lambda: spawn(launch, log))
    process.watch(now=0.0)
    eventually(lambda: log.read_text() == "ready\n")

    stop_all([process], within_s=0.2)

    assert not Path(f"/proc/{process.pid}").exists()


def test_stopping_what_never_started_is_nothing() -> None:
    stop_all([Supervised("never", true)], within_s=0.0)
