"""Logs in a home stay small, and what they held is kept for a while."""

from pathlib import Path

import pytest

from service.embedded.logs import KEPT, rotate

MOST = 100


def test_a_writer_goes_on_at_the_beginning_of_its_log(tmp_path: Path) -> None:
    log = tmp_path / "agent-0.log"
    with log.open("ab", buffering=0) as writer:  # as those who start processes open it
        writer.write(b"early " * 20)
        rotate(tmp_path, MOST)
        writer.write(b"late")

    assert log.read_bytes() == b"late"
    assert (tmp_path / "agent-0.log.1").read_bytes() == b"early " * 20
    assert sorted(path.name for path in tmp_path.iterdir()) == ["agent-0.log", "agent-0.log.1"]


def test_the_newest_parts_are_kept(tmp_path: Path) -> None:
    log = tmp_path / "api.log"
    for number in range(KEPT + 2):
        log.write_text(f"{number} " * MOST)
        rotate(tmp_path, MOST)

    kept = [(tmp_path / f"api.log.{number}").read_text()[0] for number in range(1, KEPT + 1)]
    assert kept == ["4", "3", "2"]
    assert len(list(tmp_path.iterdir())) == 1 + KEPT


def test_a_small_log_stays(tmp_path: Path) -> None:
    log = tmp_path / "api.log"
    log.write_text("x" * MOST)

    rotate(tmp_path, MOST)

    assert [path.name for path in tmp_path.iterdir()] == ["api.log"]


def test_nothing_is_emptied_whose_copy_has_no_place_yet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "api.log"
    log.write_text("x" * (MOST + 1))

    def killed(_copy: Path, _place: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        rotate(tmp_path, MOST)

    assert log.stat().st_size == MOST + 1


def test_nothing_is_emptied_that_could_not_be_copied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "api.log"
    log.write_text("x" * (MOST + 1))

    def full(_source: Path, copy: Path) -> None:
        copy.write_text("x")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("shutil.copy2", full)
    rotate(tmp_path, MOST)

    assert log.stat().st_size == MOST + 1
    assert [path.name for path in tmp_path.iterdir()] == ["api.log"]
