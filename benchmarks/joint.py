"""Joint entropies of images and latents, compared with naive torch.

    python -m benchmarks.joint --out DIR

`python -m benchmarks.entropy` measures them too.

Times are CPU times; set OMP_NUM_THREADS=1. The images are smooth random fields of 32 x 32 pixels.
The latents are 32 normal variables, 16 of which are linear in the images and 8 nearly constant.
The two implementations take turns.
"""

import math

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from benchmarks.results import Cell, Measured, Options, Table, run
from benchmarks.timing import extra_mib, seconds_of
from polar.entropy import image_sigma, joint_entropy
from polar.entropy.joint import JointEntropy
from polar.entropy.lanczos import stochastic_entropy
from polar.entropy.spectrum import spectral_entropy

LATENTS = 32
SIGMA = 0.5


def images_and_latents(n: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(n, 1, 4, 4, generator=generator)
    images = (255 * interpolate(coarse, (32, 32), mode="bilinear")).to(torch.uint8).flatten(1)
    mu = torch.randn(n, LATENTS, generator=generator, dtype=torch.float64)
    mu[:, :16] = (coarse.flatten(1).double() - 0.5) * math.sqrt(12)
    mu[:, 24:] *= 0.02
    return images, mu


def naive_order_two(images: Tensor, mu: Tensor, sigma_x: float, dtype: torch.dtype) -> Tensor:
    """The definition: n x n matrices, one latent after the other."""
    x = images.to(dtype) / 255
    squares = (x * x).sum(1)
    k_x = torch.exp(-(squares[:, None] + squares - 2 * x @ x.T).clamp_min(0) / (2 * sigma_x**2))
    nats = []
    for y in mu.T.to(dtype):
        a = k_x * torch.exp(-((y[:, None] - y) ** 2) / (2 * SIGMA**2)) / len(y)
        nats.append(-torch.log((a * a).sum(dtype=torch.float64)))
    return torch.stack(nats)


def order_two(n: int, rounds: int) -> list[Cell]:
    images, mu = images_and_latents(n)
    sigma_x = image_sigma(images)
    ours: list[JointEntropy[Tensor]] = []
    naive: list[Tensor] = []
    ours_s, naive_s = [], []
    for _ in range(rounds):
        ours_s.append(seconds_of(lambda: ours.append(joint_entropy(images, mu, sigma_x=sigma_x))))
        naive_s.append(
            seconds_of(lambda: naive.append(naive_order_two(images, mu, sigma_x, torch.float32)))
        )
    exact = naive_order_two(images, mu[:, :4], sigma_x, torch.float64)
    ours_mib = extra_mib(lambda: joint_entropy(images, mu, sigma_x=sigma_x))
    naive_mib = extra_mib(lambda: naive_order_two(images, mu[:, :1], sigma_x, torch.float32))
    our_s, their_s = float(np.median(ours_s)), float(np.median(naive_s))
    return [
        n, their_s, our_s, their_s / our_s, naive_mib, ours_mib,
        float((naive[0][:4] - exact).abs().max()), float((ours[0].nats[:4] - exact).abs().max()),
    ]  # fmt: skip


def stochastic(n: int, latent: int, seeds: int) -> list[Cell]:
    images, mu = images_and_latents(n)
    x, y = images.double() / 255, mu[:, latent]
    squares = torch.cdist(x, x, compute_mode="use_mm_for_euclid_dist").square()
    gram = torch.exp(-squares / (2 * image_sigma(images) ** 2))
    a = gram * torch.exp(-((y[:, None] - y) ** 2) / (2 * SIGMA**2)) / n
    exact: list[float] = []
    exact_s = seconds_of(
        lambda: exact.append(spectral_entropy(torch.linalg.eigvalsh(a).clamp_min(0).numpy(), 1.01))
    )
    single = a.float()
    seconds, errors, claimed = [], [], []
    for seed in range(seeds):
        generator = torch.Generator().manual_seed(seed)
        seconds.append(
            seconds_of(
                lambda g=generator: claimed.append(stochastic_entropy(single, 1.01, g))  # type: ignore[misc]
            )
        )
        errors.append(claimed[-1].nats - exact[0])
    rms_error = float(np.sqrt(np.mean(np.square(errors))))
    rms_claimed = float(np.sqrt(np.mean([e.standard_error_nats**2 for e in claimed])))
    ours_s = float(np.median(seconds))
    return [
        n, latent, exact[0], exact_s, ours_s, exact_s / ours_s, rms_error, rms_claimed,
    ]  # fmt: skip


def tables(options: Options) -> list[Table]:
    torch.set_num_threads(1)
    joint_entropy(*images_and_latents(100))  # chooses between int8 and float32 before the timing
    n, seeds = (1_000, 2) if options.quick else (10_000, 8)
    return [
        Table(
            f"Joint entropies of order 2 of images and {LATENTS} latents, naive in float32",
            ["n", "naive, s", "ours, s", "naive / ours", "its memory, MiB", "our memory, MiB",
             "its error, nats", "our error, nats"],
            [order_two(size, 3 if size < n else 1) for size in (n // 5, n)],
        ),
        Table(
            "Joint entropies of order 1.01 of images and one latent",
            ["n", "latent", "exact, nats", "exact, s", "stochastic, s", "exact / stochastic",
             "rms error, nats", "rms standard error, nats"],
            [stochastic(n * 2 // 5, latent, seeds) for latent in (0, 20, 30)],
        ),
    ]  # fmt: skip


def main() -> None:
    run("joint", lambda options: Measured(tables(options)), __doc__ or "")


if __name__ == "__main__":
    main()
