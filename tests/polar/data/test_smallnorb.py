"""smallNORB, on files of the original names and formats, with few images in each split."""

import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from polar.data import catalogue, smallnorb
from polar.data.images import load
from polar.data.matrix_format import expect, open_matrix
from polar.data.order import order
from polar.errors import DatasetCorrupt, DatasetMissing
from polar.folders import CACHE_DIR_VARIABLE
from polar.spec.datasets import NORB_STEMS, SmallNorbSpec

#: Images of a split here; a published split has 448 MB.
SPLIT_IMAGES = 30


def write(path: Path, magic: int, values: np.ndarray) -> None:
    dims = [*values.shape, *[1] * (3 - values.ndim)]
    path.write_bytes(
        struct.pack(f"<{2 + len(dims)}I", magic, values.ndim, *dims) + values.tobytes()
    )


def write_split(folder: Path, split: str, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (SPLIT_IMAGES, 2, 96, 96), dtype=np.uint8)
    categories = rng.integers(0, 5, SPLIT_IMAGES, dtype=np.int32)
    columns = [rng.integers(0, size, SPLIT_IMAGES) for size in (10, 9, 18, 6)]
    info = np.stack([columns[0], columns[1], 2 * columns[2], columns[3]], axis=1).astype("<i4")
    begin = NORB_STEMS[split]
    write(folder / f"{begin}-dat.mat", 0x1E3D4C55, images)
    write(folder / f"{begin}-cat.mat", 0x1E3D4C54, categories)
    write(folder / f"{begin}-info.mat", 0x1E3D4C54, info)
    return images, categories, info


@pytest.fixture(autouse=True)
def small_splits(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(smallnorb, "SPLIT_IMAGES", SPLIT_IMAGES)
    monkeypatch.setattr(smallnorb, "BLOCK", 7)
    monkeypatch.setenv(CACHE_DIR_VARIABLE, str(tmp_path / "cache"))


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    (tmp_path / "smallnorb").mkdir()
    return tmp_path


@pytest.mark.parametrize("side", [32, 64])
def test_the_left_camera_of_both_splits_is_read_in_the_order_of_the_digest(
    data_dir: Path, side: int
) -> None:
    folder = data_dir / "smallnorb"
    splits = [write_split(folder, split, seed) for seed, split in enumerate(("train", "test"))]

    dataset = load(SmallNorbSpec(images=2 * SPLIT_IMAGES, side=side), data_dir)

    left = np.concatenate([images[:, 0] for images, _, _ in splits])
    category = np.concatenate([categories for _, categories, _ in splits])
    info = np.concatenate([info for _, _, info in splits])
    rows = order(catalogue.digest("smallnorb", data_dir), 2 * SPLIT_IMAGES)
    for place, row in enumerate(rows):
        picture = Image.fromarray(left[row]).resize((side, side), Image.Resampling.LANCZOS)
        assert (dataset.images[place, 0].numpy() == np.asarray(picture)).all()
        _, elevation, azimuth, lighting = info[row]
        expected = [category[row], elevation, azimuth // 2, lighting]
        assert dataset.factors[place].tolist() == expected


def test_a_split_holds_its_own_images_alone(data_dir: Path) -> None:
    folder = data_dir / "smallnorb"
    write_split(folder, "train", 0)
    _, categories, _ = write_split(folder, "test", 1)

    dataset = load(SmallNorbSpec(split="test", images=SPLIT_IMAGES), data_dir)

    assert sorted(dataset.factors[:, 0].tolist()) == sorted(categories.tolist())


def test_more_images_than_a_split_has_are_refused(data_dir: Path) -> None:
    for seed, split in enumerate(("train", "test")):
        write_split(data_dir / "smallnorb", split, seed)

    with pytest.raises(DatasetCorrupt, match="has 30 images, the spec asks for 31"):
        load(SmallNorbSpec(split="train", images=SPLIT_IMAGES + 1), data_dir)


def test_images_and_factors_are_prepared_once_and_mapped(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for seed, split in enumerate(("train", "test")):
        write_split(data_dir / "smallnorb", split, seed)
    spec = SmallNorbSpec(images=10)
    first = load(spec, data_dir)
    monkeypatch.setattr(smallnorb, "order", lambda *_: pytest.fail("it was ordered again"))
    monkeypatch.setattr(smallnorb, "_factors", lambda *_: pytest.fail("they were read again"))

    second = load(spec, data_dir)

    assert torch.equal(first.images, second.images)
    assert torch.equal(first.factors, second.factors)


def test_an_odd_azimuth_is_refused(data_dir: Path) -> None:
    folder = data_dir / "smallnorb"
    write_split(folder, "test", 1)
    _, _, info = write_split(folder, "train", 0)
    info[3, 2] = 7
    write(folder / f"{NORB_STEMS['train']}-info.mat", 0x1E3D4C54, info)

    with pytest.raises(DatasetCorrupt, match="azimuths are even"):
        load(SmallNorbSpec(images=10), data_dir)


def test_a_split_without_its_files_is_missing(data_dir: Path) -> None:
    write_split(data_dir / "smallnorb", "train", 0)

    with pytest.raises(DatasetMissing, match=r"there is no file .*testing-dat\.mat"):
        load(SmallNorbSpec(images=10), data_dir)


@pytest.mark.parametrize(
    ("dtype", "magic", "shape", "size"),
    [
        ("u1", 0x1E3D4C55, (24_300, 2, 96, 96), 447_897_624),
        ("<i4", 0x1E3D4C54, (24_300,), 97_220),
        ("<i4", 0x1E3D4C54, (24_300, 4), 388_820),
    ],
)
def test_files_of_the_published_sizes_end_with_their_last_image(
    dtype: str, magic: int, shape: tuple[int, ...], size: int, tmp_path: Path
) -> None:
    path = tmp_path / "some.mat"
    write(path, magic, np.empty((0, *shape[1:])))
    with path.open("r+b") as file:
        file.seek(8)
        file.write(struct.pack("<I", shape[0]))
        file.truncate(size)  # a hole: it reads as zeros, and takes no room

    with open_matrix(path) as matrix:
        expect(matrix, dtype, shape)
        read = sum(len(matrix.read(900)) for _ in range(0, 24_300, 900))
        matrix.refuse_rest()

    assert read == 24_300
