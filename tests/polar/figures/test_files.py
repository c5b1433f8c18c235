from pathlib import Path
from typing import Any, BinaryIO, get_args

import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.image import imread

from polar.errors import InvalidInput
from polar.figures.files import KINDS, ROWS_OF_TEXT, save
from polar.records.pictures import PictureKind


def drawing() -> Figure:
    figure = Figure(figsize=(2, 1))
    figure.add_subplot().plot([0, 1], [1, 0])
    return figure


def numbers(rows: int = 2) -> pd.DataFrame:
    return pd.DataFrame({"latent": range(rows), "nats": [1 / 3] * rows})


def test_a_picture_has_its_numbers_beside_it(tmp_path: Path) -> None:
    paths = save(drawing(), numbers(), tmp_path / "new" / "a.png")

    assert paths == [tmp_path / "new" / "a.png", tmp_path / "new" / "a.csv"]
    assert sorted((tmp_path / "new").iterdir()) == sorted(paths)
    height, width, _ = imread(paths[0]).shape
    assert (width, height) == (300, 150)  # 2 x 1 inches at 150 dpi
    pd.testing.assert_frame_equal(pd.read_csv(paths[1]), numbers(), check_exact=True)


def test_many_numbers_go_into_parquet(tmp_path: Path) -> None:
    few, many = numbers(ROWS_OF_TEXT), numbers(ROWS_OF_TEXT + 1)

    assert save(drawing(), few, tmp_path / "a.png")[1].suffix == ".csv"
    path = save(drawing(), many, tmp_path / "a.png")[1]

    assert path == tmp_path / "a.parquet"
    pd.testing.assert_frame_equal(pd.read_parquet(path), many)


def test_every_kind_of_picture_can_be_written() -> None:
    assert set(KINDS) == set(get_args(PictureKind))


@pytest.mark.parametrize(
    ("kind", "begin"), [("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF")]
)
def test_the_same_figure_gives_the_same_bytes(kind: str, begin: bytes, tmp_path: Path) -> None:
    first = save(drawing(), numbers(), tmp_path / f"a.{kind}")
    second = save(drawing(), numbers(), tmp_path / f"b.{kind}")

    for a, b in zip(first, second, strict=True):
        assert a.read_bytes() == b.read_bytes()
    assert first[0].read_bytes().startswith(begin)
    assert b"Matplotlib v" not in first[0].read_bytes()  # another version may draw the same


def test_a_picture_is_drawn_once_and_is_the_one_that_matplotlib_saves(tmp_path: Path) -> None:
    class Counted(Figure):
        draws = 0

        def draw(self, renderer: Any) -> None:  # noqa: ANN401
            self.draws += 1
            super().draw(renderer)

    figure, other = [Counted(figsize=(2, 1), layout="constrained") for _ in range(2)]
    for each in (figure, other):
        each.add_subplot().semilogx([1, 1000], [1, 0], label="a line")
        each.suptitle("a title")

    (picture, _) = save(figure, numbers(), tmp_path / "a.png")

    other.savefig(tmp_path / "b.png", dpi=150, metadata={"Software": None})
    assert picture.read_bytes() == (tmp_path / "b.png").read_bytes()
    assert figure.draws == 1


def test_a_figure_that_cannot_be_saved_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (picture, _) = save(drawing(), numbers(), tmp_path / "a.png")
    before = picture.read_bytes()

    def break_off(self: FigureCanvasAgg, file: BinaryIO, **options: object) -> None:  # noqa: ARG001
        file.write(b"half a picture")
        raise OSError("no space left on device")

    monkeypatch.setattr(FigureCanvasAgg, "print_png", break_off)
    with pytest.raises(OSError, match="no space left"):
        save(drawing(), numbers(), tmp_path / "a.png")

    assert picture.read_bytes() == before


def test_another_ending_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"picture's name is 'a.gif'; allowed: .* \.png, \.svg"):
        save(drawing(), numbers(), tmp_path / "a.gif")
