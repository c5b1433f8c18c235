"""Images of a user's own: added once, in one form, to the folder of datasets of a machine.

The folder of added images holds `images.npy` (uint8, n x c x side x side), `factors.npy` (int64,
n x f, values from 0) and `about.json` (`polar.spec.own_images.AddedImages`); `origin.json` says
where they came from, and what each value of a factor was.
"""

import json
import re
import shutil
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from uuid import uuid4

import numpy as np
from jaxtyping import Int64, UInt8

from polar.data import catalogue
from polar.data.picture_sources import factors_of_table, pictures
from polar.data.pictures import Picture, Pictures, Value
from polar.data.torchvision_sets import TORCHVISION
from polar.errors import DatasetCorrupt, DatasetError, DatasetMissing, InvalidInput
from polar.files import put_in_place
from polar.folders import data_dir as folder_of_datasets
from polar.spec.datasets import DATASETS, OWN
from polar.spec.fields import FEWEST_IMAGES
from polar.spec.own_images import (
    ABOUT_FILE,
    FACTORS_FILE,
    IMAGES_FILE,
    LONGEST_NAME,
    MOST_VALUES,
    SIDES,
    AddedImages,
    folder_of,
    on_this_machine,
)

ORIGIN_FILE = "origin.json"
#: Images of 28x28 are as common as they cannot be halved five times.
PADDED_SIDE, PADDING = 28, 2


def add_images(
    source: Path | str,
    name: str | None = None,
    *,
    side: int | None = None,
    factors: Path | None = None,
    data_dir: Path | None = None,
) -> tuple[str, AddedImages]:
    """Add images to this machine, so that specs can name them.

    The same images under the same name are added once only.

    Args:
        source: A file of NumPy (`.npy`, `.npz`), a Parquet file, a folder of PNG and JPEG files,
            or `torchvision:CLASS`.
        name: Lower-case letters, digits, `-` and `_`; by default that of the file or folder.
        side: Side in pixels to which pictures are scaled, after the longer side is cut to the
            shorter one; by default they stay as they are.
        factors: A CSV file of factors, besides those that the source has.
        data_dir: Folder of datasets, by default that of `polar.folders.data_dir`.

    Returns:
        The name under which the images are kept, and what is known of them.

    Raises:
        InvalidInput: there are no such images, they have another form than is allowed, the name
            cannot be used, or other images have it.
        DatasetError: a picture is damaged, or they cannot be stored.
    """
    name = _checked_name(name or _name_of(str(source)))
    if side is not None and side not in SIDES:
        raise InvalidInput(f"a side of {side}; allowed: {_sides()}")
    found = pictures(str(source), folder_of_datasets(data_dir))
    if found.n < FEWEST_IMAGES:
        raise InvalidInput(f"{source} has {found.n} images; allowed: at least {FEWEST_IMAGES}")
    values = {**found.factors, **(factors_of_table(factors, found) if factors else {})}
    folder = folder_of(name, data_dir)
    aside = _aside(folder)
    try:
        aside.mkdir(parents=True)
        about = _write(aside, found, values, side, str(source))
        return name, _in_place(aside, folder, name, about, data_dir)
    except OSError as error:
        raise DatasetError(f"the images cannot be stored in {folder}: {error}") from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def remove(name: str, data_dir: Path | None = None) -> None:
    """Remove added images from this machine; runs that have them open go on.

    Raises:
        DatasetMissing: there are none of this name.
        DatasetError: they cannot be removed.
    """
    folder = folder_of(_checked_name(name), data_dir)
    if not folder.is_dir():
        known = ", ".join(on_this_machine(data_dir)) or "none"
        raise DatasetMissing(f"no images were added as {name}; added are: {known}")
    aside = _aside(folder)
    try:
        folder.rename(aside)  # no agent sees half of it
        shutil.rmtree(aside)
    except OSError as error:
        raise DatasetError(f"{folder} cannot be removed: {error}") from error


def read(
    name: str, data_dir: Path | None = None
) -> tuple[UInt8[np.ndarray, "n c side side"], Int64[np.ndarray, "n f"]]:
    """Added images and their factors, in the order in which they were added.

    Raises:
        DatasetMissing: there are none of this name.
        DatasetCorrupt: a file is damaged.
    """
    images, factors = (_array(name, path) for path in catalogue.files(name, data_dir))
    if images.ndim != 4 or images.dtype != np.uint8 or factors.shape[:1] != images.shape[:1]:
        raise DatasetCorrupt(
            f"dataset {name}: it has {images.dtype} images of shape {images.shape} and factors of "
            f"shape {factors.shape}; remove it and add it again"
        )
    return images, factors


def _aside(folder: Path) -> Path:
    """Where a folder is that is not whole, beside its place, under a name that is not listed."""
    return folder.with_name(f".{uuid4().hex}.part")


def note_on(name: str, data_dir: Path | None = None) -> str:
    """The remark that results with these images must carry; often empty."""
    about = on_this_machine(data_dir).get(name)
    return about.note if about else ""


def _array(name: str, path: Path) -> np.ndarray:
    try:
        return np.load(path, mmap_mode="c", allow_pickle=False)
    except FileNotFoundError as error:
        raise DatasetMissing(f"dataset {name}: there is no file {path}") from error
    except (OSError, ValueError, EOFError) as error:
        raise DatasetCorrupt(
            f"dataset {name}: {path} is damaged: {error}; remove it and add it again"
        ) from error


def _name_of(source: str) -> str:
    """The name that images get without being given one."""
    stem = source.removeprefix(TORCHVISION) if source.startswith(TORCHVISION) else ""
    return re.sub(r"[^a-z0-9_-]+", "-", (stem or Path(source).resolve().stem).lower()).strip("-_")


def _checked_name(name: str) -> str:
    if not re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,63}", name):
        raise InvalidInput(
            f"the name {name!r}; allowed: up to 64 lower-case letters, digits, - and _"
        )
    if name in (*DATASETS, OWN):
        raise InvalidInput(f"the name {name} is that of a published dataset; allowed: another")
    return name


def _sides() -> str:
    return f"{SIDES[0]} to {SIDES[-1]} in steps of {SIDES.step}"


def _write(
    folder: Path,
    found: Pictures,
    values: Mapping[str, Sequence[Value]],
    side: int | None,
    source: str,
) -> AddedImages:
    """Write all files of the images, and say what is known of them."""
    channels, own_side, note = _images(folder / IMAGES_FILE, found, side, source)
    flaws = {name: _flaw_of(name, column) for name, column in values.items()}
    left_out = {name: flaw for name, flaw in flaws.items() if flaw is not None}
    kept = {name: coded(column) for name, column in values.items() if name not in left_out}
    columns = np.array([codes for codes, _ in kept.values()], np.int64).reshape(-1, found.n)
    np.save(folder / FACTORS_FILE, np.ascontiguousarray(columns.T))
    about = AddedImages(
        digest=catalogue.digest_of_files([folder / IMAGES_FILE, folder / FACTORS_FILE]),
        side=own_side,
        channels=channels,
        factors={name: len(words) for name, (_, words) in kept.items()},
        images=found.n,
        note=note,
    )
    (folder / ABOUT_FILE).write_text(about.model_dump_json(indent=1), "utf-8")
    origin = {
        "source": source if source.startswith(TORCHVISION) else str(Path(source).resolve()),
        "added_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "values": {name: words for name, (_, words) in kept.items()},
        "left_out": left_out,
    }
    (folder / ORIGIN_FILE).write_text(json.dumps(origin, indent=1, allow_nan=False), "utf-8")
    return about


def _flaw_of(name: str, column: Sequence[Value | None]) -> str | None:
    """Why a column cannot be a factor; None if it can be."""
    if not 1 <= len(name) <= LONGEST_NAME:
        return f"a name of {len(name)} characters"
    if missing := sum(value is None or value != value for value in column):
        return f"no value for {missing:,} images"
    count = len(set(column))
    return f"{count:,} values" if count > MOST_VALUES else None


def coded(column: Sequence[Value]) -> tuple[list[int], list[str]]:
    """The values of a factor as numbers from 0 in their order, and the words for the numbers."""
    try:
        distinct = sorted(set(column))
    except TypeError:  # numbers among words
        distinct = sorted({str(value) for value in column})
        column = [str(value) for value in column]
    number = {value: place for place, value in enumerate(distinct)}
    return [number[value] for value in column], [str(value) for value in distinct]


def _images(path: Path, found: Pictures, side: int | None, source: str) -> tuple[int, int, str]:
    """Write the images; returns their channels, their side, and the remark on them."""
    pictures = found.each() if side is None else (_scaled(each, side) for each in found.each())
    first = next(pictures)
    height, width, channels = first.shape
    padding = PADDING if (height, width) == (PADDED_SIDE, PADDED_SIDE) else 0
    padded = height + 2 * padding
    if height != width or padded not in SIDES:
        raise InvalidInput(_wrong_size(source, first, f"{source} has images"))
    with path.open("wb") as file:
        shape = (found.n, channels, padded, padded)
        header = {"descr": "|u1", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)
        for place, picture in enumerate(chain([first], pictures)):
            if picture.shape != first.shape:
                what = f"image {place} of {source} is not as large as the first: it has"
                raise InvalidInput(_wrong_size(source, picture, what))
            margins = ((padding, padding), (padding, padding), (0, 0))
            file.write(np.pad(picture, margins).transpose(2, 0, 1).tobytes())
    note = f"padded with black from {height}x{height} to {padded}x{padded}" if padding else ""
    return channels, padded, note


def _scaled(picture: Picture, side: int) -> UInt8[np.ndarray, "side side c"]:
    """The square in the middle of a picture, scaled to this side."""
    from PIL import Image

    height, width, channels = picture.shape
    short = min(height, width)
    top, left = (height - short) // 2, (width - short) // 2
    square = picture[top : top + short, left : left + short]
    flat = Image.fromarray(square[..., 0] if channels == 1 else square)
    scaled = np.asarray(flat.resize((side, side), Image.Resampling.LANCZOS))
    return scaled.reshape(side, side, channels)


def _wrong_size(source: str, picture: Picture, what: str) -> str:
    height, width = picture.shape[:2]
    nearest = min(SIDES, key=lambda side: abs(side - min(height, width)))
    return (
        f"{what} {width}x{height} pixels; allowed: squares of one size, {_sides()} pixels, or "
        f"{PADDED_SIDE}; the side {nearest} is the nearest, and `polar data add {source} --side "
        f"{nearest}` scales them to it"
    )


def _in_place(
    aside: Path, folder: Path, name: str, about: AddedImages, data_dir: Path | None
) -> AddedImages:
    """Put added images in their place, unless they are there already."""
    if not folder.exists():
        put_in_place(aside, folder)
        return about
    before = on_this_machine(data_dir).get(name)
    if before == about:
        return before
    raise InvalidInput(
        f"other images were added as {name}; allowed: another --name (in a spec, "
        f"`added: NAME`), or `polar data remove {name}` first"
    )
