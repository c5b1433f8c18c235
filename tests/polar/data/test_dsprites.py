"""dSprites, on a file of its true shape, nearly all black, so that it is small."""

import re
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from polar.data import dsprites
from polar.data.images import load
from polar.data.order import order
from polar.errors import DatasetCorrupt, DatasetMissing
from polar.folders import CACHE_DIR_VARIABLE
from polar.spec.datasets import DSPRITES_FILE, DSpritesSpec

#: One image in so many is not black.
EVERY = 1000


def classes() -> np.ndarray:
    return np.stack(np.unravel_index(np.arange(dsprites.COUNT), dsprites.GRID), axis=1)


def picture(index: int) -> np.ndarray:
    """A picture of 0 and 1 that its index can be told from."""
    rng = np.random.default_rng(index)
    return (rng.random((64, 64)) < 0.5).astype(np.uint8)


def write(
    path: Path,
    latents: np.ndarray,
    *,
    shape: tuple[int, ...] = (dsprites.COUNT, 64, 64),
    written: int = dsprites.COUNT,
    white: int = 1,
) -> None:
    """A file whose header tells of this shape, with so many images written."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        with archive.open("imgs.npy", "w", force_zip64=True) as file:
            header = {"descr": "|u1", "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(file, header)
            black = bytes(64 * 64 * (EVERY - 1))
            for index in range(0, written, EVERY):
                file.write((picture(index) * white).tobytes())
                file.write(black[: 64 * 64 * (min(EVERY, written - index) - 1)])
        with archive.open("latents_classes.npy", "w") as file:
            np.lib.format.write_array(file, latents)


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder."""
    folder = tmp_path_factory.mktemp("data") / "dsprites"
    folder.mkdir()
    write(folder / DSPRITES_FILE, classes())
    return folder.parent


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(CACHE_DIR_VARIABLE, str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.mark.parametrize("side", [64, 32])
def test_images_and_factors_belong_together(side: Literal[32, 64], original: Path) -> None:
    dataset = load(DSpritesSpec(images=5000, side=side), original)

    rows = order(dataset.digest, dsprites.COUNT)[:5000]
    drawn = [place for place, row in enumerate(rows) if row % EVERY == 0]
    assert drawn
    for place in drawn:
        squares = picture(int(rows[place])).reshape(side, 64 // side, side, 64 // side)
        expected = 255 * squares.mean(axis=(1, 3))
        assert np.abs(dataset.images[place, 0].numpy() - expected).max() <= 0.5  # rounding
    assert int((dataset.images.flatten(1).amax(1) > 0).sum()) == len(drawn)
    assert (dataset.factors.numpy() == classes()[rows, 1:]).all()
    assert dataset.images.max() == 255


def test_the_whole_array_is_never_in_memory(original: Path) -> None:
    program = (
        "import resource\n"
        "from pathlib import Path\n"
        "from polar.data.images import load\n"
        "from polar.spec import DSpritesSpec\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        f"load(DSpritesSpec(images=20_000), Path({str(original)!r}))\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True, timeout=300
    )

    # 3,020 MB inflated; here a few blocks of 17 MB, and the classes of 35 MB thrice
    assert int(done.stdout) < 200_000  # KiB


def test_an_index_goes_to_factors_and_back() -> None:
    indices = np.random.default_rng(0).integers(0, dsprites.COUNT, 1000)

    factors = dsprites.factors_of(indices)

    bases = np.array([245_760, 40_960, 1024, 32, 1])
    assert (factors @ bases == indices).all()
    assert np.prod(dsprites.GRID) == dsprites.COUNT == 737_280


@pytest.mark.parametrize(
    ("latents", "message"),
    [
        (classes()[::-1].copy(), "is not the grid"),
        (classes()[:-1], r"latents_classes is int64 of shape \(737279, 6\)"),
        (classes().astype(np.int32), "latents_classes is int32"),
        (np.asfortranarray(classes()), "Fortran"),
    ],
)
def test_other_classes_are_refused(latents: np.ndarray, message: str, tmp_path: Path) -> None:
    (tmp_path / "dsprites").mkdir()
    write(tmp_path / "dsprites" / DSPRITES_FILE, latents, written=1)

    with pytest.raises(DatasetCorrupt, match=message):
        load(DSpritesSpec(images=10), tmp_path)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The path of the file, in the data folder `tmp_path`."""
    (tmp_path / "dsprites").mkdir()
    return tmp_path / "dsprites" / DSPRITES_FILE


@pytest.mark.parametrize("shape", [(10, 64, 64), (dsprites.COUNT, 3, 64, 64)])
def test_images_of_another_shape_are_refused(
    shape: tuple[int, ...], path: Path, tmp_path: Path
) -> None:
    write(path, classes(), shape=shape, written=1)

    with pytest.raises(DatasetCorrupt, match=re.escape(f"imgs is uint8 of shape {shape}")):
        load(DSpritesSpec(images=10), tmp_path)


def test_pixels_other_than_0_and_1_are_refused(path: Path, tmp_path: Path, cache: Path) -> None:
    write(path, classes(), written=5000, white=255)

    with pytest.raises(DatasetCorrupt, match="has the value 255; allowed: 0 and 1"):
        load(DSpritesSpec(images=10), tmp_path)
    assert [path.suffixes for path in cache.iterdir()] == [[".npy"]]  # the order alone


def test_fewer_images_than_the_header_tells_are_refused(path: Path, tmp_path: Path) -> None:
    write(path, classes(), written=5000)

    with pytest.raises(DatasetCorrupt, match="it ends early"):
        load(DSpritesSpec(images=10), tmp_path)


@pytest.mark.parametrize("name", ["imgs.npy", "latents_classes.npy"])
def test_a_file_without_one_of_its_arrays_is_refused(
    name: str, path: Path, tmp_path: Path
) -> None:
    write(path, classes(), written=1)
    rest = {"imgs.npy", "latents_classes.npy"} - {name}
    with zipfile.ZipFile(path) as whole:
        kept = {other: whole.read(other) for other in rest}
    with zipfile.ZipFile(path, "w") as archive:
        for other, content in kept.items():
            archive.writestr(other, content)

    with pytest.raises(DatasetCorrupt, match=f"{name} is missing or damaged"):
        load(DSpritesSpec(images=10), tmp_path)


def test_a_damaged_or_missing_file_is_told(original: Path, path: Path, tmp_path: Path) -> None:
    whole = (original / "dsprites" / DSPRITES_FILE).read_bytes()
    half = len(whole) // 2

    with pytest.raises(DatasetMissing, match="there is no file"):
        load(DSpritesSpec(images=10), tmp_path)
    for content in (b"", b"text", whole[:half], whole[:-100], whole[1000:]):
        path.write_bytes(content)
        with pytest.raises(DatasetCorrupt, match="dataset dsprites"):
            load(DSpritesSpec(images=10), tmp_path)


def test_a_pixel_that_has_changed_is_found_by_the_checksum(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Eight images, stored as they are, so that one byte is one pixel: deflate would not unpack.
    for name, value in (("COUNT", 8), ("GRID", (1, 1, 1, 2, 2, 2))):
        monkeypatch.setattr(dsprites, name, value)
    images = np.stack([picture(index) for index in range(8)])
    latents = np.stack(np.unravel_index(np.arange(8), (1, 1, 1, 2, 2, 2)), axis=1)
    np.savez(path, imgs=images, latents_classes=latents)
    whole = load(DSpritesSpec(images=8), tmp_path)
    content = bytearray(path.read_bytes())
    place = content.index(images[2].tobytes())
    content[place] ^= 1
    path.write_bytes(content)

    with pytest.raises(DatasetCorrupt, match=r"Bad CRC-32 for file 'imgs\.npy'"):
        load(DSpritesSpec(images=8), tmp_path)
    assert len(whole.images) == 8
