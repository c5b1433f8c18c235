import gzip
import math
import struct
from pathlib import Path

import pytest
import torch

from polar.data import catalogue, mnist
from polar.data.images import load
from polar.errors import DatasetCorrupt, DatasetMissing
from polar.spec import MnistSpec


def idx(*dims: int, magic: int | None = None) -> bytes:
    """An idx file of the bytes 0, 1, 2, ..."""
    header = struct.pack(f">{1 + len(dims)}I", magic or 0x0800 + len(dims), *dims)
    return header + bytes(i % 256 for i in range(math.prod(dims)))


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """The folder of the raw files, with a dataset of three images."""
    folder = tmp_path / "MNIST" / "raw"
    folder.mkdir(parents=True)
    (folder / "train-images-idx3-ubyte").write_bytes(idx(3, 28, 28))
    (folder / "train-labels-idx1-ubyte").write_bytes(idx(3))
    return folder


def test_images_are_padded_with_black_to_32x32(raw: Path) -> None:
    images, labels = mnist.read(raw.parents[1])

    assert images.shape == (3, 1, 32, 32)
    assert images.dtype == torch.uint8
    assert images[0, 0, 2, 2:5].tolist() == [0, 1, 2]
    assert images[1, 0, 2, 2] == 28 * 28 % 256
    assert labels.tolist() == [0, 1, 2]
    inside = torch.zeros(32, 32, dtype=torch.bool)
    inside[2:30, 2:30] = True
    assert (images[..., ~inside] == 0).all()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "length 0 bytes; expected a header of 16 bytes"),
        (idx(3, 28, 28)[:15], "length 15 bytes; expected a header of 16 bytes"),
        (idx(3, 28, 28, magic=0x0801), "magic number 0x00000801; expected 0x00000803"),
        (idx(3, 28, 28, magic=0x03080000), "magic number 0x03080000; expected 0x00000803"),
        (b"\x1f\x8b" + bytes(20), "magic number 0x1f8b0000; expected 0x00000803"),
        (idx(3, 27, 28), r"dimensions \[3, 27, 28\]; expected \['n', 28, 28\]"),
        (idx(3, 28, 28)[:-1], r"length 2367 bytes; expected 2368 bytes for \[3, 28, 28\]"),
        (idx(3, 28, 28) + b"0", r"length 2369 bytes; expected 2368 bytes for \[3, 28, 28\]"),
        (
            struct.pack(">4I", 0x0803, 2**32 - 1, 28, 28),
            r"length 16 bytes; expected 3367254359296 bytes",
        ),
    ],
)
def test_a_broken_image_file_is_refused_with_what_was_found_and_expected(
    content: bytes, message: str, raw: Path
) -> None:
    (raw / "train-images-idx3-ubyte").write_bytes(content)

    with pytest.raises(DatasetCorrupt, match=f"train-images-idx3-ubyte has {message}"):
        mnist.read(raw.parents[1])


def test_as_many_labels_as_images_are_needed(raw: Path) -> None:
    (raw / "train-labels-idx1-ubyte").write_bytes(idx(4))

    with pytest.raises(DatasetCorrupt, match=r"3 images, .* 4 labels"):
        mnist.read(raw.parents[1])


def test_the_real_files_have_their_known_counts() -> None:
    if "mnist" not in catalogue.available():
        pytest.skip("POLAR_DATA_DIR names no folder with MNIST")

    images, labels = mnist.read()

    assert images.shape == (60_000, 1, 32, 32)
    # As published with the dataset.
    counts = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert labels.bincount().tolist() == counts
    assert labels[:5].tolist() == [5, 0, 4, 1, 9]
    mean = images.double().mean().item() / 255 * 32**2 / 28**2
    assert mean == pytest.approx(0.1307, abs=5e-5)  # the published mean has four decimals


def test_the_folder_of_the_environment_is_named_when_it_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POLAR_DATA_DIR", str(tmp_path / "nowhere"))

    with pytest.raises(DatasetMissing, match="nowhere"):
        mnist.read()


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (range(1, 27), "labels from 1 to 26, 26 classes of 26 images; allowed: 0 to 9. EMNIST"),
        (range(47), "labels from 0 to 46, 47 classes of 47 images"),
    ],
)
def test_labels_of_emnist_are_refused_with_what_was_seen(
    labels: range, words: str, raw: Path
) -> None:
    header = struct.pack(">2I", 0x0801, len(labels))
    (raw / "train-labels-idx1-ubyte").write_bytes(header + bytes(labels))
    (raw / "train-images-idx3-ubyte").write_bytes(idx(len(labels), 28, 28))

    with pytest.raises(DatasetCorrupt, match=f"train-labels-idx1-ubyte has {words}"):
        mnist.read(raw.parents[1])


def test_gzipped_files_have_the_same_images_and_digest(raw: Path) -> None:
    images, labels = mnist.read(raw.parents[1])
    digest = catalogue.digest("mnist", raw.parents[1])
    for path in list(raw.iterdir()):
        path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()

    again, labels_again = mnist.read(raw.parents[1])

    assert torch.equal(images, again)
    assert torch.equal(labels, labels_again)
    assert catalogue.digest("mnist", raw.parents[1]) == digest


def test_a_gzipped_file_without_gz_in_its_name_is_told_so(raw: Path) -> None:
    path = raw / "train-images-idx3-ubyte"
    path.write_bytes(gzip.compress(path.read_bytes()))

    with pytest.raises(DatasetCorrupt, match=r"expected 0x00000803, or \.gz at the end"):
        mnist.read(raw.parents[1])


def test_other_images_under_the_names_of_mnist_are_noted(raw: Path) -> None:
    (raw / "train-images-idx3-ubyte").write_bytes(idx(5, 28, 28))
    (raw / "train-labels-idx1-ubyte").write_bytes(idx(5))

    dataset = load(MnistSpec(name="mnist", images=5), raw.parents[1])

    assert dataset.note == mnist.NOTE


def test_the_published_images_have_no_note() -> None:
    if "mnist" not in catalogue.available():
        pytest.skip("POLAR_DATA_DIR names no folder with MNIST")

    # any other training images under these names fail this test, and should
    assert mnist.note_on(catalogue.digest("mnist")) == ""
