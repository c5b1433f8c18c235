"""The precision of networks, which follows from the spec and not from torch's global settings."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from polar.spec.training import Precision


def autocast(precision: Precision, device: torch.device) -> torch.autocast:
    """Convolutions and products of matrices inside take and give numbers of this precision.

    Weights, gradients, the latents' parameters and all losses are float32 in any case.
    """
    is_enabled = precision == "bfloat16"
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=is_enabled)


@contextmanager
def exact_convolutions() -> Iterator[None]:
    """Convolutions of float32 on a GPU are not rounded to TF32, and repeat to the last bit.

    By default torch allows both TF32 and sums in an order that changes from call to call.
    """
    with torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False):
        yield
