"""The downstream task as its tests run it."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np

from polar.downstream import Downstream, predict_factors

Labelled = tuple[np.ndarray, np.ndarray]


def run(
    mean: np.ndarray,
    factors: np.ndarray,
    entropies: list[float],
    *,
    sizes: Mapping[str, int] = MappingProxyType({"class": 3}),
    tau_nats: float = 0.25,
    seeds: Sequence[int] = (0,),
    ks: Sequence[int] | None = None,
) -> Downstream:
    return predict_factors(
        mean,
        factors,
        sizes,
        np.array(entropies, dtype=np.float64),
        tau_nats=tau_nats,
        seeds=seeds,
        ks=ks,
    )
