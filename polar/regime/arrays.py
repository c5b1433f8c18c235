"""Takes arrays of any kind as NumPy arrays, with exactly their values, or refuses them."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float64
from numpy.typing import NDArray
from torch import Tensor

from polar.errors import InvalidInput

#: The types of Python and NumPy for real numbers that float64 holds.
_REAL = (int, float, np.integer, np.floating)
#: The floating types of torch that NumPy has too; others, such as bfloat16, are exact in float64.
_NUMPYS = (torch.float16, torch.float32, torch.float64)


def as_array(name: str, values: Any) -> NDArray[Any]:  # noqa: ANN401
    """The values as a NumPy array, of any shape and type.

    Args:
        name: What messages call the values.
        values: An array, or anything that NumPy turns into one, such as a table of pandas.

    Raises:
        InvalidInput: the values are masked, sparse, on the device meta, or ragged.
    """
    if isinstance(values, Tensor):
        return _of_tensor(name, values)
    if hasattr(values, "todense"):
        raise InvalidInput(
            f"{name} is a sparse {type(values).__name__}; allowed: dense arrays, as its todense() "
            "or toarray() returns"
        )
    try:
        numbers = np.asanyarray(values)
    except (ValueError, TypeError, RuntimeError) as error:
        raise InvalidInput(f"{name} is no array: {error}; allowed: arrays of one shape") from error
    if isinstance(numbers, np.ma.MaskedArray):
        _refuse_masked(name, np.ma.getmaskarray(numbers))
    return np.asarray(numbers)


def as_float64(name: str, values: Any) -> Float64[np.ndarray, "..."]:  # noqa: ANN401
    """A copy of the values as float64, which nobody else can change.

    Raises:
        InvalidInput: the values are not real numbers, or `as_array` refuses them.
    """
    numbers = as_array(name, values)
    if numbers.dtype.kind == "O":
        _refuse_objects(name, numbers)
    elif numbers.dtype.kind not in "iuf":
        raise InvalidInput(f"{name} of {numbers.dtype}; allowed: real numbers")
    try:
        with np.errstate(over="ignore"):  # callers refuse what becomes infinite
            return np.array(numbers, dtype=np.float64)
    except OverflowError as error:
        raise InvalidInput(f"{name} has an integer beyond all floats; allowed: floats") from error


def place_of(index: Sequence[int]) -> str:
    """Where a value stands, in words for a message."""
    if len(index) == 2:
        return f"latent {index[1]} in image {index[0]}"
    return f"place {', '.join(map(str, index))}" if index else "its only place"


def _of_tensor(name: str, values: Tensor) -> NDArray[Any]:
    if values.layout is not torch.strided or values.is_nested or values.is_quantized:
        kind = str(values.layout).removeprefix("torch.")
        kind = "nested" if values.is_nested else "quantized" if values.is_quantized else kind
        raise InvalidInput(
            f"{name} is a {kind} tensor; allowed: dense tensors, as its to_dense(), "
            "to_padded_tensor() or dequantize() returns"
        )
    if values.is_meta:
        raise InvalidInput(f"{name} is a tensor on the device meta, which has no values")
    here = values.detach().cpu().resolve_conj().resolve_neg()
    is_only_torchs = here.is_floating_point() and here.dtype not in _NUMPYS
    return (here.double() if is_only_torchs else here).numpy()


def _refuse_masked(name: str, mask: NDArray[np.bool_]) -> None:
    if mask.any():
        place = place_of(np.argwhere(mask)[0].tolist())
        raise InvalidInput(
            f"{name} is masked at {place} ({mask.sum()} of {mask.size} values are); allowed: "
            "arrays without masked values, such as those of the images that have all"
        )


def _refuse_objects(name: str, values: NDArray[Any]) -> None:
    for index, value in np.ndenumerate(values):
        if isinstance(value, bool) or not isinstance(value, _REAL):
            raise InvalidInput(
                f"{name} has {value!r:.80} of type {type(value).__name__} at {place_of(index)}; "
                "allowed: real numbers"
            )
