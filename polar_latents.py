"""The `polar` command, in a module whose name nobody else has.

Our packages have everyday names: a folder `service` or `workers` of a user, found by way of
PYTHONPATH or of the folder where the user stands, must not be taken for them.
"""

import importlib
import os
import sys
from pathlib import Path

PACKAGES = ("polar", "service", "workers", "migrations")


def main() -> None:
    """Run the command, with the user's places of modules behind all others."""
    given = [entry for entry in sys.path if _is_given(entry)]
    sys.path[:] = [entry for entry in sys.path if entry not in given]
    for package in PACKAGES:  # once they are loaded, nothing searches for them again
        importlib.import_module(package)
    sys.path += given
    importlib.import_module("service.cli").main()


def is_installation(entry: str) -> bool:
    """Whether our packages, or others that were installed, are in this place of modules.

    On clusters, what a package needs is often installed in a folder of PYTHONPATH.
    """
    folder = Path(entry)
    is_ours = folder.resolve() == Path(__file__).resolve().parent
    return bool(entry) and (is_ours or any(folder.glob("*.dist-info")))


def _is_given(entry: str) -> bool:
    """Whether an entry of sys.path comes from PYTHONPATH, or is the current folder."""
    given = ["", *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    place = _absolute(entry)
    return place in map(_absolute, given) and not is_installation(place)


def _absolute(entry: str) -> str:
    try:
        return os.path.abspath(entry)
    except FileNotFoundError:  # the folder where the user stands was removed
        return entry


if __name__ == "__main__":
    main()
