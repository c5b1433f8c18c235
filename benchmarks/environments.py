"""Environments for packages that we are compared with and do not depend on."""

import subprocess
import venv
from pathlib import Path

DONE = "is-complete"


def environment(folder: Path, *packages: str, with_dependencies: bool = True) -> Path:
    """A virtual environment with these packages, made by pip where it is not there yet.

    Args:
        folder: Where it is, or is to be.
        packages: What to install.
        with_dependencies: Whether what the packages need is installed too.

    Returns:
        Its folder.
    """
    if not (folder / DONE).exists():
        venv.create(folder, clear=True, with_pip=True)
        command = [python_of(folder), "-m", "pip", "install", "--quiet", *packages]
        subprocess.run(command + ["--no-deps"] * (not with_dependencies), check=True)
        (folder / DONE).touch()
    return folder


def python_of(folder: Path) -> str:
    """Its interpreter."""
    return str(folder / "bin" / "python")


def modules_of(folder: Path) -> str:
    """The folder of its packages, for an interpreter of the same version that has all else."""
    (modules,) = folder.glob("lib/python*/site-packages")
    return str(modules)
