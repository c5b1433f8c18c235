"""The process that makes findings, beside processes that are not to notice it."""

import json
import os
import subprocess
import sys
from pathlib import Path

from workers.training.messages import Failure, from_line

NICENESS = 19


def test_it_leaves_the_processors_to_others_as_a_process_and_as_a_session() -> None:
    child = subprocess.Popen(
        [sys.executable, "-m", "workers.training.findings_child", str(NICENESS)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    with child:
        assert child.stdin
        assert child.stdout
        child.stdin.write(b"/nonexistent\n")
        child.stdin.flush()
        answer = from_line(child.stdout.readline())

        assert isinstance(answer, Failure)
        assert os.getpriority(os.PRIO_PROCESS, child.pid) == NICENESS
        autogroup = Path(f"/proc/{child.pid}/autogroup")
        if autogroup.exists():  # Linux can be built without them
            assert autogroup.read_text().endswith(f" nice {NICENESS}\n")
        child.stdin.close()


def test_what_it_logs_has_the_form_of_the_environment() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "workers.training.findings_child", "0"],
        env=os.environ | {"POLAR_LOG_FORMAT": "json"},
        input=b"/nonexistent\n",
        capture_output=True,
        check=True,
    )

    (said,) = map(json.loads, done.stderr.splitlines())
    assert said["message"] == "the findings in /nonexistent were not made"
    assert "Traceback" in said["traceback"]
