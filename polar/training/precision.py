"""The precision of networks, which follows from the spec and not from torch's global settings."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from polar.spec.training import Precision

_torch: Any = torch.backends  # its types know only a part of it
#: What must hold for float32 to be exact. Only the newer settings are read and written, because
#: torch refuses to read the older ones where a program has used both.
_EXACT: tuple[tuple[Any, str, object], ...] = (
    (_torch.cudnn, "enabled", True),
    (_torch.cudnn, "benchmark", False),
    (_torch.cudnn, "deterministic", True),
    (_torch.cudnn.conv, "fp32_precision", "ieee"),
    (_torch.cuda.matmul, "fp32_precision", "ieee"),
    (_torch.mkldnn.conv, "fp32_precision", "ieee"),
    (_torch.mkldnn.matmul, "fp32_precision", "ieee"),
)


def autocast(precision: Precision, device: torch.device) -> torch.autocast:
    """Convolutions and products of matrices inside take and give numbers of this precision.

    Weights, gradients, the latents' parameters and all losses are float32 in any case.
    """
    is_enabled = precision == "bfloat16"
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=is_enabled)


@contextmanager
def exact_float32() -> Iterator[None]:
    """Inside, float32 is not rounded any further, and the same sums repeat to the last bit.

    By default torch rounds the factors of convolutions on a GPU to TF32, and may sum in an order
    that changes from call to call. A program can have it round those of products of matrices
    too, on a CPU to bfloat16.
    """
    before = [getattr(owner, name) for owner, name, _ in _EXACT]
    try:
        for owner, name, value in _EXACT:
            setattr(owner, name, value)
        yield
    finally:
        for (owner, name, _), value in zip(_EXACT, before, strict=True):
            setattr(owner, name, value)
