"""Homes for servers of the tests' own, and how a test waits."""

import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from service.embedded.postgres import Postgres
from service.embedded.supervisor import prepare

Eventually = Callable[[Callable[[], object]], None]


def make_home() -> Path:
    """An empty home that every user can pass through, as Postgres's user under root has to."""
    folder = Path(tempfile.mkdtemp(prefix="polar-home-"))
    folder.chmod(0o755)
    return folder


def remove_home(folder: Path) -> None:
    data = (folder / "postgres").resolve()
    shutil.rmtree(data.parent if data.parent != folder else data, ignore_errors=True)
    shutil.rmtree(folder)


@pytest.fixture
def home() -> Iterator[Path]:
    folder = make_home()
    yield folder
    remove_home(folder)


@pytest.fixture(scope="session")
def used_home() -> Iterator[Path]:
    """A home that was used and is stopped: all databases, migrated, and one row."""
    folder = make_home()
    with Postgres(folder) as server:
        prepare(server)
        with psycopg.connect(server.url("postgres")) as connection:
            connection.execute("CREATE TABLE kept (value int)")
            connection.execute("INSERT INTO kept VALUES (42)")
    yield folder
    remove_home(folder)


@pytest.fixture
def made_home(home: Path, used_home: Path) -> Path:
    """A copy of the used home; the copy is several times faster than a first start."""
    subprocess.run(["cp", "-a", f"{used_home}/.", home], check=True)
    (home / "log" / "postgres.log").unlink()
    return home


@pytest.fixture(scope="module")
def server(used_home: Path) -> Iterator[Postgres]:
    """A server as programs find it, with roles and rights."""
    folder = make_home()
    subprocess.run(["cp", "-a", f"{used_home}/.", folder], check=True)
    with Postgres(folder) as server:
        prepare(server)
        yield server
    remove_home(folder)


@pytest.fixture
def eventually() -> Eventually:
    """Waits until the claim holds; 30 s are far more than anything here takes."""

    def wait(claim: Callable[[], object]) -> None:
        deadline = time.monotonic() + 30
        while not claim():
            assert time.monotonic() < deadline, "the claim did not come true"
            time.sleep(0.02)

    return wait
