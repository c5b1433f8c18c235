"""Torchvision itself, on files in the formats that it downloads."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from polar.data.own_images import add_images
from polar.data.torchvision_sets import of_torchvision
from polar.errors import InvalidInput

GREY = np.random.default_rng(0).integers(0, 256, (12, 28, 28), dtype=np.uint8)
TARGETS = np.arange(12, dtype=np.uint8) % 10


def write_idx(path: Path, values: NDArray[np.uint8]) -> None:
    """The format of MNIST and of those that follow it."""
    sizes = b"".join(size.to_bytes(4, "big") for size in values.shape)
    path.write_bytes(bytes([0, 0, 8, values.ndim]) + sizes + values.tobytes())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where torchvision looks for FashionMNIST and KMNIST, as if it had downloaded them."""
    for name in ("FashionMNIST", "KMNIST"):
        raw = tmp_path / name / name / "raw"
        raw.mkdir(parents=True)
        for part, n in (("train", 12), ("t10k", 11)):
            write_idx(raw / f"{part}-images-idx3-ubyte", GREY[:n])
            write_idx(raw / f"{part}-labels-idx1-ubyte", TARGETS[:n])
    raw = tmp_path / "EMNIST" / "EMNIST" / "raw"
    raw.mkdir(parents=True)
    for part in ("train", "test"):
        write_idx(raw / f"emnist-digits-{part}-images-idx3-ubyte", GREY)
        write_idx(raw / f"emnist-digits-{part}-labels-idx1-ubyte", TARGETS)
    return tmp_path


@pytest.mark.parametrize(("name", "first"), [("FashionMNIST", "T-shirt/top"), ("KMNIST", "o")])
def test_grey_pictures_and_the_names_of_their_classes(name: str, first: str, folder: Path) -> None:
    found = of_torchvision(name, folder)

    assert found.n == 12
    assert (np.stack(list(found.each()))[..., 0] == GREY).all()
    classes = found.factors["class"]
    assert classes[0] == classes[10] == first
    assert len(set(classes)) == 10


def test_pictures_without_a_label_have_no_class(folder: Path, tmp_path: Path) -> None:
    # They got the last class, whose place is -1.
    batches = folder / "torchvision" / "STL10" / "stl10_binary"
    batches.mkdir(parents=True)
    (batches / "class_names.txt").write_text("\n".join(f"class {n}" for n in range(10)))
    pixels = np.zeros((12, 3, 96, 96), np.uint8)
    for part in ("train", "unlabeled"):
        pixels.tofile(batches / f"{part}_X.bin")
    (TARGETS + 1).astype(np.uint8).tofile(batches / "train_y.bin")
    with pytest.MonkeyPatch.context() as patch:  # the files are not those of its digests
        patch.setattr("torchvision.datasets.STL10._check_integrity", lambda _: True)
        labelled, unlabelled = (
            add_images(f"torchvision:STL10:{split}", split.replace("+", "-"), data_dir=tmp_path)[1]
            for split in ("train", "train+unlabeled")
        )

    assert dict(labelled.factors) == {"class": 10}
    assert unlabelled.images == 24
    assert dict(unlabelled.factors) == {}


@pytest.mark.parametrize(
    ("name", "n"), [("KMNIST:train", 12), ("KMNIST:test", 11), ("EMNIST:digits", 12)]
)
def test_a_split_is_named_behind_the_class(name: str, n: int, folder: Path) -> None:
    assert of_torchvision(name, folder).n == n


def test_they_become_a_dataset_that_is_padded_to_32(folder: Path, tmp_path: Path) -> None:
    folder.joinpath("EMNIST").rename(tmp_path / "moved")
    (tmp_path / "torchvision").mkdir()
    (tmp_path / "moved").rename(tmp_path / "torchvision" / "EMNIST")

    name, about = add_images("torchvision:EMNIST:digits", data_dir=tmp_path)

    assert name == "emnist-digits"
    assert (about.images, about.side, about.channels) == (12, 32, 1)
    assert dict(about.factors) == {"class": 10}


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("FakeData", "FakeData cannot be made: "),
        ("EMNIST", "EMNIST cannot be made: .*'split'; a split may be missing, as in torchvision:"),
        ("EMNIST:nothing", "EMNIST cannot be made: .*nothing.* Valid values are"),
        ("KMNIST:extra", "KMNIST has no split 'extra'; allowed: train or test"),
        ("VisionDataset", "VisionDataset is no dataset by itself"),
    ],
)
def test_classes_that_cannot_be_used_are_refused(name: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=words):
        of_torchvision(name, tmp_path)
