"""Transposed convolutions that double the side, up to four times as fast as torch's on a CPU.

A narrow decoder spends nearly all of its time in transposed convolutions. Torch takes long for
their outputs, which are computed here in another way, but not for their gradients, which are left
to torch.

Before the padding is cut off, output row 2 i + k takes row k of the kernel from input row i. So
the two rows of block i take kernel rows s from input row i and kernel rows s + 2 from input row
i - 1, where s = 0, 1 is the row of the block; the same holds for columns. The blocks are thus a
convolution of 2x2 pixels with four output channels for each channel.

Notation:
    n, c, h, w: images of a batch, channels of the output, height and width of the input.
    2 a + s, 2 b + t: row and column of the kernel.
"""

from itertools import product
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from polar.errors import InvalidInput

KERNEL = 4
STRIDE = 2
PADDING = 1
#: Pixels of an input up to which a full matrix, which has zeros where no tap is, is faster.
_FEW_PIXELS = 4


class Transposed(nn.ConvTranspose2d):
    """A transposed convolution of 4x4 taps, stride 2 and padding 1."""

    bias: Tensor

    def __init__(self, c_in: int, c_out: int, device: str | None = None) -> None:
        super().__init__(c_in, c_out, KERNEL, STRIDE, PADDING, device=device)

    def forward(
        self, x: Float[Tensor, "n c_in h w"], output_size: list[int] | None = None
    ) -> Float[Tensor, "n c rows columns"]:
        """The same as torch's layer, up to rounding.

        Raises:
            InvalidInput: an output size is asked for; the layer always doubles the side.
        """
        if output_size is not None:
            raise InvalidInput(f"output_size is {output_size}; allowed: None, twice the input's")
        if x.device.type != "cpu":
            return super().forward(x)
        dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else x.dtype
        drawn: Tensor = _Drawn.apply(x.to(dtype), self.weight.to(dtype), self.bias.to(dtype))
        return drawn


class _Drawn(torch.autograd.Function):
    """The output of a layer, with torch's own gradients."""

    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401
        x: Float[Tensor, "n c_in h w"],
        weight: Float[Tensor, "c_in c 4 4"],
        bias: Float[Tensor, " c"],
    ) -> Float[Tensor, "n c rows columns"]:
        ctx.save_for_backward(x, weight)
        n, _, h, w = x.shape
        if h * w <= _FEW_PIXELS:
            drawn = _by_matrix(x, weight, bias)
        else:
            blocks = (_sums if len(bias) == 1 else _convolution)(x, weight, bias)
            padded = blocks.reshape(n, 2 * h + 2, 2 * w + 2, len(bias))
            drawn = padded[:, 1:-1, 1:-1]
        return drawn.permute(0, 3, 1, 2)

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any,  # noqa: ANN401
        gradient: Float[Tensor, "n c rows columns"],
    ) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        gradients: tuple[Tensor | None, ...] = torch.ops.aten.convolution_backward(
            gradient.contiguous(),
            x,
            weight,
            bias_sizes=[gradient.shape[1]],
            stride=[STRIDE, STRIDE],
            padding=[PADDING, PADDING],
            dilation=[1, 1],
            transposed=True,
            output_padding=[0, 0],
            groups=1,
            output_mask=ctx.needs_input_grad,
        )
        return gradients


def _by_matrix(x: Tensor, weight: Tensor, bias: Tensor) -> Float[Tensor, "n rows columns c"]:
    """The output by a matrix that takes all pixels of the input to all of the output."""
    n, c_in, h, w = x.shape
    matrix = x.new_zeros(c_in, h, w, 2 * h + 2, 2 * w + 2, len(bias))
    taps = weight.permute(0, 2, 3, 1)
    for i, j in product(range(h), range(w)):
        matrix[:, i, j, 2 * i : 2 * i + KERNEL, 2 * j : 2 * j + KERNEL] = taps
    drawn = x.flatten(1) @ matrix[:, :, :, 1:-1, 1:-1].reshape(c_in * h * w, -1)
    return drawn.view(n, 2 * h, 2 * w, -1) + bias


def _convolution(x: Tensor, weight: Tensor, bias: Tensor) -> Float[Tensor, "n h1 2 w1 2 c"]:
    """The blocks by one convolution, in torch's layout of channels last."""
    n, c_in, h, w = x.shape
    taps = weight.view(c_in, -1, 2, 2, 2, 2).flip(2, 4)  # c_in c a s b t
    kernel = taps.permute(3, 5, 1, 0, 2, 4).flatten(0, 2)
    last = torch.channels_last
    blocks = F.conv2d(
        x.contiguous(memory_format=last),
        kernel.contiguous(memory_format=last),
        bias.repeat(4),
        padding=1,
    )
    return blocks.permute(0, 2, 3, 1).view(n, h + 1, w + 1, 2, 2, -1).transpose(2, 3)


def _sums(x: Tensor, weight: Tensor, bias: Tensor) -> Float[Tensor, "n h1 2 w1 2"]:
    """The blocks of a single channel by a product of matrices and four sums."""
    n, c_in, h, w = x.shape
    pixels = x.permute(0, 2, 3, 1).reshape(-1, c_in)
    taps = (weight.reshape(c_in, -1).T @ pixels.T).view(2, 2, 2, 2, n, h, w)  # a s b t
    # Under autocast each part and each sum is rounded to bfloat16, and in torch's layer the result
    # alone. Sums in float32 would move the numbers of trainings in bfloat16.
    blocks = bias.expand(2, 2, n, h + 1, w + 1).clone()  # s t
    for a, b in product(range(2), repeat=2):
        blocks[:, :, :, a : a + h, b : b + w] += taps[a, :, b]
    return blocks.permute(2, 3, 0, 4, 1)
