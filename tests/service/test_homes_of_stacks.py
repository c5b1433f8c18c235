"""What a home tells clients: its stack while that runs, and nothing of one that is gone."""

import json
import os
import shutil
from pathlib import Path

import pytest

from polar.errors import InvalidInput
from service.embedded.running import RunningStack, publish
from service.embedded.state import identity, lock
from service.homes import PublishedApi, find_api, home_of_environment

URL = "http://127.0.0.1:9"


def publish_api(home: Path, pid: int | None = None) -> None:
    publish(home, RunningStack(URL, "", "", pid or os.getpid(), {}, identity(home)))


def test_the_home_is_that_of_the_environment_or_the_default() -> None:
    assert home_of_environment({"POLAR_HOME": "there"}) == Path("there")
    assert home_of_environment({"POLAR_HOME": ""}) == home_of_environment({}) == Path("~/.polar")


def test_a_home_whose_stack_runs_names_its_api(tmp_path: Path) -> None:
    with lock(tmp_path):
        publish_api(tmp_path)

        assert find_api(tmp_path) == PublishedApi(URL, identity(tmp_path))


@pytest.mark.parametrize("name", ["~/there", "there"])
def test_a_home_may_be_named_from_the_users_folder_or_from_here(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    home = tmp_path / "there"
    home.mkdir()
    with lock(home):
        publish_api(home)

        assert find_api(Path(name)) is not None


def test_what_a_killed_stack_left_is_not_taken_for_one_that_runs(tmp_path: Path) -> None:
    with lock(tmp_path):
        publish_api(tmp_path)
    without_holder = find_api(tmp_path)
    publish_api(tmp_path, pid=os.getpid() + 1)
    with lock(tmp_path):
        while_the_next_starts = find_api(tmp_path)

    assert without_holder is None
    assert while_the_next_starts is None


def test_nothing_runs_where_there_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    assert find_api(tmp_path) is None
    assert find_api(tmp_path / "none") is None
    with pytest.raises(InvalidInput, match="is a file; allowed: a folder"):
        find_api(tmp_path / "file")


def test_a_stack_of_an_earlier_version_is_to_be_stopped(tmp_path: Path) -> None:
    (tmp_path / "up.json").write_text(json.dumps({"api": URL, "pid": os.getpid()}))
    with lock(tmp_path), pytest.raises(InvalidInput, match="earlier version; stop it first"):
        find_api(tmp_path)


@pytest.mark.parametrize(
    "text",
    ["", "not JSON", "[]", "3", "{}", '{"api": 1}', "\xff", "[" * 200_000],
    ids=lambda text: repr(text)[:20],
)
def test_a_file_that_polar_up_did_not_write_is_named(text: str, tmp_path: Path) -> None:
    (tmp_path / "up.json").write_text(text, "latin-1")

    with pytest.raises(InvalidInput, match=r"up\.json is not what `polar up` writes"):
        find_api(tmp_path)


def test_a_home_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "up.json").mkdir()

    with pytest.raises(InvalidInput, match=r"cannot be used as home: .*up\.json"):
        find_api(tmp_path)


def test_the_home_of_nobody_is_named() -> None:
    with pytest.raises(InvalidInput, match="~nobody-of-this-name/home is in the home folder"):
        find_api(Path("~nobody-of-this-name/home"))


def test_a_home_keeps_its_identity_and_shares_it_with_no_other(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    one.mkdir()
    other.mkdir()

    assert identity(one) == identity(one)
    assert identity(one) != identity(other)


def test_the_copy_of_a_home_is_another_home(tmp_path: Path) -> None:
    # A client of the one was served by the stack of the other.
    one, copy = tmp_path / "one", tmp_path / "copy"
    one.mkdir()
    made = identity(one)
    shutil.copytree(one, copy)

    assert identity(copy) == identity(copy) != made
    assert identity(one) == made
