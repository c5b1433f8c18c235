"""The `polar` command, in a module whose name nobody else uses.

Our packages have everyday names. If PYTHONPATH or the current folder leads to a user's own folder
`service` or `workers`, it must not be mistaken for one of them.
"""

import importlib
import os
import sys
from pathlib import Path

PACKAGES = ("polar", "service", "workers", "migrations")


def main() -> None:
    """Run the command, with the user's entries of sys.path moved behind all others."""
    users = [entry for entry in sys.path if _is_users(entry)]
    sys.path[:] = [entry for entry in sys.path if entry not in users]
    for package in PACKAGES:  # a package that is loaded is not searched for again
        importlib.import_module(package)
    sys.path += users
    importlib.import_module("service.cli").main()


def is_installation(entry: str) -> bool:
    """Whether an entry of sys.path holds our packages or others that were installed.

    On clusters, dependencies are often installed in a folder of PYTHONPATH.
    """
    folder = Path(entry)
    is_ours = folder.resolve() == Path(__file__).resolve().parent
    return bool(entry) and (is_ours or any(folder.glob("*.dist-info")))


def _is_users(entry: str) -> bool:
    """Whether an entry of sys.path comes from PYTHONPATH or is the current folder."""
    folders = ["", *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    place = _absolute(entry)
    return place in map(_absolute, folders) and not is_installation(place)


def _absolute(entry: str) -> str:
    try:
        return os.path.abspath(entry)
    except FileNotFoundError:  # the current folder was deleted
        return entry


if __name__ == "__main__":
    main()
