from pathlib import Path

import pytest
import torch
from torch import Tensor

from polar.data import catalogue, digits, images
from polar.data.order import order
from polar.errors import DatasetCorrupt
from polar.spec import DigitsSpec


def test_all_images_are_there_once() -> None:
    dataset = images.load(DigitsSpec())

    in_file, labels = digits.read()
    rows, originals = dataset.images.flatten(1), in_file.flatten(1)
    assert sorted(map(tuple, rows.tolist())) == sorted(map(tuple, originals.tolist()))
    assert torch.equal(dataset.factors[:, 0].bincount(), labels.bincount())
    assert dataset.digest == catalogue.digest("digits")


def test_labels_stay_with_their_images() -> None:
    dataset = images.load(DigitsSpec(images=10))

    in_file, labels = digits.read()
    for image, label in zip(dataset.images, dataset.factors[:, 0], strict=True):
        (index,) = (in_file == image).flatten(1).all(1).nonzero().flatten().tolist()
        assert label == labels[index]


@pytest.mark.parametrize(("fewer", "more"), [(5, 6), (100, 1000), (1000, 1797)])
def test_fewer_images_are_contained_in_more(fewer: int, more: int) -> None:
    few = images.load(DigitsSpec(images=fewer))
    many = images.load(DigitsSpec(images=more))

    assert torch.equal(few.images, many.images[:fewer])
    assert torch.equal(few.factors, many.factors[:fewer])


def test_the_order_is_drawn_from_the_digest() -> None:
    one = order("00ff", 1000)

    assert (one == order("00ff", 1000)).all()
    assert (one != order("00fe", 1000)).any()


def test_a_first_part_of_the_order_is_not_the_first_part_of_the_file() -> None:
    # The file is not sorted by label, but a subset of neighbours would be of few writers.
    rows = order(catalogue.digest("digits"), 1797)

    assert rows[:100].max() > 1500
    assert rows[:100].min() < 300


def test_too_few_images_on_disk_are_an_error_of_the_dataset(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POLAR_CACHE_DIR", str(tmp_path))
    in_file, labels = digits.read()
    monkeypatch.setattr(digits, "read", lambda _: (in_file[:10], labels[:10]))

    with pytest.raises(DatasetCorrupt, match="has 10 images, the spec asks for 11"):
        images.load(DigitsSpec(images=11))


def test_a_dataset_is_read_once_and_then_mapped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POLAR_CACHE_DIR", str(tmp_path))
    read: list[None] = []
    original = digits.read

    def counted(folder: Path | None) -> tuple[Tensor, Tensor]:
        read.append(None)
        return original(folder)

    monkeypatch.setattr(digits, "read", counted)

    first, second = images.load(DigitsSpec(images=10)), images.load(DigitsSpec())

    assert len(read) == 1
    assert torch.equal(first.images, second.images[:10])
    assert torch.equal(first.factors, second.factors[:10])


def test_pixels_run_from_0_to_1() -> None:
    grey = torch.arange(256, dtype=torch.uint8).repeat(4).view(1, 1, 32, 32)

    pixels = images.as_pixels(grey)

    assert pixels.dtype == torch.float32
    assert pixels.min() == 0
    assert pixels.max() == 1
    assert torch.equal((pixels * 255).round().to(torch.uint8), grey)
