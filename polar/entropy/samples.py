"""The estimators' input: finite real samples, as NumPy arrays or torch tensors."""

import math
from collections.abc import Iterator
from typing import Any, Final, TypeAlias, TypeVar

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from polar.errors import InvalidInput

#: Most bytes of columns that are copied together. They share the lines of memory in which the rows
#: of an array lie, of which copying a single column uses one number.
_COPIED_BYTES: Final = 16 * 2**20
_ROWS: Final = 4096  # rows copied at once: they stay in the first-level cache

Array: TypeAlias = NDArray[Any]
ArrayT = TypeVar("ArrayT", Tensor, Array)


def columns(x: Tensor | Array) -> Iterator[Float[Tensor, " n"]]:
    """Each column as contiguous float64, on the device of x.

    Args:
        x: Samples, shape (n, d), or (n,) for one column.

    Raises:
        InvalidInput: x has another shape, no samples, a masked value, or a value that is not a
            finite real number.
    """
    check_real(x)
    if x.ndim not in (1, 2) or 0 in x.shape:
        raise InvalidInput(f"x has shape {tuple(x.shape)}; allowed: (n,) or (n, d) without 0")
    matrix = x if x.ndim == 2 else x[:, None]
    together = max(1, _COPIED_BYTES // (8 * len(matrix)))
    for first in range(0, matrix.shape[1], together):
        # No name here holds the copies while the next are made.
        yield from _copies(matrix[:, first : first + together], first)


def in_kind_of(x: Tensor | Array, values: Array | Tensor) -> Any:  # noqa: ANN401
    """The values as a tensor on x's device if x is a tensor, else as an array."""
    tensor = torch.as_tensor(values)
    return tensor.to(x.device) if isinstance(x, Tensor) else tensor.cpu().numpy()


def check_real(x: Tensor | Array) -> None:
    """Refuse complex numbers, text, objects and masked values; raises InvalidInput."""
    if isinstance(x, np.ma.MaskedArray):
        _refuse_masked(np.ma.getmaskarray(x))
    real = not x.is_complex() if isinstance(x, Tensor) else x.dtype.kind in "biuf"
    if not real:
        raise InvalidInput(f"the samples' type is {x.dtype}; allowed: real numbers")


def check_positive(name: str, value: float, unit: str = "") -> None:
    """Refuse a value that is not positive and finite; raises InvalidInput."""
    if not 0 < value < math.inf:
        raise InvalidInput(f"{name} is {value}{unit}; allowed: positive and finite")


def _refuse_masked(mask: NDArray[np.bool_]) -> None:
    if mask.any():
        place = ", ".join(map(str, np.argwhere(mask)[0].tolist()))
        raise InvalidInput(
            f"x[{place}] is masked ({mask.sum()} of {mask.size} values are); allowed: arrays "
            "without masked values, such as those of the samples that have all"
        )


def _copies(columns_: Tensor | Array, first: int) -> Float[Tensor, "d n"]:
    """Some columns, of which the first has this number, as rows of float64."""
    n, d = columns_.shape
    device = columns_.device if isinstance(columns_, Tensor) else None
    # NumPy asks for huge pages, which the operating system hands out far faster than small ones.
    copies = torch.from_numpy(np.empty((d, n))).to(device)
    at_once = n if device and device.type != "cpu" else _ROWS
    for begin in range(0, n, at_once):
        rows = slice(begin, begin + at_once)
        if isinstance(columns_, Tensor):
            copies[:, rows] = columns_[rows].detach().T
        else:
            np.copyto(copies.numpy()[:, rows], columns_[rows].T, casting="unsafe")
    for j, samples in enumerate(copies, first):
        # Where a sample is NaN, aminmax returns NaN for both extremes.
        if not all(extreme.isfinite() for extreme in samples.aminmax()):
            row = int(samples.isfinite().int().argmin())
            raise InvalidInput(f"x[{row}, {j}] is {samples[row]}; allowed: finite numbers")
    return copies
