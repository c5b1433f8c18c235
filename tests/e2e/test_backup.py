"""A home is backed up while its study runs, everything is killed, and another home finishes it."""

import csv
import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from service.embedded.running import running_stack

#: Far more than it takes, also on a busy machine.
PATIENCE_S = 900

SPEC = """
name: interrupted
base:
  dataset: {name: digits, images: 200}
  model: {latent_dim: 3, widths: [4, 4, 4, 4, 4]}
  training: {steps: 60, batch_size: 50}
  diagnostics: {images: 100}
  seeds: [0, 1]
search:
  model.beta: {log_uniform: [1e-2, 100]}
budget: {trials: 8}
concurrency: 2
"""


def polar(*arguments: object, home: Path) -> str:
    """What the command prints that speaks to the stack of this home."""
    done = subprocess.run(
        [Path(sys.executable).with_name("polar"), *map(str, arguments)],
        env=os.environ | {"POLAR_HOME": str(home)},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def study_of(home: Path, study_id: str, command: str = "show") -> Any:  # noqa: ANN401
    return json.loads(polar("study", command, study_id, "-o", "json", home=home))


def numbers_of(home: Path, study_id: str) -> list[dict[str, str]]:
    """The rows of all trials, without what differs between two trainings of the same spec."""
    text = polar("study", "export", study_id, home=home)
    rows = csv.DictReader(io.StringIO(text))
    return [
        {name: value for name, value in row.items() if "objective" in name or "model" in name}
        for row in rows
    ]


def without_ids(value: Any) -> Any:  # noqa: ANN401
    """A JSON value without the ids of runs, which are new where a run began after the backup."""
    if isinstance(value, dict):
        return {name: without_ids(each) for name, each in value.items() if name != "run_id"}
    return [without_ids(each) for each in value] if isinstance(value, list) else value


def test_a_study_goes_on_in_a_home_that_was_restored(open_folder: Path) -> None:
    home, other = open_folder / "home", open_folder / "other"
    spec, backup = open_folder / "study.yaml", open_folder / "backup"
    spec.write_text(SPEC)

    with running_stack(home, agents=1, device="cpu") as stack:
        study_id = json.loads(polar("study", "create", spec, "-o", "json", home=home))["id"]
        deadline = time.monotonic() + PATIENCE_S
        while study_of(home, study_id)["trials"].get("completed", 0) < 2:
            assert time.monotonic() < deadline
            time.sleep(0.2)
        polar("backup", backup, home=home)
        whole = study_of(home, study_id, "watch")
        numbers = numbers_of(home, study_id)
        os.kill(stack.pid, signal.SIGKILL)
    polar("restore", backup, home=other)
    open_to_others = [
        path
        for path in (*backup.rglob("*"), *other.rglob("*"))
        if not path.is_relative_to(other / "postgres") and path.lstat().st_mode & 0o077
    ]
    with running_stack(other, agents=1, device="cpu"):
        restored = study_of(other, study_id, "watch")
        restored_numbers = numbers_of(other, study_id)

    assert open_to_others == []
    # no program wanted more of the database than its role may
    for log in (home / "log" / "postgres.log", other / "log" / "postgres.log"):
        assert "permission denied" not in log.read_text()
    # what had not ended by then was trained again
    assert "started child" in (other / "log" / "agent-0.log").read_text()
    assert (whole["state"], restored["state"]) == ("completed", "completed")
    assert restored["trials"] == whole["trials"] == {"completed": 8}
    assert without_ids(restored["range"]) == without_ids(whole["range"])
    assert len(numbers) == 8
    assert restored_numbers == numbers
    assert {path.stat().st_mode & 0o077 for path in (backup, backup / "database.json")} == {0}
