"""Where the images of a dataset come from: all that is known of its files without opening them.

`polar.data.catalogue` and `polar.data.download` read these descriptions. A dataset that is
downloaded has to name its files, their usual places, their addresses and their checksums.
"""

from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True)
class SourceFile:
    """One file of a downloaded dataset: where it may lie, and what was published."""

    #: Folders below the data folder where the file may lie. Downloads go to the first; `.` is the
    #: data folder itself and comes last.
    folders: tuple[str, ...]
    #: Names under which people keep the file; downloads get the first name.
    names: tuple[str, ...]
    #: Addresses of the file, in the order in which they are tried.
    urls: tuple[str, ...]
    #: Checksum of the content at the addresses: `sha256:` or `md5:`, followed by its digits.
    checksum: str
    #: Checksum of the unpacked content, for a gzipped download that is stored unpacked; None for a
    #: download that is stored as it comes.
    unpacked: str | None = None
    #: Whether a gzipped file, with `.gz` after the name, is read as well.
    may_be_gzipped: bool = True


@dataclass(frozen=True)
class Downloaded:
    """The dataset is fetched by `polar data fetch`, or put in its place by hand."""

    #: The files, in the order in which the digest of the dataset reads them.
    files: tuple[SourceFile, ...]


@dataclass(frozen=True)
class Packaged:
    """The dataset is one file inside a package that Polar depends on."""

    #: The names by which the package is imported and by which it is installed.
    module: str
    distribution: str
    #: Path of the file below the folder of the package.
    path: str


@dataclass(frozen=True)
class Drawn:
    """Polar draws the dataset, so there is no file."""

    #: Version of the drawing; the digest is made from it, so it rises whenever a pixel changes.
    version: int


@dataclass(frozen=True)
class Added:
    """The dataset is the user's own and was added to this machine by `polar data add`."""


Source: TypeAlias = Downloaded | Packaged | Drawn | Added
