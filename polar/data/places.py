"""Where the files of a downloaded dataset lie below a data folder."""

from collections.abc import Iterator
from pathlib import Path

from polar.spec.sources import SourceFile

#: Ending of gzipped files.
GZIPPED = ".gz"


def usual_place(file: SourceFile, root: Path) -> Path:
    """Where the file is expected below the data folder, unpacked."""
    return root / file.folders[0] / file.names[0]


def download_place(file: SourceFile, root: Path) -> Path:
    """Where a download of the file belongs: gzipped if it comes so and is not unpacked."""
    place = usual_place(file, root)
    stays_packed = not file.unpacked and any(url.endswith(GZIPPED) for url in file.urls)
    return place.with_name(f"{place.name}{GZIPPED}") if stays_packed else place


def places(file: SourceFile, root: Path) -> Iterator[Path]:
    """All places that are searched: folder by folder, name by name, unpacked files first."""
    for folder in file.folders:
        for name in file.names:
            yield root / folder / name
            if file.may_be_gzipped:
                yield root / folder / f"{name}{GZIPPED}"


def find(file: SourceFile, root: Path) -> Path:
    """The first place where there is anything; the usual one if there is nothing."""
    there = (path for path in places(file, root) if is_there(path))
    return next(there, usual_place(file, root))


def other_places(file: SourceFile) -> str:
    """All places but the usual one in words, for a message."""
    names = [f"as {name}" for name in file.names[1:]]
    if file.may_be_gzipped:
        names.append(f"with {GZIPPED}")
    folders = f"in {', '.join(file.folders[1:-1])} and the data folder itself"
    return " and ".join([*names, folders])


def is_there(path: Path) -> bool:
    """Whether there is anything at a path.

    A path that cannot be looked at counts as there, so that whoever reads it says why.
    """
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
    return True
