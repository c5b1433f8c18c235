import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

from polar.data import catalogue
from polar.errors import DatasetError, DatasetMissing, InvalidInput


@pytest.fixture
def mnist_dir(tmp_path: Path) -> Path:
    """A folder whose MNIST files are there, but hold nonsense."""
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    (raw / "train-images-idx3-ubyte").write_bytes(b"images")
    (raw / "train-labels-idx1-ubyte").write_bytes(b"labels")
    return tmp_path


def test_a_digest_is_the_sha256_of_all_files_in_order(mnist_dir: Path) -> None:
    digest = catalogue.digest("mnist", mnist_dir)

    assert digest == hashlib.sha256(b"imageslabels").hexdigest()


def test_the_digits_need_no_folder() -> None:
    (path,) = catalogue.files("digits")

    assert path.name == "digits.csv.gz"
    assert path.is_file()


def test_the_digits_are_always_available(tmp_path: Path) -> None:
    found = catalogue.available(tmp_path)

    assert found == {"digits": catalogue.digest("digits")}


def test_a_broken_file_still_counts_as_available(mnist_dir: Path) -> None:
    found = catalogue.available(mnist_dir)

    assert found["mnist"] == catalogue.digest("mnist", mnist_dir)


def test_half_a_dataset_is_not_available(mnist_dir: Path) -> None:
    (mnist_dir / "MNIST" / "raw" / "train-labels-idx1-ubyte").unlink()

    assert "mnist" not in catalogue.available(mnist_dir)


def test_the_folder_is_read_from_the_environment_at_every_call(
    mnist_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("POLAR_DATA_DIR", raising=False)
    without = catalogue.available()
    monkeypatch.setenv("POLAR_DATA_DIR", str(mnist_dir))
    with_folder = catalogue.available()

    assert "mnist" not in without
    assert "mnist" in with_folder


def test_without_a_folder_the_error_says_how_to_name_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("POLAR_DATA_DIR", raising=False)

    with pytest.raises(DatasetMissing, match=r"POLAR_DATA_DIR.*--data-dir.*--download"):
        catalogue.digest("mnist")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetMissing, match=r"no file .*train-images-idx3-ubyte"):
        catalogue.digest("mnist", tmp_path)


def test_a_file_that_cannot_be_read_is_an_error_of_the_dataset(mnist_dir: Path) -> None:
    images = mnist_dir / "MNIST" / "raw" / "train-images-idx3-ubyte"
    images.unlink()
    images.mkdir()

    with pytest.raises(DatasetError, match=r"cannot read .*train-images-idx3-ubyte"):
        catalogue.digest("mnist", mnist_dir)
    assert "mnist" not in catalogue.available(mnist_dir)


def test_an_unknown_dataset_is_refused_with_the_known_ones() -> None:
    with pytest.raises(InvalidInput, match="'cifar'; allowed: digits, mnist"):
        catalogue.files("cifar")


def test_the_catalogue_loads_neither_numpy_nor_torch_nor_sklearn() -> None:
    program = (
        "import sys; from polar.data import catalogue; catalogue.available(); "
        "print(*[m for m in ('numpy', 'torch', 'sklearn') if m in sys.modules])"
    )

    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    assert done.stdout.strip() == ""
