"""Homes of users who have one, and of those who have none, as in many containers."""

import os
import pwd
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

import pytest
from typer.testing import CliRunner, Result

from polar.data import catalogue
from polar.errors import DatasetError, InvalidInput
from polar.folders import cache_dir
from service.homes import DEFAULT_HOME, resolved_home


@pytest.fixture
def homeless(monkeypatch: pytest.MonkeyPatch) -> None:
    """A user of whom neither HOME nor the system knows a home."""

    def unknown(uid: int) -> NoReturn:
        raise KeyError(f"getpwuid(): uid not found: {uid}")

    monkeypatch.delenv("HOME")
    monkeypatch.setattr(pwd, "getpwuid", unknown)


def polar(*arguments: str) -> Result:
    from service.cli import app

    return CliRunner().invoke(app, arguments)


def test_a_home_is_an_absolute_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)

    assert resolved_home(DEFAULT_HOME) == tmp_path / ".polar"
    assert resolved_home(Path("here")) == tmp_path / "here"


@pytest.mark.usefixtures("homeless")
def test_without_a_home_another_folder_is_asked_for() -> None:
    with pytest.raises(InvalidInput, match="a user who has none; set POLAR_HOME"):
        resolved_home(DEFAULT_HOME)


@pytest.mark.usefixtures("homeless")
@pytest.mark.parametrize(
    ("command", "code"),
    [
        (["up"], 2),
        (["demo"], 1),
        (["list"], 2),
        (["study", "run"], 2),
        (["study", "dsn", "1"], 2),
    ],
    ids=str,
)
def test_each_command_that_needs_a_home_says_so_on_one_line(
    command: list[str], code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.processes.make_private", lambda: None)  # not this very process
    spec = tmp_path / "spec.yaml"
    spec.write_text("base: {dataset: {name: digits}, model: {}}\nsearch: {}")

    result = polar(*command, *([str(spec)] if command[-1] == "run" else []))

    assert result.exit_code == code
    assert result.stderr.splitlines()[-1].startswith("error: ~/.polar is in the home folder of")
    assert "set POLAR_HOME" in result.stderr


@pytest.mark.usefixtures("homeless")
def test_help_and_datasets_need_no_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("POLAR_CACHE_DIR")

    assert polar("--help").exit_code == 0
    assert polar("data", "list").exit_code == 0


@pytest.mark.usefixtures("homeless")
def test_without_a_home_the_cache_is_a_temporary_folder_of_the_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("POLAR_CACHE_DIR")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    cache = cache_dir()

    assert cache_dir() == cache
    assert cache.parent == tmp_path / f"polar-cache-{os.getuid()}"
    assert cache.parent.stat().st_mode & 0o777 == 0o700


def test_in_a_home_that_cannot_be_written_the_cache_is_temporary(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("POLAR_CACHE_DIR")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", "/nonexistent")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    assert cache_dir().is_relative_to(tmp_path)


@pytest.mark.usefixtures("homeless")
def test_somebody_elses_temporary_folder_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("POLAR_CACHE_DIR")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    cache_dir()
    monkeypatch.setattr(os, "getuid", lambda: 12345)
    (tmp_path / "polar-cache-12345").mkdir()

    with pytest.raises(DatasetError, match="is not ours alone; POLAR_CACHE_DIR names"):
        cache_dir()


@pytest.mark.usefixtures("homeless")
@pytest.mark.parametrize("is_link", [False, True])
def test_a_temporary_folder_in_which_others_may_write_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, is_link: bool
) -> None:
    monkeypatch.delenv("POLAR_CACHE_DIR")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    folder = tmp_path / f"polar-cache-{os.getuid()}"
    if is_link:
        folder.symlink_to(tmp_path / "elsewhere")
    folder.resolve().mkdir()
    cache_dir()
    folder.chmod(0o777)

    with pytest.raises(DatasetError, match="is not ours alone; POLAR_CACHE_DIR names"):
        cache_dir()


def test_a_temporary_folder_that_cannot_be_made_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.delenv("POLAR_CACHE_DIR")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", "/nonexistent")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "file"))

    with pytest.raises(DatasetError, match=r"cannot be made: .*POLAR_CACHE_DIR names"):
        cache_dir()


@pytest.mark.parametrize("variable", ["POLAR_CACHE_DIR", "POLAR_DATA_DIR"])
def test_a_tilde_is_the_users_home(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/her")
    monkeypatch.setenv(variable, "~/odd #1?")

    found = {
        "POLAR_CACHE_DIR": cache_dir(),
        "POLAR_DATA_DIR": catalogue.files("dsprites")[0].parents[1]
        if variable == "POLAR_DATA_DIR"
        else None,
    }

    assert found[variable] == Path("/home/her/odd #1?")


@pytest.mark.parametrize("home", ["/etc/passwd", "/proc"])
@pytest.mark.parametrize("command", [["up"], ["demo"]], ids=str)
def test_a_home_that_cannot_be_one_is_told_on_one_line(home: str, command: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "service.cli", *command],
        env=os.environ | {"HOME": home},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith(f"error: {home}/.polar cannot be used as home")
    assert last.endswith("Set POLAR_HOME to a folder that you may write to")
