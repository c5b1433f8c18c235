"""`polar demo`, as a new user runs it, with nothing there yet."""

import json
import re
import subprocess
import sys
from pathlib import Path

#: Far more than it takes, also on a busy machine.
PATIENCE_S = 900


def test_the_demo_shows_every_regime_and_leaves_nothing_running(tmp_path: Path) -> None:
    polar = Path(sys.executable).with_name("polar")
    home = tmp_path / "home"

    done = subprocess.run(
        [polar, "demo", "--home", str(home)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )

    assert done.returncode == 0, done.stderr
    rows = [
        line.split() for line in done.stdout.splitlines() if re.match(r" *[\d.]+ +\d+ of", line)
    ]
    regimes = [row[6] for row in rows]
    assert [float(row[0]) for row in rows] == sorted(float(row[0]) for row in rows)
    assert regimes[0] == "under_regularised"
    assert "polarised" in regimes
    assert regimes[-1] == "collapsed"
    assert all("/runs/" in row[-1] for row in rows)
    assert not (home / "up.json").exists()
    assert (json.loads((home / "ports.json").read_text())).keys() == {"api", "mlflow"}
