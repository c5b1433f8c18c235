import gzip
from pathlib import Path

import pytest
import torch
from sklearn.datasets import load_digits

from polar.data import catalogue, digits
from polar.errors import DatasetCorrupt


def test_the_digits_are_those_of_scikit_learn() -> None:
    images, labels = digits.read()

    source = load_digits()
    assert torch.equal(labels, torch.from_numpy(source.target))
    small = images.double().view(-1, 8, 4, 8, 4).mean((2, 4))  # (1797, 8, 8)
    # The mean of the 4x4 pixels that came from one is not its value: it has a part of its
    # neighbours. Inside areas of one value it is.
    flat = torch.from_numpy(source.images)
    inside = (
        torch.nn.functional.max_pool2d(flat[:, None], 3, 1, 1)[:, 0]
        == -(torch.nn.functional.max_pool2d(-flat[:, None], 3, 1, 1)[:, 0])
    )
    assert inside.sum() > 1000
    assert torch.equal(small[inside], (flat * 255 / 16).round()[inside])


def test_the_images_are_bytes_of_32x32_from_black_to_white() -> None:
    images, labels = digits.read()

    assert images.shape == (1797, 1, 32, 32)
    assert images.dtype == torch.uint8
    assert images.min() == 0
    assert images.max() == 255
    assert labels.bincount().tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]


def test_enlarging_keeps_a_constant_image() -> None:
    images = torch.full((1, 1, 8, 8), 8.0, dtype=torch.float64)

    large = digits.enlarge(images)

    assert (large == 128).all()  # 127.5, rounded to the even neighbour


def test_enlarging_is_linear_between_two_pixels() -> None:
    images = torch.zeros(1, 1, 8, 8, dtype=torch.float64)
    images[..., 4:] = 16

    row = digits.enlarge(images)[0, 0, 0]

    # Between the centres of columns 3 and 4 lie four pixels, at 1/8, 3/8, 5/8 and 7/8.
    assert row.tolist() == [0] * 14 + [32, 96, 159, 223] + [255] * 14


def packed(text: bytes) -> bytes:
    """Without the time, which would be another in every process that names the tests."""
    return gzip.compress(text, mtime=0)


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"no gzip", "not a gzipped table"),
        (packed(b"1,2,3\n")[:-4], "not a gzipped table"),
        (packed(b""), r"shape \(0,\)"),
        (packed(b"a,b\n"), "not a gzipped table"),
        (packed(b"1,2,3\n4,5\n"), "not a gzipped table"),
        (packed(b"1,2,3\n"), r"shape \(1, 3\)"),
        (packed(b",".join([b"17"] * 65)), "0 to 17"),
        (packed(b",".join([b"-1"] * 65)), "-1 to 0"),
        (packed(b",".join([b"nan"] * 65)), "nan to nan"),
    ],
)
def test_a_broken_file_is_refused_by_name(
    content: bytes, found: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "digits.csv.gz"
    path.write_bytes(content)
    monkeypatch.setattr(catalogue, "files", lambda *_: (path,))

    with pytest.raises(DatasetCorrupt, match=f"digits.csv.gz.*{found}"):
        digits.read()
