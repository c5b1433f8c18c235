"""Where people keep the files of datasets: the folders and the names that are searched."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

#: The official parts of smallNORB, by the spec's names, and how their files begin.
NORB_PARTS = {
    "train": "smallnorb-5x46789x9x18x6x2x96x96-training",
    "test": "smallnorb-5x01235x9x18x6x2x96x96-testing",
}
NORB_KINDS = ("dat", "cat", "info")
DSPRITES = "dsprites_ndarray_co1sh3sc6or40x32y32_64x64.npz"
GZIPPED = ".gz"


@dataclass(frozen=True)
class Sought:
    """One file of a dataset, and where it may be, the most usual place first."""

    #: Below the data folder; the data folder itself comes last.
    folders: tuple[str, ...]
    names: tuple[str, ...]
    #: Whether a gzipped file of the same name with `.gz` will do.
    may_be_gzipped: bool

    def usual(self, root: Path) -> Path:
        """Where the file is expected, and where a download belongs."""
        return root / self.folders[0] / self.names[0]

    def places(self, root: Path) -> Iterator[Path]:
        """All places below a data folder: folder by folder, name by name, unpacked ones first."""
        for folder in self.folders:
            for name in self.names:
                yield root / folder / name
                if self.may_be_gzipped:
                    yield root / folder / f"{name}{GZIPPED}"

    def find(self, root: Path) -> Path:
        """The first place where there is anything; the usual one if there is nothing."""
        return next((path for path in self.places(root) if is_there(path)), self.usual(root))

    def described(self) -> str:
        """All places but the usual one, for a message."""
        names = [f"as {name}" for name in self.names[1:]]
        if self.may_be_gzipped:
            names.append(f"with {GZIPPED}")
        folders = f"in {', '.join(self.folders[1:-1])} and the data folder itself"
        return " and ".join([*names, folders])


def is_there(path: Path) -> bool:
    """Whether there is anything at a path, or it cannot be known; then its reader says why."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
    return True


def _mnist(*names: str) -> Sought:
    return Sought(("MNIST/raw", "mnist/raw", "MNIST", "mnist", "raw", "."), names, True)


def _norb(part: str, kind: str) -> Sought:
    folders = ("smallnorb", "small_norb", "smallNORB", ".")
    return Sought(folders, (f"{NORB_PARTS[part]}-{kind}.mat",), True)


#: The files of the datasets that can be downloaded, in the order of their digest. torchvision has
#: MNIST in `MNIST/raw`; the dots for dashes are those of archives unpacked by Windows programs.
SOUGHT: dict[str, tuple[Sought, ...]] = {
    "mnist": (
        _mnist("train-images-idx3-ubyte", "train-images.idx3-ubyte"),
        _mnist("train-labels-idx1-ubyte", "train-labels.idx1-ubyte"),
    ),
    "smallnorb": tuple(_norb(part, kind) for part in NORB_PARTS for kind in NORB_KINDS),
    "dsprites": (Sought(("dsprites", "dSprites", "dsprites-dataset", "."), (DSPRITES,), False),),
}
