"""What estimators of entropy say of a spike and slab of one variance (the paper's Fig. 5).

    python -m benchmarks.spike_and_slab --out DIR

Prints the mean over seeds of each estimator by the weight pi of the slab, next to the
exact differential entropy, and draws the figure in DIR.
"""

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from polar import figures
from polar.entropy import renyi_entropy
from polar.entropy.differential import (
    histogram_entropy,
    nearest_neighbour_entropy,
    spacing_entropy,
)
from polar.entropy.mixtures import spike_and_slab

WEIGHTS = (0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0)
SEEDS = (0, 1, 2)
SAMPLES = 2000
EXACT = "differential, exact"
ESTIMATORS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "matrix": lambda x: renyi_entropy(x).nats,
    "histogram": histogram_entropy,
    "spacings": spacing_entropy,
    "neighbours": nearest_neighbour_entropy,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    out = parser.parse_args().out
    table = pd.DataFrame(row for pi in WEIGHTS for seed in SEEDS for row in _rows(pi, seed))
    means = table.groupby(["pi", "estimator"], sort=False)["nats"].mean().unstack(sort=False)
    print(means.to_string(float_format="{:.2f}".format))
    figures.save(figures.spike_and_slab(table), table, out / "spike_and_slab.png")


def _rows(pi: float, seed: int) -> Iterator[dict[str, Any]]:
    mixture = spike_and_slab(pi)
    x = mixture.sample(SAMPLES, seed=seed)
    entropies = {name: float(estimate(x)[0]) for name, estimate in ESTIMATORS.items()}
    for estimator, nats in (entropies | {EXACT: mixture.differential_entropy()}).items():
        yield {
            "pi": pi,
            "seed": seed,
            "estimator": estimator,
            "nats": nats,
            "variance": float(x.var()),
        }


if __name__ == "__main__":
    main()
