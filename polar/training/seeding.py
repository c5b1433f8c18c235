"""The random generators of a run, all derived from its seed.

Each purpose has its own generator, so drawing more numbers for one purpose changes nothing for
another. The global generators of torch and numpy are neither used nor seeded.
"""

import hashlib

import torch
from jaxtyping import Float32, Int64
from torch import Tensor


def weights(seed: int) -> torch.Generator:
    """Generator of a model's first weights; on the CPU, so they are the same on every device."""
    return _generator(f"weights {seed}")


def noise(seed: int, device: torch.device) -> torch.Generator:
    """Generator of the posteriors' samples, on the device that uses them."""
    return _generator(f"noise {seed}", device)


def evaluation_noise(
    shape: tuple[int, int, int], device: torch.device
) -> Float32[Tensor, "draws n m"]:
    """The standard normal noise of evaluations, the same for every seed and on every device."""
    return torch.randn(shape, generator=_generator("evaluation")).to(device)


def order(seed: int, epoch: int, n: int) -> Int64[Tensor, " n"]:
    """The order of n images in an epoch, which depends only on n, seed and epoch."""
    return torch.randperm(n, generator=_generator(f"order {seed} {epoch}"))


def _generator(purpose: str, device: torch.device | None = None) -> torch.Generator:
    digest = hashlib.sha256(purpose.encode()).digest()
    # Only 32 bits are used because torch's CPU generator ignores the others.
    return torch.Generator(device or "cpu").manual_seed(int.from_bytes(digest[:4], "big"))
