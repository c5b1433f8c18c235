"""A storm wakes what it has frozen, also while it waits for the frozen process itself."""

import random
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import psycopg
import pytest

from benchmarks import storm
from benchmarks.storm import Records, Storm

ECHO = "import sys\nfor line in sys.stdin: print(line, end='', flush=True)"


def test_a_frozen_process_wakes_while_its_answer_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipe = subprocess.PIPE
    with subprocess.Popen(
        [sys.executable, "-c", ECHO], stdin=pipe, stdout=pipe, text=True
    ) as child:
        assert child.stdin
        assert child.stdout
        stack = SimpleNamespace(processes={"postgres": child.pid})
        monkeypatch.setattr(storm, "find_running", lambda _home: stack)
        monkeypatch.setattr(storm, "FREEZES", 1)  # every stroke does
        monkeypatch.setattr(storm, "FROZEN_S", (0.5, 0.5))
        strokes = Storm(tmp_path, random.Random(0), every_s=60)

        strokes.blow()
        child.stdin.write("are you there?\n")
        child.stdin.flush()
        answer = child.stdout.readline()
        strokes.end()
        child.stdin.close()

    assert strokes.strokes == {"postgres frozen": 1}
    assert answer == "are you there?\n"


def test_a_database_that_never_answers_again_is_not_asked_for_ever(tmp_path: Path) -> None:
    (tmp_path / "database.json").write_text(
        '{"user": "a", "password": "b", "host": "127.0.0.1", "port": 9}'
    )
    records = Records(tmp_path, until=time.monotonic())

    with pytest.raises(psycopg.OperationalError):
        records.rows("select 1")
