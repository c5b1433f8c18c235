"""The downstream task as its tests run it."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np

from polar.downstream import Downstream, predict_factors

Labelled = tuple[np.ndarray, np.ndarray]

#: Nats; latents above it are the actives.
TAU = 0.25


def run(
    mean: np.ndarray,
    factors: np.ndarray,
    entropies: list[float],
    *,
    sizes: Mapping[str, int] = MappingProxyType({"class": 3}),
    n_active: int | None = None,
    seeds: Sequence[int] = (0,),
    ks: Sequence[int] | None = None,
) -> Downstream:
    if n_active is None:
        n_active = sum(entropy > TAU for entropy in entropies)
    return predict_factors(
        mean,
        factors,
        sizes,
        np.array(entropies, dtype=np.float64),
        n_active=n_active,
        seeds=seeds,
        ks=ks,
    )
