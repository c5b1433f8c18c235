"""`polar demo`, as a new user runs it, with nothing there yet."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd

#: Far more than it takes, also on a busy machine.
PATIENCE_S = 900
#: One in the middle, one on either side of it, one more: the fewest that see every regime.
TRIALS = 4


def test_the_demo_ends_with_every_regime_a_range_and_its_figure_and_leaves_nothing_running(
    open_folder: Path, tmp_path: Path
) -> None:
    polar = Path(sys.executable).with_name("polar")
    home = open_folder / "home"

    done = subprocess.run(
        [polar, "demo", "--trials", f"{TRIALS}", "--home", str(home)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )

    assert done.returncode == 0, done.stderr
    rows = [
        line.split() for line in done.stdout.splitlines() if re.match(r" *[\d.]+ +\d+ of", line)
    ]
    betas, regimes = [float(row[0]) for row in rows], [row[6] for row in rows]
    assert len(rows) == TRIALS
    assert betas == sorted(betas)
    assert regimes[0] == "under_regularised"
    assert "polarised" in regimes
    assert regimes[-1] == "collapsed"
    assert all("/runs/" in row[-1] for row in rows)
    assert re.search(
        r"^beta: polarised from [\d.]+\.\.[\d.]+ to [\d.]+", done.stdout, re.MULTILINE
    )
    picture = home / "demo" / "digits.png"
    assert done.stdout.splitlines()[-1] == f"drawn in {picture}"
    assert picture.read_bytes().startswith(b"\x89PNG")
    drawn = pd.read_csv(picture.with_suffix(".csv"))
    assert sorted(drawn["regime"].dropna()) == sorted(regimes)
    assert not (home / "up.json").exists()
    assert json.loads((home / "ports.json").read_text()).keys() >= {"api", "mlflow"}
