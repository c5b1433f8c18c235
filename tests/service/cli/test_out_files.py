"""What `--out` may name, and what happens to the file that is there already."""

import errno
from pathlib import Path

import pytest

from polar.errors import InvalidInput
from service.cli.out_files import replacing


def test_a_link_stays_and_its_target_is_replaced(tmp_path: Path) -> None:
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_text("old")
    link.symlink_to(target)

    with replacing(link) as aside:
        aside.write_text("new")

    assert link.is_symlink()
    assert target.read_text() == "new"


def test_a_write_that_fails_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("old")

    def fail_half_way() -> None:
        with replacing(file) as aside:
            aside.write_text("half of the new")
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(InvalidInput, match=f"^cannot write {file}: No space left on device$"):
        fail_half_way()

    assert file.read_text() == "old"
    assert list(tmp_path.iterdir()) == [file]


def test_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="is not a regular file; allowed"), replacing(tmp_path):
        pytest.fail("there is nowhere to write")
