"""Simulates the table of p-values of Hartigan's dip: python -m benchmarks.dip_table.

The null distribution is that of uniform samples, as Hartigan and Hartigan chose it, because among
unimodal distributions it is the one of the largest dips. Each row has its own seed, so that a row
can be made again alone: python -m benchmarks.dip_table --sizes 16 --out 16.csv.
"""

import argparse
import math
from pathlib import Path

import numpy as np
from jaxtyping import Float64

from polar.regime.dip import TABLE
from polar.regime.dip_statistic import dip_statistic

SEED = 1985
#: Exact where latents are few, and coarser where the quantiles hardly depend on the number.
SIZES = (*range(4, 17), 20, 24, 32, 48, 64, 96, 128, 200, 500, 1000, 2000, 5000, 20_000)
#: The fraction of samples whose dip is less than the quantile. The last is the largest dip drawn.
PROBABILITIES = (
    0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.92, 0.94, 0.95,
    0.96, 0.97, 0.98, 0.99, 0.995, 0.998, 0.999, 0.9995, 0.9998, 0.9999, 1,
)  # fmt: skip


def quantiles(size: int, samples: int) -> Float64[np.ndarray, " probabilities"]:
    """Quantiles of the dip times the square root of the size, for uniform samples of a size."""
    rng = np.random.default_rng([SEED, size])
    # the dip does not see scale and place, and spacings of uniform values are exponential
    dips = [
        dip_statistic(np.append(0, rng.standard_exponential(size - 1).cumsum()))
        for _ in range(samples)
    ]
    drawn = math.sqrt(size) * np.array(dips)
    return np.append(1 / (2 * math.sqrt(size)), np.quantile(drawn, PROBABILITIES[1:]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--out", type=Path, default=TABLE)
    given = parser.parse_args()
    header = ["n", *(f"{probability:g}" for probability in PROBABILITIES)]
    lines = [",".join(header)]
    for size in given.sizes:
        samples = 200_000 if size <= 500 else 100_000
        lines.append(",".join([str(size), *(f"{q:.6f}" for q in quantiles(size, samples))]))
        print(lines[-1], flush=True)
    given.out.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
