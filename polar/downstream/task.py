"""What the latents are worth to a simple task: predicting factors from the k most entropic.

Notation:
    n, m, f: images, latents, factors.
    k: latents used, the most entropic first, so that the actives stand before the passives.

Reference: Clapham, Bonheme, Grzes (2026), Section 6.5, https://arxiv.org/abs/2605.15965
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float, Float64, Int
from torch import Tensor

from polar.confidence import half_width
from polar.downstream.regression import (
    Control,
    Representation,
    TrainTestSplit,
    curves,
    is_alive,
    train_test_split,
)
from polar.entropy.samples import Array
from polar.errors import InvalidInput
from polar.regime.codes import codes

#: The default grid has every k up to the first number; above it each k is larger than the previous
#: by at least the second, a factor. Each k costs a fit for every factor, split, representation and
#: control.
DENSE_UP_TO, THINNED_BY = 6, 1.15
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Gain:
    """Accuracy with all latents less accuracy with the actives alone; a mean over the splits."""

    #: None for the mean over all factors.
    factor: str | None
    representation: Representation
    control: Control
    mean: float
    #: Ends of the interval of 95 %; none where there is a single split.
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Baseline:
    """What the accuracies of one factor are compared with."""

    factor: str
    #: Accuracy of always naming the commonest value of the train images; a mean over the splits.
    majority: float
    #: Where the raw curve stops rising: the least k whose accuracy is within one standard error of
    #: the best, for that many test images.
    plateau_k: int


@dataclass(frozen=True)
class Downstream:
    """The outcome of the downstream task on a set of codes."""

    #: Columns factor, k, representation, control, seed, accuracy, unconverged (bool), n_train and
    #: n_test (images of the split).
    table: pd.DataFrame
    #: The gains of each factor and of their mean; empty when there is no passive latent.
    gains: tuple[Gain, ...]
    baselines: tuple[Baseline, ...]
    #: The latents by descending entropy; the first n_active of them are the actives.
    order: tuple[int, ...]
    n_active: int
    #: Numerically dead latents, which no fit sees.
    dead: tuple[int, ...]
    n_train: int
    n_test: int
    #: Number of rows of the table whose fit did not converge.
    unconverged: int


def predict_factors(
    mean: Tensor | Array,
    factors: Int[np.ndarray, "n f"],
    sizes: Mapping[str, int],
    entropies: Float[np.ndarray, " m"],
    *,
    n_active: int,
    seeds: Sequence[int] = (0, 1, 2),
    ks: Sequence[int] | None = None,
) -> Downstream:
    """Predicts every factor from the top-k latents by entropy, for every k of a grid.

    Each seed draws a random split: 5,000 train and 2,000 test images, or 5/7 and 2/7 of fewer
    images. Numerically dead latents, whose standard deviation is at most 1e-6 of the largest or
    within the rounding of their mean in float32, are left out.

    Intervals are Student's t over the splits. Splits share images, so the variance of the mean is
    s^2 (1 / splits + test images / train images) rather than s^2 / splits (Nadeau and Bengio).
    They say nothing of how another training of the model would turn out.

    Args:
        mean: Mean representation, or the codes of a deterministic autoencoder, shape (n, m), in
            units of the latents.
        factors: Values of the factors, 0 to size - 1, shape (n, f).
        sizes: Names and numbers of values of the factors, in the order of the columns.
        entropies: The entropies by which the latents are ranked; in nats, shape (m,).
        n_active: How many latents are active: those of highest entropy.
        seeds: Seeds of the splits, distinct.
        ks: The grid, in any order; the number of actives and m are added. By default
            `default_grid`.

    Raises:
        InvalidInput: shapes, values, seeds or ks are not as above, a number is not finite, or a
            factor has one value among the train images of a split.

    Reference: Nadeau and Bengio (2003), https://doi.org/10.1023/A:1024068626366
    """
    latents = codes(mean).mean
    n, m = latents.shape
    _check_entropies(entropies, m, n_active)
    _check_factors(factors, sizes, n)
    if not seeds or len(set(seeds)) < len(seeds) or min(seeds) < 0:
        raise InvalidInput(f"seeds {list(seeds)}; allowed: at least one, distinct, 0 and above")
    order = np.argsort(-entropies, kind="stable")
    grid = _grid(m, n_active, ks)
    splits = [train_test_split(n, seed) for seed in seeds]
    fits = pd.DataFrame(
        row
        for drawn in splits
        for factor, values in zip(sizes, factors.T, strict=True)
        for row in _rows(latents[:, order], n_active, factor, values, drawn, grid)
    )
    table = fits[fits["k"] > 0].reset_index(drop=True)
    n_train, n_test = len(splits[0].train), len(splits[0].test)
    return Downstream(
        table=table,
        gains=_gains(fits, n_active, m, n_test / n_train) if n_active < m else (),
        baselines=tuple(_baseline(fits, factor, n_test) for factor in sizes),
        order=tuple(order.tolist()),
        n_active=n_active,
        dead=tuple(np.flatnonzero(~is_alive(latents)).tolist()),
        n_train=n_train,
        n_test=n_test,
        unconverged=int(table["unconverged"].sum()),
    )


def default_grid(m: int) -> tuple[int, ...]:
    """Every k from 1 to 6, above 6 each at least 1.15 times the previous k, and m."""
    grid = list(range(1, min(m, DENSE_UP_TO) + 1))
    while grid[-1] < m:
        grid.append(min(m, math.ceil(grid[-1] * THINNED_BY)))
    return tuple(grid)


def _grid(m: int, n_active: int, ks: Sequence[int] | None) -> list[int]:
    """The k of all fits, ascending; 0 stands for the majority."""
    grid = default_grid(m) if ks is None else ks
    wrong = [k for k in grid if not 1 <= k <= m]
    if wrong:
        raise InvalidInput(f"k = {wrong[0]} of {m} latents; allowed: 1 to {m}")
    return sorted({0, *grid, n_active, m})


def _rows(
    ranked: Float64[np.ndarray, "n m"],
    n_active: int,
    factor: str,
    values: Int[np.ndarray, " n"],
    drawn: TrainTestSplit,
    grid: Sequence[int],
) -> Iterator[dict[str, object]]:
    train = values[drawn.train]
    if np.ptp(train) == 0:
        raise InvalidInput(
            f"factor {factor} has one value, {train[0]}, in all {len(train)} train images of the "
            f"split with seed {drawn.seed}; allowed: at least 2 values"
        )
    for curve in curves(ranked, n_active, values, drawn, grid):
        for k, fit in curve.fits.items():
            yield {
                "factor": factor,
                "k": k,
                "representation": str(curve.representation),
                "control": str(curve.control),
                "seed": drawn.seed,
                "accuracy": fit.accuracy,
                "unconverged": fit.unconverged,
                "n_train": len(drawn.train),
                "n_test": len(drawn.test),
            }


def _gains(fits: pd.DataFrame, n_active: int, m: int, test_over_train: float) -> tuple[Gain, ...]:
    kinds = ["representation", "control"]
    accuracy = fits.set_index(["factor", *kinds, "seed", "k"])["accuracy"].unstack("k", sort=False)
    by_factor = (accuracy[m] - accuracy[n_active]).unstack("seed", sort=False)
    overall = by_factor.groupby(level=kinds, sort=False).mean()
    gains = [*by_factor.index, *((None, *kind) for kind in overall.index)]
    values = np.vstack([by_factor.to_numpy(), overall.to_numpy()])  # a row of splits for each gain
    return tuple(
        _gain(factor, representation, control, by_split, test_over_train)
        for (factor, representation, control), by_split in zip(gains, values, strict=True)
    )


def _gain(
    factor: str | None,
    representation: str,
    control: str,
    by_split: Float64[np.ndarray, " s"],
    test_over_train: float,
) -> Gain:
    mean, half = float(by_split.mean()), None
    if len(by_split) > 1:
        half = half_width(
            by_split.tolist(), confidence=CONFIDENCE, test_over_train=test_over_train
        )
    return Gain(
        factor=factor,
        representation=Representation(representation),
        control=Control(control),
        mean=mean,
        low=None if half is None else mean - half,
        high=None if half is None else mean + half,
    )


def _baseline(fits: pd.DataFrame, factor: str, n_test: int) -> Baseline:
    plain = (fits["control"] == Control.NONE) & (fits["representation"] == Representation.RAW)
    curve = fits[plain & (fits["factor"] == factor)].groupby("k")["accuracy"].mean()
    majority, curve = float(curve[0]), curve.drop(0)
    best = float(curve.max())
    standard_error = math.sqrt(best * (1 - best) / n_test)
    plateau_k = int(curve.index[curve >= best - standard_error][0])
    return Baseline(factor=factor, majority=majority, plateau_k=plateau_k)


def _check_entropies(entropies: Float[np.ndarray, " m"], m: int, n_active: int) -> None:
    if entropies.shape != (m,) or not np.isfinite(entropies).all():
        raise InvalidInput(
            f"entropies of shape {entropies.shape}, {np.isfinite(entropies).sum()} of them "
            f"finite; allowed: one finite number for each of {m} latents"
        )
    if not 0 <= n_active <= m:
        raise InvalidInput(f"n_active is {n_active}; allowed: 0 to {m}, the number of latents")


def _check_factors(factors: Int[np.ndarray, "n f"], sizes: Mapping[str, int], n: int) -> None:
    if factors.shape != (n, len(sizes)) or factors.dtype.kind not in "iu" or not sizes:
        raise InvalidInput(
            f"factors of shape {factors.shape} and type {factors.dtype}, named {list(sizes)}; "
            f"allowed: integers of shape (images, factors) for {n} images and at least one factor"
        )
    if n < 2:
        raise InvalidInput(f"{n} image; allowed: at least 2, of which one is a test image")
    for (name, size), values in zip(sizes.items(), factors.T, strict=True):
        if values.min() < 0 or values.max() >= size:
            raise InvalidInput(
                f"factor {name} has values from {values.min()} to {values.max()}; "
                f"allowed: 0 to {size - 1}"
            )
