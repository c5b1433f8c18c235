"""A package with a model of one's own is installed, allowed, and trained by the service."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

import polar
from polar.client import Client
from service.embedded.running import running_stack
from service.homes import token_of

ROOT = Path(__file__).parents[2]
PATIENCE_S = 900
SPEC = """
name: mlp
base:
  dataset: {name: digits, images: 200}
  model: {name: own, class: mlp_vae, latent_dim: 3, fields: {hidden: 16, widths: [4, 4, 4, 4, 4]}}
  training: {steps: 40, batch_size: 50}
  diagnostics: {evaluations_per_doubling: 1, images: 100}
search:
  model.weight: {log_uniform: [1e-2, 100]}
budget: {trials: 2}
"""


def test_a_model_of_ones_own_becomes_a_phase_diagram(
    open_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = open_folder / "site"
    example = open_folder / "own_models"
    copied = [sys.executable, "-c", "import shutil, sys; shutil.copytree(*sys.argv[1:])"]
    subprocess.run([*copied, ROOT / "polar/examples/own_models", example], check=True)
    install = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-build-isolation"]
    subprocess.run([*install, "--target", site, example], check=True, timeout=PATIENCE_S)
    (open_folder / "study.yaml").write_text(SPEC)
    monkeypatch.setenv("PYTHONPATH", str(site))
    monkeypatch.syspath_prepend(site)

    def command(*arguments: object, code: int = 0) -> str:
        done = subprocess.run(
            [Path(sys.executable).with_name("polar"), *map(str, arguments)],
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
        )
        assert done.returncode == code, done.stderr
        return done.stdout if code == 0 else done.stderr

    monkeypatch.setenv("POLAR_MODEL_PACKAGES", "lab_models")
    with running_stack(open_folder / "home", agents=1, device="cpu") as stack:
        monkeypatch.setenv("POLAR_URL", stack.api_url)
        monkeypatch.setenv("POLAR_TOKEN", token_of(open_folder / "home") or "")
        created = command("study", "create", open_folder / "study.yaml", "--wait", "-o", "json")
        study = json.loads(created)
        command("study", "figure", study["id"], "--out", open_folder / "phases.svg")
        best = json.loads(command("get", study["best"]["experiment_id"], "-o", "json"))
        kept = open_folder / "best.safetensors"
        command("get", best["runs"][0]["id"], "--model", kept)
        with Client() as client:  # as in a notebook
            in_notebook = client.study(study["id"]).best_run().model()
        other = open_folder / "other.yaml"
        other.write_text(SPEC.replace("class: mlp_vae", "class: 'elsewhere.models:Net'"))
        refusal = command("study", "create", other, code=2)

    assert study["state"] == "completed"
    assert "<svg" in (open_folder / "phases.svg").read_text()
    for model in (polar.load(kept), in_notebook):
        assert type(model.network).__name__ == "MlpVAE"
    assert "/base/model/class" in refusal
    assert "lab_models" in refusal
    sys.modules.pop("lab_models")
