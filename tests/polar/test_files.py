import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from polar.files import put_in_place, written_aside


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What reaches the disk and what is renamed, in this order."""
    happened: list[str] = []

    def note(name: str, real: Callable[..., None]) -> None:
        def noted(*arguments: int | Path) -> None:
            synced = name == "fsync" and stat.S_ISDIR(os.fstat(int(str(arguments[0]))).st_mode)
            happened.append("sync of the folder" if synced else name)
            real(*arguments)

        monkeypatch.setattr(os, name, noted)

    note("fsync", os.fsync)
    note("replace", os.replace)
    return happened


def test_a_file_gets_its_path_when_it_is_finished(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("before")

    with written_aside(path) as aside:
        aside.write_text("after")
        seen_meanwhile = path.read_text()

    assert (seen_meanwhile, path.read_text()) == ("before", "after")
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_fails_half_way_leaves_the_path_as_it_was_and_nothing_beside_it(
    tmp_path: Path,
) -> None:
    path = tmp_path / "table.csv"
    path.write_text("before")

    def fail() -> None:
        with written_aside(path) as aside:
            aside.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


def test_a_name_may_be_as_long_as_the_system_allows(tmp_path: Path) -> None:
    path = tmp_path / ("n" * 255)

    with written_aside(path) as aside:
        aside.write_text("content")

    assert path.read_text() == "content"


def test_two_who_write_the_same_file_do_not_meet(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"

    with written_aside(path) as first:
        first.write_text("the first")
        with written_aside(path) as second:
            second.write_text("the second")
        seen_meanwhile = path.read_text()

    assert (seen_meanwhile, path.read_text()) == ("the second", "the first")


def test_a_durable_file_is_on_disk_before_it_has_its_path_and_its_path_before_the_end(
    tmp_path: Path, disk: list[str]
) -> None:
    with written_aside(tmp_path / "checkpoint", is_durable=True) as aside:
        aside.write_text("weights")

    assert disk == ["fsync", "replace", "sync of the folder"]


def test_a_file_that_can_be_made_again_does_not_wait_for_the_disk(
    tmp_path: Path, disk: list[str]
) -> None:
    with written_aside(tmp_path / "figure") as aside:
        aside.write_text("dots")

    assert disk == ["replace"]


def test_a_folder_is_put_in_place_as_well(tmp_path: Path, disk: list[str]) -> None:
    (tmp_path / "made").mkdir()
    (tmp_path / "made" / "file").write_text("content")

    put_in_place(tmp_path / "made", tmp_path / "measurement", is_durable=True)

    assert (tmp_path / "measurement" / "file").read_text() == "content"
    assert disk == ["sync of the folder", "replace", "sync of the folder"]
