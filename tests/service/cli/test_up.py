"""`polar up` looks at its settings before it starts anything."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

STACK_THAT_SPEAKS = """
import sys
from service import cli
from service.embedded import supervisor

def up(home, agents, device, say, lets_in):
    assert not lets_in  # a pipe is no terminal
    for part in ("starting", "stopping"):
        say(part)
    home.touch()

supervisor.up = up
sys.argv[0] = "polar"
cli.main()
"""


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        # It started, and its agents died and were started again for ever, each with the reason
        # in its log.
        ({"POLAR_LEASE_S": "10"}, "POLAR_LEASE_S is 10.0 while POLAR_RENEW_S is 5.0; allowed"),
        ({"POLAR_HEARTBEAT_S": "soon"}, "POLAR_HEARTBEAT_S is 'soon'; allowed: a number"),
        ({"POLAR_API_WORKERS": "0"}, "POLAR_API_WORKERS is '0'; allowed: an integer from 1 to 16"),
        ({"POLAR_MEASURE_AT_ONCE": "0"}, "POLAR_MEASURE_AT_ONCE is '0'; allowed: an integer"),
    ],
)
def test_wrong_settings_are_refused_and_nothing_is_started(
    wrong: dict[str, str], said: str, tmp_path: Path
) -> None:
    home = tmp_path / "home"

    done = subprocess.run(
        [sys.executable, "-m", "service.cli", "up", "--home", str(home)],
        env=os.environ | wrong,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 2
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"error: the environment has wrong settings: {said}")
    assert not home.exists()


def test_what_is_named_and_not_used_is_said(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", STACK_THAT_SPEAKS, "up", "--home", str(tmp_path / "stopped")],
        env=os.environ
        | {
            "POLAR_DATABASE_URL": "postgres://me:secret@db.example/app",
            "POLAR_MODEL_PACKAGES": "json nowhere_nets nobody-nets",
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 0
    assert "POLAR_DATABASE_URL is set, but `polar up` runs a database of its own" in done.stderr
    assert "secret" not in done.stderr + done.stdout
    said = "POLAR_MODEL_PACKAGES names nobody-nets, nowhere_nets, which is not installed"
    assert said in done.stderr


def test_a_closed_terminal_does_not_keep_the_stack_from_stopping(tmp_path: Path) -> None:
    stopped = tmp_path / "stopped"
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-c", STACK_THAT_SPEAKS, "up", "--home", str(stopped)],
            stdout=full,
            stderr=full,
            timeout=60,
            check=False,
        )

    assert done.returncode == 1  # as of all commands that could not say what they had to
    assert stopped.exists()
