"""A folder of colour pictures becomes a range, by the commands that a new user types."""

import json
import subprocess
import sys
import time
from pathlib import Path
from uuid import UUID

import numpy as np
import pytest
from mlflow.artifacts import download_artifacts
from mlflow.exceptions import MlflowException
from PIL import Image

import polar
from polar.client import Client
from service.embedded.running import running_stack
from service.homes import token_of

PATIENCE_S = 900
SPEC = """
name: my discs
base:
  dataset: {name: images, path: discs}
  model: {latent_dim: 3, widths: [4, 4, 4, 4, 4]}
  training: {steps: 40, batch_size: 50}
  diagnostics: {evaluations_per_doubling: 1, images: 100}
search:
  model.beta: {log_uniform: [1e-2, 100]}
budget: {trials: 2}
"""


def write_pictures(folder: Path, n: int) -> None:
    """Discs of two colours at random places, in a folder for each colour."""
    random = np.random.default_rng(0)
    y, x = np.mgrid[:32, :32]
    for place in range(n):
        colour = ("red", "blue")[place % 2]
        (folder / colour).mkdir(parents=True, exist_ok=True)
        centre = random.uniform(8, 24, 2)
        disc = np.clip(6 - np.hypot(y - centre[0], x - centre[1]), 0, 1)
        picture = np.zeros((32, 32, 3))
        picture[..., 0 if colour == "red" else 2] = disc
        Image.fromarray((picture * 255).astype(np.uint8)).save(folder / colour / f"{place}.png")


def downloaded(run_id: UUID, mlflow_url: str, folder: Path) -> str:
    """The model of a run as MLflow has it, once the tracker has told MLflow of it."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        with Client() as client:
            known = client.run(run_id).mlflow_run_id
        try:
            return download_artifacts(
                run_id=known,
                artifact_path="model.safetensors",
                tracking_uri=mlflow_url,
                dst_path=str(folder),
            )
        except (MlflowException, OSError):
            assert time.monotonic() < deadline
            time.sleep(0.5)


@pytest.mark.parametrize("n", [200, pytest.param(2000, marks=pytest.mark.slow)])
def test_a_folder_of_colour_pictures_becomes_a_phase_diagram(
    n: int, open_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_pictures(open_folder / "discs", n)
    (open_folder / "study.yaml").write_text(SPEC)
    monkeypatch.setenv("POLAR_DATA_DIR", str(open_folder / "data"))

    def command(*arguments: object) -> str:
        done = subprocess.run(
            [Path(sys.executable).with_name("polar"), *map(str, arguments)],
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    home = open_folder / "home"
    with running_stack(home, agents=1, device="cpu") as stack:
        monkeypatch.setenv("POLAR_URL", stack.api_url)
        for name in ("POLAR_TOKEN", "MLFLOW_TRACKING_TOKEN"):
            monkeypatch.setenv(name, token_of(home) or "")
        study = json.loads(
            command("study", "create", open_folder / "study.yaml", "--wait", "-o", "json")
        )
        command("study", "figure", study["id"], "--out", open_folder / "phases.svg")
        best = json.loads(command("get", study["best"]["experiment_id"], "-o", "json"))
        command("get", best["runs"][0]["id"], "--model", open_folder / "best.safetensors")
        with Client() as client:  # as in a notebook
            run = client.study(study["id"]).best_run()
            model = run.model()
        told = polar.load(downloaded(run.id, stack.mlflow_url, open_folder))

    assert study["state"] == "completed"
    assert study["spec"]["base"]["dataset"]["added"] == "discs"
    assert "<svg" in (open_folder / "phases.svg").read_text()
    same = polar.load(open_folder / "best.safetensors")
    pictures = np.random.default_rng(0).random((5, 3, 32, 32))
    codes = model.encode(pictures)
    assert np.array_equal(codes.mean, same.encode(pictures).mean)
    assert np.array_equal(codes.mean, told.encode(pictures).mean)
    assert codes.mean.shape == (5, 3)
    assert model.decode(codes.mean).shape == (5, 3, 32, 32)
