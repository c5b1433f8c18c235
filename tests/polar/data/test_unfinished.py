"""Half-made files, made by one process at a time; some tests kill a real one."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from polar.data.unfinished import locked, put_in_place
from polar.files import unfinished

#: Holds the lock, says so, and makes the file as soon as it is told to.
HOLDER = """
import sys
from pathlib import Path
from polar.data.unfinished import locked, put_in_place
from polar.files import unfinished
path = Path(sys.argv[1])
with locked(unfinished(path)) as file:
    file.write(b"of another process")
    file.flush()
    print("locked", flush=True)
    sys.stdin.readline()
    put_in_place(file, unfinished(path), path)
"""


def hold(path: Path) -> "subprocess.Popen[str]":
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "locked\n"
    return holder


def test_a_file_gets_its_name_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "new" / "file"

    with locked(unfinished(path)) as file:
        file.write(b"content")
        before = os.listdir(path.parent)
        put_in_place(file, unfinished(path), path)

    assert before == ["file.part"]
    assert os.listdir(path.parent) == ["file"]
    assert path.read_bytes() == b"content"


def test_it_may_be_read_by_whoever_may_read_other_files(tmp_path: Path) -> None:
    (tmp_path / "other").write_bytes(b"")

    with locked(tmp_path / "file.part"):
        pass

    mode = (tmp_path / "file.part").stat().st_mode
    assert mode == (tmp_path / "other").stat().st_mode


def test_what_is_in_a_half_made_file_stays_in_it(tmp_path: Path) -> None:
    (tmp_path / "file.part").write_bytes(b"begin")

    with locked(tmp_path / "file.part") as file:
        begin = file.read()
        file.write(b"ning")

    assert begin == b"begin"
    assert (tmp_path / "file.part").read_bytes() == b"beginning"


def test_a_second_process_waits_and_then_has_a_file_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "file"
    first = hold(path)
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as second:
        first.communicate("go\n", timeout=60)
        told, _ = second.communicate("go\n", timeout=60)

    assert (first.returncode, second.returncode) == (0, 0)
    assert told == "locked\n"
    assert path.read_bytes() == b"of another process"
    assert os.listdir(tmp_path) == ["file"]


def test_a_process_that_is_killed_leaves_its_half_to_the_next(tmp_path: Path) -> None:
    path = tmp_path / "file"
    holder = hold(path)

    holder.send_signal(signal.SIGKILL)
    holder.communicate(timeout=60)
    with locked(unfinished(path)) as file:
        found = file.read()

    assert not path.exists()
    assert found == b"of another process"


def test_a_folder_that_cannot_be_made_is_an_error_of_the_system(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")

    with pytest.raises(OSError, match="File exists"), locked(tmp_path / "file" / "part"):
        pass
