"""Pictures before they become a dataset: as arrays of bytes, decoded by Pillow."""

import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import UInt8

from polar.errors import DatasetCorrupt

#: A picture: height, width, and one or three channels.
Picture: TypeAlias = UInt8[np.ndarray, "height width c"]
#: The value of a factor as it was found.
Value: TypeAlias = str | int | float | bool


@dataclass(frozen=True)
class Pictures:
    """Pictures that are not read yet, and what is known of each."""

    #: Number of pictures.
    n: int
    #: Yields each of them in order; it raises `DatasetCorrupt` at one that cannot be read.
    each: Callable[[], Iterator[Picture]]
    #: The value of each factor for each picture.
    factors: Mapping[str, Sequence[Value]]
    #: What each picture is called, to which a table of factors can refer; often nothing.
    names: Sequence[str] = field(default=())


def has_no_colours(picture: Any) -> bool:  # noqa: ANN401
    """Whether a picture of Pillow is grey; such a picture may have 1, 8, 16 or 32 bits."""
    return picture.mode in ("1", "L", "LA") or picture.mode.startswith("I")


def decoded(what: str, file: Path | io.BytesIO, *, is_grey: bool) -> Picture:
    """The picture of a file, turned as its camera was held, with black where it is transparent.

    Args:
        what: What messages call the picture.
        file: Its path, or its bytes.
        is_grey: Whether it gets one channel rather than three.

    Raises:
        DatasetCorrupt: Pillow cannot read it.
    """
    from PIL import ImageOps

    with opened(what, file) as picture:
        try:
            return as_array(ImageOps.exif_transpose(picture), is_grey=is_grey)
        except (OSError, SyntaxError, ValueError) as error:
            raise DatasetCorrupt(f"{what} is no picture that can be read: {error}") from error


def as_array(picture: Any, *, is_grey: bool) -> Picture:  # noqa: ANN401
    """A picture of Pillow as an array, with black where it is transparent."""
    from PIL import Image

    if picture.mode.startswith("I"):  # 16 bits, of which 8 are kept
        deep = np.asarray(picture).astype(np.float64)
        shallow = np.round(deep / 257).clip(0, 255).astype(np.uint8)[..., None]
        return shallow if is_grey else shallow.repeat(3, axis=2)
    if picture.mode in ("LA", "PA", "RGBA") or "transparency" in picture.info:
        picture = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", picture.size, "black"), picture)
    flat = np.asarray(picture.convert("L" if is_grey else "RGB"))
    return flat[..., None] if flat.ndim == 2 else flat


def opened(what: str, file: Path | io.BytesIO) -> Any:  # noqa: ANN401
    """A picture of Pillow that is not decoded yet; raises as `decoded` does."""
    from PIL import Image, UnidentifiedImageError

    try:
        return Image.open(file)
    except (OSError, SyntaxError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise DatasetCorrupt(f"{what} is no picture that can be read: {error}") from error
