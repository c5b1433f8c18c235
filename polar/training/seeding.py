"""Where all chance of a run comes from: generators derived from its seed.

Each purpose has a generator of its own, so that drawing more for one changes nothing for another.
torch's and numpy's global generators are neither used nor seeded.
"""

import hashlib

import torch
from jaxtyping import Int64
from torch import Tensor


def weights(seed: int) -> torch.Generator:
    """For the first weights of a model; of the CPU, so that every device starts alike."""
    return _generator(f"weights {seed}")


def noise(seed: int, device: torch.device) -> torch.Generator:
    """For the samples of the posteriors; on the device that uses them."""
    return _generator(f"noise {seed}", device)


def order(seed: int, epoch: int, n: int) -> Int64[Tensor, " n"]:
    """The order of n images in one epoch; a function of seed and epoch alone."""
    return torch.randperm(n, generator=_generator(f"order {seed} {epoch}"))


def _generator(purpose: str, device: torch.device | None = None) -> torch.Generator:
    digest = hashlib.sha256(purpose.encode()).digest()
    # 32 bits, since torch's generator of the CPU ignores the others.
    return torch.Generator(device or "cpu").manual_seed(int.from_bytes(digest[:4], "big"))
