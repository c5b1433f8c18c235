"""Sprites drawn by Polar on the factor grid of dSprites: squares, ellipses and hearts.

The same factors and about the same sizes as in dSprites, but not its pixels: edges are smooth,
and the 40 orientations are all different, where the first and the last of dSprites are the same.
Results say so.

Notation:
    u, v: to the right and down from the centre of mass of an upright sprite of scale 1, in pixels
        of a 64x64 image.
    stamp: a sprite on the smallest square that holds all of them. An image is a stamp on black.
"""

from collections.abc import Iterator
from functools import cache

import numpy as np
import torch
from jaxtyping import Bool, Float64, Int64, UInt8
from torch import Tensor

from polar.data.order import order
from polar.data.prepared import Block, stored, stored_for_now, stored_or_made
from polar.spec.datasets import SPRITES_VERSION

#: Values of shape, scale, orientation, x, y; the last varies fastest.
GRID = (3, 6, 40, 32, 32)
COUNT = 737_280
#: Neighbouring positions are a pixel apart, so that all stamps together fill the image.
SIDE, POSITIONS = 64, 32
STAMP = SIDE - POSITIONS + 1
#: Points of a pixel in each direction; its grey is the share of them inside the sprite. There are
#: as many as a byte has bits, because bits are counted fast.
POINTS = 8
SCALES = np.linspace(0.5, 1, GRID[1])
#: Side of the square, and of the square inside the heart, in pixels.
SQUARE_SIDE, HEART_SIDE = 19.2, 11.25
#: Half axes of the ellipse, in pixels.
ELLIPSE = (13.0, 7.0)
#: Images drawn at once.
BLOCK = 2048

NOTE = "sprites drawn by Polar on the factor grid of dSprites; not the images of dSprites"

Coordinates = Float64[np.ndarray, "points points"]
Inside = Bool[np.ndarray, "points points"]


def read(
    images: int, side: int, absent: float, digest: str
) -> tuple[UInt8[Tensor, "n 1 side side"], Int64[Tensor, "n 5"]]:
    """The first images in the order of the digest, and their factors.

    Args:
        images: Number of images.
        side: Side of an image, 32 or 64 pixels.
        absent: Fraction of the images without a sprite, 0 to 1; their factors are those that
            the sprite would have had.
        digest: SHA-256 (hex) of the dataset, which decides the order.
    """
    stem = f"sprites-{digest[:16]}"
    rows = stored_or_made(f"{stem}-order", lambda: torch.from_numpy(order(digest, COUNT)))
    chosen = rows[:images].numpy()
    blocks = _blocks(chosen, side, absent)
    # A search over the absent fraction must not fill the disk, and drawing takes seconds.
    pictures = (
        stored_for_now(images, side, blocks) if absent else stored(stem, images, side, blocks)
    )
    return pictures, torch.from_numpy(factors_of(chosen))


def factors_of(indices: Int64[np.ndarray, " n"]) -> Int64[np.ndarray, "n 5"]:
    """Shape, scale, orientation, x and y of sprites, each from 0."""
    return np.stack(np.unravel_index(indices, GRID), axis=1).astype(np.int64)


def is_present(indices: Int64[np.ndarray, " n"], absent: float) -> Bool[np.ndarray, " n"]:
    """Whether an image has its sprite, which its index alone decides, as if by chance.

    A sprite that is absent at some fraction is also absent at every larger fraction.
    """
    return _chances()[indices] >= absent


def render(
    indices: Int64[np.ndarray, " n"], side: int, absent: float = 0.0
) -> UInt8[np.ndarray, "n side side"]:
    """Draws sprites, white on black.

    Args:
        indices: Places in the grid, 0 to COUNT - 1.
        side: Of an image, 32 or 64 pixels; an image of 32 has the means of 2x2 pixels.
        absent: Part of all images without a sprite, 0 to 1.
    """
    shape, scale, orientation, x, y = factors_of(indices).T
    last = POSITIONS - 1
    windows = np.lib.stride_tricks.sliding_window_view(_framed_stamps(), (SIDE, SIDE), (3, 4))
    images = windows[shape, scale, orientation, last - y, last - x]
    images[~is_present(indices, absent)] = 0
    return images if side == SIDE else _halved(images)


def _blocks(chosen: Int64[np.ndarray, " n"], side: int, absent: float) -> Iterator[Block]:
    for first in range(0, len(chosen), BLOCK):
        indices = chosen[first : first + BLOCK]
        yield np.arange(first, first + len(indices)), render(indices, side, absent)


@cache
def _chances() -> Float64[np.ndarray, " count"]:
    return np.random.PCG64(SPRITES_VERSION).random_raw(COUNT) / 2.0**64


def _halved(images: UInt8[np.ndarray, "n 64 64"]) -> UInt8[np.ndarray, "n 32 32"]:
    corners = [images[:, row::2, column::2] for row in (0, 1) for column in (0, 1)]
    sums: np.ndarray = np.stack(corners).sum(axis=0, dtype=np.uint16)
    return ((sums + 2) // 4).astype(np.uint8)


@cache
def _framed_stamps() -> UInt8[np.ndarray, "3 6 40 frame frame"]:
    """All stamps, each in a black frame so wide that windows of an image's size see it move."""
    stamps = np.empty((*GRID[:3], STAMP, STAMP), np.uint8)
    for orientation in range(GRID[2]):
        u, v = _turned(2 * np.pi * orientation / GRID[2])
        for scale, size in enumerate(SCALES):
            for shape, is_inside in enumerate((_square, _ellipse, _heart)):
                counts = np.bitwise_count(np.packbits(is_inside(u / size, v / size), axis=1))
                counts = counts.reshape(STAMP, POINTS, STAMP).sum(axis=1)
                stamps[shape, scale, orientation] = np.rint(counts * (255 / POINTS**2))
    frame = POSITIONS - 1
    return np.pad(stamps, [(0, 0)] * 3 + [(frame, frame)] * 2)


def _turned(angle: float) -> tuple[Coordinates, Coordinates]:
    """U and v of all points of a stamp whose sprite is turned clockwise."""
    centred = (np.arange(STAMP * POINTS) + 0.5) / POINTS - STAMP / 2
    right, down = centred[None, :], centred[:, None]
    return (
        np.cos(angle) * right + np.sin(angle) * down,
        np.cos(angle) * down - np.sin(angle) * right,
    )


def _square(u: Coordinates, v: Coordinates) -> Inside:
    return np.maximum(np.abs(u), np.abs(v)) < SQUARE_SIDE / 2


def _ellipse(u: Coordinates, v: Coordinates) -> Inside:
    return (u / ELLIPSE[0]) ** 2 + (v / ELLIPSE[1]) ** 2 < 1


def _heart(u: Coordinates, v: Coordinates) -> Inside:
    """A square on its corner, and a half disc on each of its upper sides."""
    half = HEART_SIDE / 2
    # the centre of mass is so far above that of the square
    rise = HEART_SIDE * (4 + 3 * np.pi) / (4 + np.pi) / np.sqrt(72)
    up = rise - v
    across = np.abs(u)  # the left half is the right one's mirror image
    a, b = (across + up) / np.sqrt(2), (across - up) / np.sqrt(2)
    return (np.maximum(np.abs(a), np.abs(b)) < half) | ((a - half) ** 2 + b**2 < half**2)
