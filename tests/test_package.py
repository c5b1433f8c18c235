"""The package as it is installed: what it imports, and that it needs no checkout."""

import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = ("torch", "numpy", "mlflow", "sklearn", "pandas", "matplotlib", "optuna")


@pytest.mark.parametrize(
    "module",
    [
        "polar",
        "polar.spec",
        "polar.events",
        "polar.data.catalogue",
        "service.storage.tables",
        "service.queue",
        "service.api.app",
        "service.cli",
        "workers.agent",
        "workers.tracking",
    ],
)
def test_a_light_module_imports_nothing_heavy(module: str, tmp_path: Path) -> None:
    program = f"import {module}, sys; print(*[m for m in {HEAVY!r} if m in sys.modules])"

    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout.strip() == ""


def test_the_command_runs_from_an_empty_folder(tmp_path: Path) -> None:
    polar = Path(sys.executable).with_name("polar")

    done = subprocess.run(
        [polar, "--help"], cwd=tmp_path, capture_output=True, text=True, check=True
    )

    for command in ("run", "up", "demo", "submit", "list", "get", "watch", "cancel"):
        assert command in done.stdout


def test_migrations_and_examples_travel_with_the_package(tmp_path: Path) -> None:
    program = """
from importlib.resources import files
from alembic.script import ScriptDirectory
from polar.spec import ExperimentSpec, StudySpec
from service.storage.migrate import alembic_config
print(ScriptDirectory.from_config(alembic_config("unused")).get_current_head())
for kind, folder in ((ExperimentSpec, "polar.examples"), (StudySpec, "polar.examples.studies")):
    for example in sorted(files(folder).iterdir(), key=lambda path: path.name):
        if example.name.endswith(".yaml"):
            print(kind.from_yaml(example.read_text()).name)
"""

    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True
    )

    head, *examples = done.stdout.split()
    assert head == "0005"
    assert examples == [
        "digits-beta-vae",
        "dsprites-beta-vae",
        "digits-ivae",
        "digits-l2-ae",
        "digits-lv-ae",
        "mnist-beta-vae",
        "smallnorb-beta-vae",
        "sprites-beta-vae",
        "digits-alpha",
        "digits-beta",
        "digits-lambda",
    ]
