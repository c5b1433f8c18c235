"""`polar demo`, as a new user runs it, with nothing there yet."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

#: Far more than it takes, also on a busy machine.
PATIENCE_S = 900
#: The fewest that see both sides of the band.
TRIALS = 6
#: A row of the table: beta, active and idle latents, P, R with its error, verdict with flaws,
#: whether it has settled, and the link.
ROW = re.compile(
    r" *(?P<beta>[\d.]+) +\d+ of 16(, \d+ idle)? +[\d.]+ +-?[\d.]+ ± [\d.]+ +(?P<regime>\w+)"
    r"( \([\w, ]+\))? +(yes|no) +(?P<link>\S+)"
)


def demo(trials: int, home: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    polar = Path(sys.executable).with_name("polar")
    return subprocess.run(
        [polar, "demo", "--trials", f"{trials}", "--home", str(home)],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )


def test_the_demo_tries_what_it_is_asked_to_and_leaves_nothing_running(
    open_folder: Path, tmp_path: Path
) -> None:
    home = open_folder / "home"

    done = demo(1, home, tmp_path)

    assert done.returncode == 0, done.stderr
    (row,) = [row for line in done.stdout.splitlines() if (row := ROW.match(line))]
    assert "/runs/" in row["link"]
    assert done.stdout.splitlines()[-1] == f"drawn in {home / 'demo' / 'digits.png'}"
    assert (home / "demo" / "digits.png").read_bytes().startswith(b"\x89PNG")
    assert not (home / "up.json").exists()


@pytest.mark.slow
def test_the_demo_ends_with_both_sides_of_the_band_and_its_figure_and_leaves_nothing_running(
    open_folder: Path, tmp_path: Path
) -> None:
    home = open_folder / "home"

    done = demo(TRIALS, home, tmp_path)

    assert done.returncode == 0, done.stderr
    rows = [row for line in done.stdout.splitlines() if (row := ROW.match(line))]
    betas, regimes = [float(row["beta"]) for row in rows], [row["regime"] for row in rows]
    assert len(rows) == TRIALS, done.stdout
    assert betas == sorted(betas)
    assert regimes[0] in ("under_regularised", "forming"), done.stdout
    assert "clean" in regimes, done.stdout
    assert regimes[-1] == "collapsed", done.stdout
    assert all("/runs/" in row["link"] for row in rows)
    assert re.search(
        r"^beta: Clean for seed 0 alone: left edge [\d.]+\.\.[\d.]+ at 2,000 steps.*; right edge ",
        done.stdout,
        re.MULTILINE,
    )
    picture = home / "demo" / "digits.png"
    assert done.stdout.splitlines()[-1] == f"drawn in {picture}"
    assert picture.read_bytes().startswith(b"\x89PNG")
    drawn = pd.read_csv(picture.with_suffix(".csv"))
    assert sorted(drawn["regime"].dropna()) == sorted(regimes)
    assert not (home / "up.json").exists()
    assert json.loads((home / "ports.json").read_text()).keys() >= {"api", "mlflow"}
