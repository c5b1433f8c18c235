"""The package as it is installed: what it imports, and that it needs no checkout."""

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
from jaxtyping import TypeCheckError

from polar.regime.split import best_split

HEAVY = ("torch", "numpy", "mlflow", "sklearn", "pandas", "matplotlib", "optuna")


@pytest.mark.parametrize(
    "module",
    [
        "polar",
        "polar.spec",
        "polar.records.events",
        "polar.data.catalogue",
        "service.storage.tables",
        "service.queue",
        "service.api.app",
        "service.cli",
        "workers.training.agent",
        "workers.tracking.tracker",
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


@pytest.mark.parametrize(
    ("program", "needless"),
    [
        ("service.embedded.supervisor", {"sqlalchemy", "alembic", "httpx", "rich", *HEAVY}),
        ("service.api.__main__", {"alembic", "httpx", "rich", *HEAVY}),
        ("service.clerk", {"alembic", "fastapi", *HEAVY} - {"optuna", "numpy"}),
        (
            "workers.__main__",
            {"alembic", "fastapi", "httpx", "rich", "workers.training.child", *HEAVY},
        ),
    ],
)
def test_a_process_that_is_always_there_holds_nothing_needless(
    program: str, needless: set[str], tmp_path: Path
) -> None:
    code = f"import {program}, sys; print(*sorted({needless!r} & {{*sys.modules}}))"

    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )

    assert done.stdout.strip() == ""


def test_every_package_is_installed() -> None:
    root = Path(__file__).parent.parent
    setuptools = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["setuptools"]

    folders = {
        ".".join(file.parent.relative_to(root).parts)
        for package in ("polar", "service", "workers", "migrations")
        for file in (root / package).rglob("*.py")
        if not (file.parent / "pyproject.toml").exists()  # a package of a user's, as an example
    }

    assert set(setuptools["packages"]) == folders


def test_the_command_runs_from_an_empty_folder(tmp_path: Path) -> None:
    polar = Path(sys.executable).with_name("polar")

    done = subprocess.run(
        [polar, "--help"], cwd=tmp_path, capture_output=True, text=True, check=True
    )

    for command in ("run", "up", "demo", "submit", "list", "get", "watch", "cancel"):
        assert command in done.stdout


@pytest.fixture
def colliding(tmp_path: Path) -> Path:
    """A folder of a user who has chosen the names that we have chosen."""
    for name in ("service", "workers", "migrations", "polar/data"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "__init__.py").write_text(f"raise SystemExit('this is my {name}')")
    (tmp_path / "typer.py").write_text("raise SystemExit('this is my typer')")
    return tmp_path


@pytest.mark.parametrize("place", ["here", "path", "relative path", "empty path"])
def test_the_command_is_ours_where_a_user_has_our_names(colliding: Path, place: str) -> None:
    paths = {"here": None, "path": str(colliding), "relative path": ".", "empty path": ":/none"}
    environment = os.environ | ({"PYTHONPATH": value} if (value := paths[place]) else {})

    done = subprocess.run(
        [Path(sys.executable).with_name("polar"), "data", "list"],
        cwd=colliding,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert "digits" in done.stdout


def test_python_m_polar_is_the_command_also_where_a_user_has_our_names(colliding: Path) -> None:
    (colliding / "polar").rename(colliding / "not polar")  # that one is asked for by its name

    done = subprocess.run(
        [sys.executable, "-m", "polar", "data", "list"],
        cwd=colliding,
        env=os.environ | {"PYTHONPATH": str(colliding)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert "digits" in done.stdout


def test_modules_of_the_user_can_still_be_imported_after_all_others(colliding: Path) -> None:
    (colliding / "hers.py").write_text("")
    program = (
        "import importlib, polar_latents, sys; sys.argv[1:] = ['--help']\n"
        "try: polar_latents.main()\n"
        "except SystemExit: pass\n"
        "import hers, service, typer; print(hers.__file__, service.__file__, typer.__file__)"
    )

    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=colliding,
        env=os.environ | {"PYTHONPATH": str(colliding)},
        capture_output=True,
        text=True,
        check=False,
    )

    hers, *others = done.stdout.splitlines()[-1].split()
    assert hers == str(colliding / "hers.py"), done.stderr
    assert not any(str(colliding) in other for other in others)


def test_the_command_runs_where_the_folder_is_gone(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    polar = Path(sys.executable).with_name("polar")

    done = subprocess.run(
        ["sh", "-c", f"rmdir '{gone}'; exec '{polar}' --help"],
        cwd=gone,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr


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
    assert head == "0022"
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
        "digits-gamma",
        "digits-lambda",
    ]


ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize(
    ("folders", "most"),
    [(("polar", "service", "workers", "migrations", "benchmarks"), 350), (("tests",), 400)],
    ids=["code", "tests"],
)
def test_no_module_is_too_long_to_be_read_at_once(folders: tuple[str, ...], most: int) -> None:
    modules = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    lines = {path: path.read_text().count("\n") for path in modules}

    assert modules
    assert {path: count for path, count in lines.items() if count > most} == {}


def test_the_shapes_of_arrays_are_checked_in_tests() -> None:
    with pytest.raises(TypeCheckError, match="Type-check error whilst checking the parameters"):
        best_split(np.zeros((3, 4)))
