from pathlib import Path

import pytest

from polar.files import part_of, whole


def test_a_file_gets_its_path_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("before")

    with whole(path) as part:
        part.write_text("after")
        seen_meanwhile = path.read_text()

    assert (seen_meanwhile, path.read_text()) == ("before", "after")
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_fails_half_way_leaves_the_path_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("before")

    def fail() -> None:
        with whole(path) as part:
            part.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert path.read_text() == "before"
    assert part_of(path).read_text() == "half"
