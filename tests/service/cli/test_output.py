"""What becomes of output that cannot be printed: replaced, or one line and an exit code."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from service.cli import output
from tests.service.cli.terminals import terminal

if TYPE_CHECKING:
    from tests.service.cli.conftest import Process
    from tests.service.conftest import SpecMaker, Submitter

NAME = "\u540d\u524d \U0001f308 caf\u00e9"
COMMANDS = ["--version", "--help", "data list", "data path digits", "list -o json"]
POLAR = [sys.executable, "-m", "service.cli"]


def in_shell(line: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """What a shell makes of the line, in which `polar` is the command."""
    return subprocess.run(
        ["bash", "-c", f'set -o pipefail; polar() {{ {" ".join(POLAR)} "$@"; }}; {line}'],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.parametrize("redirection", [">/dev/full", ">&-"])
@pytest.mark.parametrize("command", COMMANDS)
def test_a_stdout_that_takes_nothing_gets_one_line(
    command: str, redirection: str, served: str
) -> None:
    done = in_shell(f"polar {command} {redirection}", POLAR_URL=served)

    assert done.returncode == 1
    assert done.stderr.startswith("error: cannot write to stdout: ")
    assert len(done.stderr.splitlines()) == 1


async def test_a_reader_who_has_read_enough_gets_one_line_on_stderr(
    served: str, submit: "Submitter", spec_of: "SpecMaker"
) -> None:
    for _ in range(3):
        await submit(spec_of(seeds=list(range(200))), force=True)

    done = in_shell("polar list -o json | (exec <&-; sleep 0)", POLAR_URL=served)

    assert done.returncode == 1
    assert done.stderr == "error: cannot write to stdout: Broken pipe\n"


@pytest.mark.parametrize("command", ["list -o json", "measure codes.npy -o json"])
def test_an_answer_is_not_lost_where_stderr_is_closed(
    command: str, served: str, tmp_path: Path
) -> None:
    # Measuring, and all that shows bars, ended with exit code 1 and an empty stdout.
    np.save(tmp_path / "codes.npy", np.random.default_rng(0).normal(size=(20, 2)))

    done = in_shell(f"cd {tmp_path}; polar {command} 2>&-", POLAR_URL=served)

    assert done.returncode == 0
    assert json.loads(done.stdout) is not None


def test_no_stream_at_all_is_no_traceback(served: str) -> None:
    done = in_shell("polar list <&- >&- 2>&-", POLAR_URL=served)

    assert (done.returncode, done.stdout, done.stderr) == (1, "", "")


def test_nobody_left_to_tell_is_no_traceback(served: str) -> None:
    done = in_shell("polar list >/dev/full 2>/dev/full", POLAR_URL=served)

    assert done.returncode == 1
    assert done.stderr == ""


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252"])
async def test_what_the_stream_cannot_encode_is_replaced(
    encoding: str,
    polar_process: "Process",
    submit: "Submitter",
    spec_of: "SpecMaker",
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    experiment = (await submit(spec_of(name=NAME))).experiment
    monkeypatch.setenv("PYTHONIOENCODING", encoding)

    listed = await polar_process("list")
    as_json = await polar_process("get", experiment.id, "-o", "json")
    refused = await polar_process("get", f"{NAME}?")

    assert (listed.exit_code, as_json.exit_code, refused.exit_code) == (0, 0, 2)
    assert "?? ? caf" in listed.stdout
    assert experiment.id.hex[:8] in listed.stdout
    assert json.loads(as_json.stdout)["name"] == NAME  # of which nothing may be lost
    assert "no id begins so" in refused.stderr


async def test_json_in_utf_8_is_as_it_is(
    polar_process: "Process", submit: "Submitter", spec_of: "SpecMaker"
) -> None:
    await submit(spec_of(name=NAME))

    assert NAME in (await polar_process("list", "-o", "json")).stdout


def test_a_file_that_cannot_be_written_is_not_blamed_on_stdout(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    done = in_shell(f"polar run {tmp_path}/none.yaml --out {tmp_path}/file/below")

    assert done.returncode == 2
    assert "stdout" not in done.stderr


@pytest.mark.parametrize(
    ("setting", "width"), [("70", 70), ("0", 80), ("", 80), ("many", 80), ("1", 20)]
)
def test_columns_of_the_environment_count(
    setting: str, width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with terminal(80, monkeypatch):
        monkeypatch.setenv("COLUMNS", setting)
        assert output.console_on(sys.stdout).width == width


def test_a_terminal_that_can_show_little_has_its_width_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with terminal(60, monkeypatch):
        monkeypatch.setenv("TERM", "dumb")
        assert output.console_on(sys.stdout).options.max_width == 60
