"""Marginal entropies, compared with the definition and with other estimators.

    python -m benchmarks.entropy

Times are CPU times; set OMP_NUM_THREADS=1. The definition is timed on one latent, and the time is
multiplied by the number of latents.
"""

import argparse
from collections.abc import Callable

import numpy as np
import torch
from scipy.stats import differential_entropy

from benchmarks.timing import extra_mib, medians, print_table, seconds_of
from polar.entropy import renyi_entropy
from polar.entropy.bump_grid import gram_blocks
from polar.entropy.differential import nearest_neighbour_entropy
from polar.entropy.spectrum import spectral_entropy

LATENTS = 32


def gram(x: np.ndarray) -> np.ndarray:
    return np.exp(-((x[:, None] - x) ** 2) / (2 * 0.5**2))


def by_eigenvalues(x: np.ndarray) -> float:
    p = np.linalg.eigvalsh(gram(x) / len(x)).clip(0)
    return float(np.log(np.sum(p[p > 0] ** 1.01)) / (1 - 1.01))


def by_frobenius(x: np.ndarray) -> float:
    return float(-np.log(np.square(gram(x) / len(x)).sum()))


def against_the_definition(
    n: int, alpha: float, naive: Callable[[np.ndarray], float]
) -> list[str]:
    x = np.random.default_rng(0).standard_normal((n, LATENTS))
    ours = medians({"ours": lambda: renyi_entropy(x, alpha=alpha)}, 5)["ours"]
    exact: list[float] = []
    mib = extra_mib(lambda: exact.append(naive(x[:, 0])))
    latent = 0 if n <= 2000 else 1
    theirs = LATENTS * seconds_of(lambda: naive(x[:, latent]))
    entropy = renyi_entropy(x, alpha=alpha)
    return [
        f"{alpha}", f"{n:,}", f"{theirs:,.2f} s", f"{ours * 1e3:.1f} ms",
        f"x{theirs / ours:,.0f}", f"{mib:,.0f} MiB",
        f"{extra_mib(lambda: renyi_entropy(x, alpha=alpha)):,.0f} MiB",
        f"{abs(entropy.nats[0] - exact[0]):.0e}", f"{entropy.error_bound_nats.max():.0e}",
    ]  # fmt: skip


def growth(n: int) -> list[str]:
    x = np.random.default_rng(0).standard_normal((n, LATENTS))
    seconds = medians({"ours": lambda: renyi_entropy(x)}, 3)["ours"]
    mib = extra_mib(lambda: renyi_entropy(x))
    return [
        f"{n:,}", f"{seconds * 1e3:.0f} ms", f"{seconds / n / LATENTS * 1e9:.0f} ns",
        f"{mib:.0f} MiB",
    ]  # fmt: skip


def against_estimators(n: int) -> list[str]:
    x = np.random.default_rng(0).standard_normal((n, LATENTS))
    seconds = medians(
        {
            "1.01": lambda: renyi_entropy(x),
            "2": lambda: renyi_entropy(x, alpha=2),
            "scipy": lambda: differential_entropy(x, axis=0),
            "kNN": lambda: nearest_neighbour_entropy(x),
        },
        3,
    )
    times = [f"{value * 1e3:,.0f} ms" for value in seconds.values()]
    ratios = [f"x{seconds[name] / seconds['1.01']:.1f}" for name in ("scipy", "kNN")]
    return [f"{n:,}", *times, *ratios]


def against_eigenvalues(n: int, spread: float) -> list[str]:
    """A wide latent by determinants, compared with the eigenvalues of the same band matrices."""
    x = np.random.default_rng(0).normal(0, spread, n)
    entropy = renyi_entropy(x)
    blocks = gram_blocks(torch.from_numpy(x), sigma=0.5, budget=1e-9)
    p = [np.zeros(0)]
    slow = seconds_of(lambda: p.extend(block.eigenvalues() for block in blocks))
    difference = abs(entropy.nats[0] - spectral_entropy(np.concatenate(p), 1.01))
    return [
        f"{spread:,.0f}", f"{n:,}", f"{entropy.nodes[0]:,}",
        f"{seconds_of(lambda: renyi_entropy(x)):.2f} s", f"{slow:.1f} s",
        f"{difference:.0e}", f"{entropy.error_bound_nats[0]:.0e}",
    ]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="leave out the slowest eigenproblems")
    quick = parser.parse_args().quick
    torch.set_num_threads(1)
    renyi_entropy(np.arange(9.0))
    print_table(
        ["order", "n", "32 latents by definition", "32 latents by us", "ratio", "its memory",
         "our memory", "error, nats", "bound"],
        [
            against_the_definition(n, alpha, naive)
            for alpha, naive in ((1.01, by_eigenvalues), (2.0, by_frobenius))
            for n in ((2000,) if quick and alpha != 2 else (2000, 10_000))
        ],
    )  # fmt: skip
    print_table(
        ["n, 32 latents, order 1.01", "time", "per sample and latent", "extra memory"],
        [growth(n) for n in (10_000, 100_000, 1_000_000)],
    )
    print_table(
        ["n, 32 latents", "order 1.01", "order 2", "scipy", "kNN", "scipy / ours", "kNN / ours"],
        [against_estimators(n) for n in (10_000, 100_000)],
    )
    print_table(
        ["spread", "n, 1 latent", "nodes", "ours", "eigenvalues", "difference, nats", "bound"],
        [against_eigenvalues(10_000, spread) for spread in (100, 300, 1000)[: 2 if quick else 3]],
    )


if __name__ == "__main__":
    main()
