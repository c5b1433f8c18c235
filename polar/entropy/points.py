r"""Points in many dimensions, mostly images, and the blocks of their Gaussian Gram matrix.

|x - y|^2 = |x|^2 + |y|^2 - 2 x.y needs one matrix product. For uint8 images the product is exact:
the pixels minus 128 are int8 and their products are integers, the same however they are computed.
float32 holds integers up to 2^24 = 1024 * 128^2, so it is exact for 1024 pixels at a time, even
where the hardware rounds the factors to TF32 or bfloat16.

Other points are centred and multiplied in float64; a squared distance is then off by about
eps |x - centre|^2.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Final

import torch
from jaxtyping import Float, Int8
from torch import Tensor

from polar.entropy.samples import Array, check_real
from polar.errors import InvalidInput

_EXACT_IN_FLOAT32: Final = 1024  # products of int8 in one sum
_EXACT_IN_INT32: Final = 131_071
_LARGEST: Final = 1e100  # largest coordinate allowed; sums of its square stay far from overflow


@dataclass(frozen=True)
class Points:
    """n points with D coordinates each."""

    #: Pixels minus 128, or centred float64.
    coordinates: Float[Tensor, "n D"] | Int8[Tensor, "n D"]
    squares: Float[Tensor, " n"]  #: squared norms of the coordinates
    unit: float  #: how many steps of a coordinate make a unit of length: 255 for uint8, else 1

    def __len__(self) -> int:
        return len(self.coordinates)

    def squared_distances(self, rows: slice, columns: slice) -> Float[Tensor, "r c"]:
        """Squared distances of the points in `rows` from those in `columns`."""
        products = _products(self.coordinates[rows], self.coordinates[columns])
        squares = self.squares[rows, None] + self.squares[columns] - 2 * products
        return squares.clamp_min_(0).div_(self.unit**2)

    def kernel(self, rows: slice, columns: slice, sigma: float) -> Float[Tensor, "r c"]:
        """exp(-d^2 / (2 sigma^2)) for the same distances d."""
        return self.squared_distances(rows, columns).div_(-2 * sigma**2).exp_()


def points(x: Tensor | Array) -> Points:
    """The points of images or codes.

    Args:
        x: Shape (n, ...), flattened to (n, D); uint8 for pixels, which are divided by 255, or any
            other real numbers, finite, up to 1e100, in their own unit.

    Raises:
        InvalidInput: x has no sample or no coordinate, or a value that is masked or not usable.
    """
    check_real(x)
    if x.ndim < 2 or 0 in x.shape:
        raise InvalidInput(f"x has shape {tuple(x.shape)}; allowed: (n, ...) without 0")
    flat = torch.as_tensor(x).detach().reshape(len(x), -1)
    if flat.dtype == torch.uint8:
        pixels = (flat.short() - 128).to(torch.int8)
        return Points(pixels, pixels.double().square().sum(1), 255.0)
    exact = flat.double()
    if not exact.abs().max() <= _LARGEST:  # written this way, NaN is refused too
        row, column = divmod(int((exact.abs() <= _LARGEST).int().argmin()), exact.shape[1])
        raise InvalidInput(
            f"x[{row}] is {exact[row, column]} at place {column}; "
            f"allowed: finite numbers up to {_LARGEST:g}"
        )
    centred = exact - exact.mean(0)
    return Points(centred, centred.square().sum(1), 1.0)


def _products(
    a: Float[Tensor, "r D"] | Int8[Tensor, "r D"], b: Float[Tensor, "c D"] | Int8[Tensor, "c D"]
) -> Float[Tensor, "r c"]:
    """Scalar products in float64; exact for int8."""
    if a.dtype != torch.int8:
        return a @ b.T
    if a.device.type == "cpu" and a.shape[1] <= _EXACT_IN_INT32 and _int8_is_faster():
        return torch._int_mm(a, b.T).double()
    return _float32_products(a, b)


def _float32_products(a: Int8[Tensor, "r D"], b: Int8[Tensor, "c D"]) -> Float[Tensor, "r c"]:
    total = a.new_zeros(len(a), len(b), dtype=torch.float64)
    parts = (torch.split(factor, _EXACT_IN_FLOAT32, 1) for factor in (a, b))
    for left, right in zip(*parts, strict=True):
        total += left.float() @ right.float().T
    return total


@cache
def _int8_is_faster() -> bool:
    """Whether torch multiplies int8 matrices exactly, and faster than float32 matrices.

    torch's int8 product is private, saturates on processors that add pairs in 16 bits, and falls
    back to a plain loop, forty times slower, on processors without a suitable instruction. Where
    it is exact, both products are the same integers, so the choice changes no result.
    """
    a = torch.tensor([[127], [-128]] * 64, dtype=torch.int8).expand(-1, 1024).contiguous()
    try:
        exact = torch.equal(torch._int_mm(a, a.T).double(), _float32_products(a, a))
    except (AttributeError, RuntimeError):
        return False
    return exact and _seconds(lambda: torch._int_mm(a, a.T)) < _seconds(
        lambda: _float32_products(a, a)
    )


def _seconds(multiply: Callable[[], Tensor]) -> float:
    least = math.inf
    for _ in range(3):
        begin = time.perf_counter()
        multiply()
        least = min(least, time.perf_counter() - begin)
    return least
