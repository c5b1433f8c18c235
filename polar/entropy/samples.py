"""The estimators' input: finite real samples, as NumPy arrays or torch tensors."""

import math
from collections.abc import Iterator
from typing import Any, TypeAlias, TypeVar

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from polar.errors import InvalidInput

Array: TypeAlias = NDArray[Any]
ArrayT = TypeVar("ArrayT", Tensor, Array)


def columns(x: Tensor | Array) -> Iterator[Float[Tensor, " n"]]:
    """Each column as contiguous float64, on the device of x.

    Args:
        x: Samples, shape (n, d), or (n,) for one column.

    Raises:
        InvalidInput: x has another shape, no samples, or a value that is not a finite real number.
    """
    check_real(x)
    if x.ndim not in (1, 2) or 0 in x.shape:
        raise InvalidInput(f"x has shape {tuple(x.shape)}; allowed: (n,) or (n, d) without 0")
    for j, column in enumerate(x.T if x.ndim == 2 else [x]):
        samples = _as_float64(column)
        # Where a sample is NaN, aminmax returns NaN for both extremes.
        if not all(extreme.isfinite() for extreme in samples.aminmax()):
            row = int(samples.isfinite().int().argmin())
            raise InvalidInput(f"x[{row}, {j}] is {samples[row]}; allowed: finite numbers")
        yield samples


def in_kind_of(x: Tensor | Array, values: Array | Tensor) -> Any:  # noqa: ANN401
    """The values as a tensor on x's device if x is a tensor, else as an array."""
    tensor = torch.as_tensor(values)
    return tensor.to(x.device) if isinstance(x, Tensor) else tensor.cpu().numpy()


def check_real(x: Tensor | Array) -> None:
    """Refuse complex numbers, text and objects; raises InvalidInput."""
    real = not x.is_complex() if isinstance(x, Tensor) else x.dtype.kind in "biuf"
    if not real:
        raise InvalidInput(f"the samples' type is {x.dtype}; allowed: real numbers")


def check_positive(name: str, value: float, unit: str = "") -> None:
    """Refuse a value that is not positive and finite; raises InvalidInput."""
    if not 0 < value < math.inf:
        raise InvalidInput(f"{name} is {value}{unit}; allowed: positive and finite")


def _as_float64(column: Tensor | Array) -> Float[Tensor, " n"]:
    if isinstance(column, Tensor):
        return column.detach().double().contiguous()
    return torch.from_numpy(np.array(column, dtype=np.float64))
