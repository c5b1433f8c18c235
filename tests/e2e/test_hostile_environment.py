"""`polar up` among everything that people set for other programs, in an odd folder."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.homes import token_of

TINY = {
    "dataset": {"name": "digits", "images": 200},
    "model": {"name": "beta_vae", "beta": 1.0, "latent_dim": 4, "widths": [4, 4, 8, 8, 8]},
    "training": {"steps": 30, "batch_size": 32},
    "diagnostics": {"evaluations_per_doubling": 1, "images": 100, "information_images": 50},
}
#: Names of our packages and of what they need, in a folder of the user's.
COLLIDING = ("service", "workers", "polar", "migrations", "uvicorn", "mlflow", "yaml")
#: Far more than it takes, also on a busy machine.
PATIENCE_S = 300
POLAR = Path(sys.executable).with_name("polar")


@pytest.fixture
def user(tmp_path: Path, hostile_environment: dict[str, str]) -> dict[str, Any]:
    """Where the user stands, and her environment."""
    own = tmp_path / "own modules"
    for name in COLLIDING:
        (own / name).mkdir(parents=True)
        (own / name / "__init__.py").write_text(f"raise SystemExit('this is my {name}')")
    (own / "sitecustomize.py").write_text("SEEN = True")
    theirs = {"PYTHONPATH": str(own), "LC_ALL": "C", "LANG": "de_DE.ISO-8859-1"}
    return {"cwd": own, "env": {**os.environ, **hostile_environment, **theirs}}


@pytest.fixture
def stack(open_folder: Path, user: dict[str, Any], tmp_path: Path) -> Iterator[dict[str, Any]]:
    """What `up.json` says of a stack in this environment; it has an odd home."""
    home = open_folder / "my 'home' ?x#1%41é {a}[b]&;$"
    log = tmp_path / "up.log"
    with log.open("wb") as output:
        command = [str(POLAR), "up", "--home", str(home), "--agents", "1"]
        process = subprocess.Popen(command, stdout=output, stderr=output, **user)
    try:
        deadline = time.monotonic() + PATIENCE_S
        while b"Ctrl-C stops" not in log.read_bytes():
            assert process.poll() is None, log.read_text(errors="replace")
            assert time.monotonic() < deadline, log.read_text(errors="replace")
            time.sleep(0.1)
        yield {"home": home, **json.loads((home / "up.json").read_text())}
    finally:
        process.terminate()
        process.wait(PATIENCE_S)


def test_a_run_succeeds_and_is_told_to_mlflow_whatever_the_environment_says(
    stack: dict[str, Any], user: dict[str, Any], tmp_path: Path
) -> None:
    # MLflow stayed empty for ever, or Postgres seemed to refuse the password.
    spec = tmp_path / "tiny spec ?#%.yaml"
    spec.write_text(json.dumps(TINY))

    done = subprocess.run(
        [POLAR, "submit", str(spec), "--wait", "-o", "json", "--url", stack["api"]],
        capture_output=True,
        timeout=PATIENCE_S,
        check=False,
        **(user | {"env": user["env"] | {"POLAR_TOKEN": token_of(stack["home"])}}),
    )

    assert done.returncode == 0, done.stderr.decode(errors="replace")
    (run,) = json.loads(done.stdout)["runs"]
    assert run["state"] == "succeeded"
    as_owner = {"Authorization": f"Bearer {token_of(stack['home'])}"}
    found = mlflow_run(stack["mlflow"], run["id"], as_owner)
    assert found["info"]["status"] == "FINISHED"
    assert found["data"]["metrics"]
    for name in ("result.json", "model.safetensors"):
        told = httpx.get(
            f"{stack['mlflow']}/get-artifact",
            params={"run_uuid": found["info"]["run_id"], "path": name},
            headers=as_owner,
            trust_env=False,
        )
        (stored,) = (stack["home"] / "artifacts" / "runs" / run["id"]).rglob(name)
        assert told.content == stored.read_bytes()
    assert list((stack["home"] / "mlflow").rglob("result.json"))


def mlflow_run(url: str, run_id: str, headers: dict[str, str]) -> dict[str, Any]:
    """The run in MLflow, once it has ended there."""
    query = {"experiment_ids": ["1"], "filter": f"tags.`polar.run_id` = '{run_id}'"}
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        answer = httpx.post(
            f"{url}/api/2.0/mlflow/runs/search", json=query, headers=headers, trust_env=False
        )
        for run in answer.json().get("runs", []):
            if run["info"]["status"] != "RUNNING":
                return dict(run)
        time.sleep(0.2)
    raise AssertionError(f"run {run_id} is not in MLflow")
