import gzip
import hashlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from polar.data import catalogue, places
from polar.errors import DatasetCorrupt, DatasetError, DatasetMissing, InvalidInput
from polar.folders import cache_dir, data_dir
from polar.spec.datasets import DATASETS, DSPRITES_FILE, NORB_STEMS


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


def test_what_needs_no_download_is_always_available(tmp_path: Path) -> None:
    found = catalogue.available(tmp_path)

    assert {"digits", "sprites"} <= found.keys()
    always = [name for name in DATASETS if not catalogue.downloads(name)]
    assert found == {name: catalogue.digest(name) for name in always}


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

    with pytest.raises(
        DatasetMissing, match=r"polar data fetch mnist` downloads it, and POLAR_DATA_DIR or --data"
    ):
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
    with pytest.raises(InvalidInput, match=f"'cifar'; allowed: {', '.join(DATASETS)}"):
        catalogue.files("cifar")


@pytest.mark.parametrize("name", DATASETS)
def test_a_spec_says_fetched_exactly_of_what_is_searched_for(name: str) -> None:
    spec = DATASETS[name](name=name)

    assert spec.is_fetched == bool(catalogue.downloads(name))


def test_the_catalogue_loads_neither_numpy_nor_torch_nor_sklearn() -> None:
    program = (
        "import sys; from polar.data import catalogue; catalogue.available(); "
        "print(*[m for m in ('numpy', 'torch', 'sklearn') if m in sys.modules])"
    )

    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    assert done.stdout.strip() == ""


@pytest.fixture
def norb(tmp_path: Path) -> Path:
    """A data folder with the six files of smallNORB, which hold nonsense."""
    folder = tmp_path / "smallnorb"
    folder.mkdir()
    for begin in NORB_STEMS.values():
        for kind in ("dat", "cat", "info"):
            (folder / f"{begin}-{kind}.mat").write_bytes(f"{begin} {kind}".encode())
    return tmp_path


def pack(path: Path) -> Path:
    packed = path.with_name(f"{path.name}.gz")
    packed.write_bytes(gzip.compress(path.read_bytes()))
    path.unlink()
    return packed


def test_the_digest_of_gzipped_files_is_that_of_the_unpacked_ones(norb: Path) -> None:
    unpacked = catalogue.digest("smallnorb", norb)
    for path in (norb / "smallnorb").iterdir():
        pack(path)

    assert all(path.suffix == ".gz" for path in catalogue.files("smallnorb", norb))
    assert catalogue.digest("smallnorb", norb) == unpacked


@pytest.mark.parametrize(
    "damage",
    [lambda packed: packed[:-9], lambda packed: b"!" + packed, lambda packed: packed + b"!"],
)
def test_a_gzipped_file_that_is_damaged_is_refused(
    damage: Callable[[bytes], bytes], norb: Path
) -> None:
    packed = pack(catalogue.files("smallnorb", norb)[0])
    packed.write_bytes(damage(packed.read_bytes()))

    with pytest.raises(DatasetCorrupt, match=rf"cannot unpack {packed}"):
        catalogue.digest("smallnorb", norb)
    assert "smallnorb" not in catalogue.available(norb)


def test_the_digest_of_large_files_is_remembered_until_one_changes(
    norb: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POLAR_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(catalogue, "LARGE", 10)
    monkeypatch.setattr(catalogue, "SETTLED_S", 0)
    hashed: list[str] = []
    original = catalogue._hash

    def counted(name: str, paths: Iterable[Path]) -> str:
        hashed.append(name)
        return original(name, paths)

    monkeypatch.setattr(catalogue, "_hash", counted)
    first = catalogue.digest("smallnorb", norb)

    again = catalogue.digest("smallnorb", norb)
    path = catalogue.files("smallnorb", norb)[3]
    path.write_bytes(path.read_bytes()[::-1])
    os.utime(path, (1, 1))  # a file system's clock may not have ticked since
    changed = catalogue.digest("smallnorb", norb)

    assert first == again != changed
    assert len(hashed) == 2


@pytest.mark.parametrize("content", [b"", b"rubbish", b"\xff" * 64, b"0" * 63, b"0" * 65, None])
def test_a_remembered_digest_that_is_damaged_is_taken_again(
    norb: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None
) -> None:
    monkeypatch.setenv("POLAR_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(catalogue, "LARGE", 10)
    monkeypatch.setattr(catalogue, "SETTLED_S", 0)
    first = catalogue.digest("smallnorb", norb)
    (known,) = (tmp_path / "cache" / "digests").iterdir()
    whole = known.read_bytes()
    known.unlink()
    os.mkfifo(known) if content is None else known.write_bytes(content)

    assert catalogue.digest("smallnorb", norb) == first
    assert known.read_bytes() == whole


def test_a_copy_that_keeps_the_times_of_a_file_is_noticed(
    norb: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POLAR_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(catalogue, "LARGE", 10)
    monkeypatch.setattr(catalogue, "SETTLED_S", 0)
    first = catalogue.digest("smallnorb", norb)
    path = catalogue.files("smallnorb", norb)[3]
    times = path.stat().st_atime_ns, path.stat().st_mtime_ns
    path.with_name("other").write_bytes(path.read_bytes()[::-1])
    path.with_name("other").rename(path)
    os.utime(path, ns=times)

    assert catalogue.digest("smallnorb", norb) != first


def test_the_digest_of_a_file_that_has_just_changed_is_not_remembered(
    norb: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POLAR_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(catalogue, "LARGE", 10)
    monkeypatch.setattr(catalogue, "SETTLED_S", 3600)

    catalogue.digest("smallnorb", norb)

    assert not (tmp_path / "cache" / "digests").exists()


def test_a_digest_that_cannot_be_remembered_is_taken_again(
    norb: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a file").write_text("")
    monkeypatch.setenv("POLAR_CACHE_DIR", str(tmp_path / "a file" / "cache"))
    small = catalogue.digest("smallnorb", norb)
    monkeypatch.setattr(catalogue, "LARGE", 10)

    assert catalogue.digest("smallnorb", norb) == small


def test_the_cache_is_in_the_folder_that_is_named_or_in_that_of_the_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("POLAR_CACHE_DIR", "XDG_CACHE_HOME"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    of_the_user = cache_dir()
    monkeypatch.setenv("XDG_CACHE_HOME", "/var/cache/ada")
    of_the_desktop = cache_dir()
    monkeypatch.setenv("POLAR_CACHE_DIR", "/scratch")

    assert of_the_user == tmp_path / ".cache" / "polar"
    assert of_the_desktop == Path("/var/cache/ada/polar")
    assert cache_dir() == Path("/scratch")


IMAGES, LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"


def store(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


@pytest.mark.parametrize("folder", ["MNIST/raw", "mnist/raw", "MNIST", "mnist", "raw", "."])
@pytest.mark.parametrize("dotted", [False, True])
@pytest.mark.parametrize("end", ["", ".gz"])
def test_mnist_has_one_digest_however_it_is_stored(
    folder: str, dotted: bool, end: str, tmp_path: Path
) -> None:
    images, labels = (
        name.replace("-idx", ".idx") if dotted else name for name in (IMAGES, LABELS)
    )
    store(tmp_path / folder / f"{images}{end}", b"images")
    store(tmp_path / folder / f"{labels}{end}", b"labels")

    assert catalogue.digest("mnist", tmp_path) == hashlib.sha256(b"imageslabels").hexdigest()
    assert "mnist" in catalogue.available(tmp_path)


def test_each_file_is_searched_for_by_itself_and_the_usual_place_wins(tmp_path: Path) -> None:
    store(tmp_path / f"{IMAGES}.gz", b"flat images")
    store(tmp_path / "mnist" / f"{LABELS}.gz", b"labels")
    mixed = catalogue.files("mnist", tmp_path)
    store(tmp_path / "mnist" / LABELS, b"unpacked labels")
    store(tmp_path / "MNIST" / "raw" / f"{IMAGES}.gz", b"images")

    images, labels = catalogue.files("mnist", tmp_path)

    assert mixed == (tmp_path / f"{IMAGES}.gz", tmp_path / "mnist" / f"{LABELS}.gz")
    assert images == tmp_path / "MNIST" / "raw" / f"{IMAGES}.gz"
    assert labels == tmp_path / "mnist" / LABELS


@pytest.mark.parametrize("folder", ["small_norb", "smallNORB", "."])
def test_smallnorb_is_found_in_folders_of_other_programs(folder: str, norb: Path) -> None:
    digest = catalogue.digest("smallnorb", norb)
    for path in list((norb / "smallnorb").iterdir()):
        store(norb / folder / f"{path.name}.gz", path.read_bytes())
        path.unlink()

    assert catalogue.digest("smallnorb", norb) == digest


@pytest.mark.parametrize("folder", ["dsprites", "dSprites", "dsprites-dataset", "."])
def test_dsprites_is_found_in_folders_of_other_programs(folder: str, tmp_path: Path) -> None:
    store(tmp_path / folder / DSPRITES_FILE, b"sprites")

    assert catalogue.digest("dsprites", tmp_path) == hashlib.sha256(b"sprites").hexdigest()


def test_what_is_missing_is_said_with_every_place_and_the_command(tmp_path: Path) -> None:
    with pytest.raises(DatasetMissing) as caught:
        catalogue.digest("mnist", tmp_path)

    assert str(caught.value) == (
        f"dataset mnist: there is no file {tmp_path}/MNIST/raw/{IMAGES} (also searched for as "
        "train-images.idx3-ubyte and with .gz and in mnist/raw, MNIST, mnist, raw and the data "
        f"folder itself); `polar data fetch mnist --data-dir {tmp_path}` downloads it, and "
        "POLAR_DATA_DIR or --data-dir names another folder"
    )


def test_an_explicit_folder_wins_over_the_environment_and_that_over_the_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POLAR_CACHE_DIR", str(tmp_path))
    monkeypatch.delenv("POLAR_DATA_DIR", raising=False)
    default = data_dir()
    monkeypatch.setenv("POLAR_DATA_DIR", "named")

    assert default == tmp_path / "data"
    assert data_dir() == Path("named")
    assert data_dir(Path("given")) == Path("given")


def a_loop(path: Path) -> None:
    path.symlink_to(path)


def a_link_to_nothing(path: Path) -> None:
    path.symlink_to(path.with_name("gone"))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (a_loop, "cannot read .*: Too many levels of symbolic links"),
        (a_link_to_nothing, "there is no file .*: the link there leads nowhere"),
        (Path.mkdir, "cannot read .*: Is a directory"),
        (os.mkfifo, "is no regular file"),  # reading it would wait for ever
    ],
)
def test_what_is_no_file_is_refused_with_what_it_is(
    make: Callable[[Path], None], words: str, mnist_dir: Path
) -> None:
    path = mnist_dir / "MNIST" / "raw" / IMAGES
    path.unlink()
    make(path)

    with pytest.raises(DatasetError, match=words):
        catalogue.digest("mnist", mnist_dir)
    assert "mnist" not in catalogue.available(mnist_dir)


def test_a_folder_that_cannot_be_looked_into_is_said(
    mnist_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # root may look into every folder, so the refusal is made
    def refuse(path: Path, **_: object) -> os.stat_result:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "stat", refuse)
    monkeypatch.setattr(Path, "lstat", refuse)

    with pytest.raises(DatasetError, match=r"cannot read .*train-images.*: Permission denied"):
        catalogue.digest("mnist", mnist_dir)


def test_a_file_elsewhere_that_vanishes_meanwhile_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vanished = tmp_path / "mnist" / f"{IMAGES}.gz"
    monkeypatch.setattr(places, "is_there", lambda path: path == vanished)

    with pytest.raises(DatasetMissing, match=rf"there is no file {vanished} \(also searched for"):
        catalogue.digest("mnist", tmp_path)
