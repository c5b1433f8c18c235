"""A study through the whole stack that `polar up` starts: Optuna asks, real agents train."""

import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from service.embedded.running import RunningStack, running_stack
from service.homes import token_of

#: Far more than it takes, also on a busy machine.
PATIENCE_S = 900

SPEC = """
name: tiny
base:
  dataset: {name: digits, images: 200}
  model: {latent_dim: 3, widths: [4, 4, 4, 4, 4]}
  training: {steps: 20, batch_size: 50}
  diagnostics: {evaluations_per_doubling: 1, images: 100}
  seeds: [0]
search:
  model.beta: {log_uniform: [1e-2, 100]}
sampler: tpe
budget: {trials: 2}
concurrency: 2
"""


class Polar:
    """The `polar` command, spoken to one stack."""

    def __init__(self, stack: RunningStack, home: Path) -> None:
        token = token_of(home) or ""
        self._environment = os.environ | {"POLAR_URL": stack.api_url, "POLAR_TOKEN": token}

    def __call__(self, *arguments: object) -> str:
        """What `polar study ...` prints."""
        done = subprocess.run(
            [Path(sys.executable).with_name("polar"), "study", *map(str, arguments)],
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def json(self, *arguments: object) -> Any:  # noqa: ANN401
        return json.loads(self(*arguments, "-o", "json"))


def test_a_study_ends_with_its_trials_and_can_be_extended(open_folder: Path) -> None:
    home = open_folder / "home"
    spec = open_folder / "study.yaml"
    spec.write_text(SPEC)

    with running_stack(home, agents=1, device="cpu") as stack:
        polar = Polar(stack, home)
        study = polar.json("create", spec, "--wait")
        rows = list(csv.DictReader(io.StringIO(polar("export", study["id"]))))
        polar("extend", study["id"], 1)
        extended = polar.json("watch", study["id"])
        polar("extend", study["id"], "--training-steps", 40)
        longer = polar.json("watch", study["id"])

    assert "clerk" in stack.processes
    assert (study["state"], study["reason"]) == ("completed", "budget_spent")
    assert study["trials"] == {"completed": 2}
    assert [row["state"] for row in rows] == ["completed"] * 2
    assert len({row["model.beta"] for row in rows}) == 2
    assert study["best"]["values"] == [
        max(float(row["objective.clean_polarisation"]) for row in rows)
    ]
    assert extended["trials"] == {"completed": 3}
    assert longer["trials"] == {"completed": 3, "superseded": 3}
