"""Logistic regression of one factor on the top-k latents, for one split and every control.

The penalty is L2 with C = 1, in the units of the features, so that it all but switches off a
latent of small scale. Hence passive latents may add nothing when raw and something when
standardised; the controls separate this effect of scale from information.

Notation:
    n, m, c: images, latents, columns of features.
    k: latents used, the most entropic first, so that the actives stand before the passives.
"""

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from jaxtyping import Bool, Float64, Int
from sklearn.linear_model import LogisticRegression

#: Images of a split; fewer images are split in the same proportion. Chosen by us, because the
#: 10,000 and 5,000 of the paper are more than the 10,000 images that an evaluation has at most.
TRAIN_IMAGES, TEST_IMAGES = 5000, 2000
#: Latents whose standard deviation is at most this part of the largest are numerically dead.
DEAD_BELOW = 1e-6
#: Inverse strength of the penalty; scikit-learn's default.
PENALTY_C = 1.0
#: Tolerance of the gradient of the loss per image. Chosen by us, because with 2,000 test images of
#: MNIST every accuracy is then within one image of that at 1e-8; at 1e-4 some differ by two.
TOLERANCE = 1e-5
MOST_ITERATIONS = 200
#: The kinds of warning that scikit-learn and SciPy give when a fit does not converge.
UNCONVERGED = (UserWarning, RuntimeWarning)


class Representation(StrEnum):
    """The units of the features."""

    #: The units of the latents.
    RAW = "raw"
    #: The standard deviations over the train images.
    STANDARDISED = "standardised"


class Control(StrEnum):
    """What is done to separate information from artefacts."""

    NONE = "none"
    #: C = infinity: units no longer matter, so that raw and standardised are the same.
    UNPENALISED = "unpenalised"
    #: The passives of another image, which hold nothing to learn from, so that they must not raise
    #: the accuracy.
    SHUFFLED_PASSIVES = "shuffled_passives"
    #: The passives without what a linear regression on all actives predicts of them.
    RESIDUAL_PASSIVES = "residual_passives"


#: Controls that change nothing about the actives.
PASSIVES_ONLY = (Control.SHUFFLED_PASSIVES, Control.RESIDUAL_PASSIVES)


@dataclass(frozen=True)
class TrainTestSplit:
    """Which images are train and which are test images."""

    seed: int
    train: Int[np.ndarray, " n_train"]
    test: Int[np.ndarray, " n_test"]
    #: For each of the n images, the image whose passives it gets when they are shuffled.
    donors: Int[np.ndarray, " n"]


@dataclass(frozen=True)
class Fit:
    """The outcome of one regression."""

    #: Fraction of the test images whose value is predicted, 0 to 1.
    accuracy: float
    unconverged: bool


@dataclass(frozen=True)
class Curve:
    """The fits of one control and representation."""

    representation: Representation
    control: Control
    #: By k, ascending.
    fits: dict[int, Fit]


@dataclass(frozen=True)
class _Features:
    train: Float64[np.ndarray, "n_train c"]
    test: Float64[np.ndarray, "n_test c"]
    #: The least k at which each column is used; ascending.
    first_k: Int[np.ndarray, " c"]
    #: Inverse strength of the penalty in these units.
    penalty_c: float


def train_test_split(n: int, seed: int) -> TrainTestSplit:
    """Draws 5,000 train and 2,000 test images, or 5/7 and 2/7 of fewer images, at least 2."""
    part = min(1.0, n / (TRAIN_IMAGES + TEST_IMAGES))
    n_test = max(1, int(part * TEST_IMAGES))
    n_train = min(n - n_test, TRAIN_IMAGES)
    rng = np.random.default_rng(seed)
    images = rng.permutation(n)
    return TrainTestSplit(
        seed=seed,
        train=images[:n_train],
        test=images[n_train : n_train + n_test],
        donors=rng.permutation(n),
    )


def is_alive(codes: Float64[np.ndarray, "n m"]) -> Bool[np.ndarray, " m"]:
    """Which latents vary by more than rounding.

    The other latents are numerically dead: their standard deviation is at most 1e-6 of the
    largest, or at most the rounding of their mean in float32. Standardising would magnify that
    rounding.
    """
    std = codes.std(axis=0)
    rounding = np.finfo(np.float32).eps * np.abs(codes.mean(axis=0))
    return std > np.maximum(DEAD_BELOW * std.max(), rounding)


def curves(
    ranked: Float64[np.ndarray, "n m"],
    n_active: int,
    values: Int[np.ndarray, " n"],
    split: TrainTestSplit,
    grid: Sequence[int],
) -> Iterator[Curve]:
    """Accuracy over k, for every control and representation.

    Without a feature, as for k = 0, every prediction is the commonest value of the train images.

    Args:
        ranked: Latents by descending entropy, shape (n, m).
        n_active: How many of the latents are active.
        values: The factor's value of each image, at least 0, with at least two values among the
            train images; shape (n,).
        split: The train and test images among the n images.
        grid: All k, ascending, from 0 to m.
    """
    train, test = values[split.train], values[split.test]
    for representation in Representation:
        shared: dict[int, Fit] = {}
        for control in Control:
            features = _features(ranked, n_active, split, representation, control)
            known = shared if control in PASSIVES_ONLY else {}
            fits = known | _fits(features, train, test, [k for k in grid if k not in known])
            if control is Control.NONE:
                shared = {k: fit for k, fit in fits.items() if k <= n_active}
            yield Curve(representation, control, fits)


def _features(
    ranked: Float64[np.ndarray, "n m"],
    n_active: int,
    split: TrainTestSplit,
    representation: Representation,
    control: Control,
) -> _Features:
    if control is Control.SHUFFLED_PASSIVES:
        ranked = np.hstack([ranked[:, :n_active], ranked[split.donors, n_active:]])
    train, test = ranked[split.train], ranked[split.test]
    alive = np.flatnonzero(is_alive(train))
    # Centring changes no fit, because the intercept is not penalised.
    test = (test - train.mean(axis=0))[:, alive]
    train = (train - train.mean(axis=0))[:, alive]
    if control is Control.RESIDUAL_PASSIVES:
        std, actives = train.std(axis=0), int((alive < n_active).sum())
        train, test = _without_predictable(train, test, actives)
        left = train.std(axis=0) > DEAD_BELOW * std  # a mere repetition leaves rounding only
        train, test, alive = train[:, left], test[:, left], alive[left]
    if representation is Representation.STANDARDISED:
        train, test = train / train.std(axis=0), test / train.std(axis=0)
    if control is Control.UNPENALISED:
        train, test, independent = _orthonormal(train, test)
        return _Features(train, test, alive[independent] + 1, np.inf)
    # Features divided by a number, with C times its square, give the same fit. It converges, while
    # the gradients for features of 1e5 and more would drown in the rounding of the loss.
    unit = max(1.0, float(train.std(axis=0).max(initial=0.0)))
    return _Features(train / unit, test / unit, alive + 1, PENALTY_C * unit**2)


def _without_predictable(
    train: Float64[np.ndarray, "n_train c"], test: Float64[np.ndarray, "n_test c"], actives: int
) -> tuple[Float64[np.ndarray, "n_train c"], Float64[np.ndarray, "n_test c"]]:
    """Subtracts from each passive its linear regression on the actives, fitted on train."""
    slopes, *_ = np.linalg.lstsq(train[:, :actives], train[:, actives:])
    unexplained = [
        np.hstack([part[:, :actives], part[:, actives:] - part[:, :actives] @ slopes])
        for part in (train, test)
    ]
    return unexplained[0], unexplained[1]


def _orthonormal(
    train: Float64[np.ndarray, "n_train c"], test: Float64[np.ndarray, "n_test c"]
) -> tuple[
    Float64[np.ndarray, "n_train d"], Float64[np.ndarray, "n_test d"], Bool[np.ndarray, " c"]
]:
    """The same features in coordinates that are uncorrelated on train, each of variance 1.

    Without a penalty the fit is the same in all coordinates; in these it converges whatever the
    scales are. The first k coordinates span what the first k features span. Features that depend
    linearly on earlier features add nothing and are left out; the mask says which are kept.
    """
    triangle = np.linalg.qr(train, mode="r")  # (min(n_train, c), c)
    diagonal = np.zeros(train.shape[1])
    diagonal[: len(triangle)] = np.abs(np.diagonal(triangle))
    independent = diagonal > DEAD_BELOW * np.linalg.norm(train, axis=0)
    q, r = np.linalg.qr(train[:, independent])
    scale = np.sqrt(len(train))
    return scale * q, scale * np.linalg.solve(r.T, test[:, independent].T).T, independent


def _fits(
    features: _Features,
    train_values: Int[np.ndarray, " n_train"],
    test_values: Int[np.ndarray, " n_test"],
    ks: Sequence[int],
) -> dict[int, Fit]:
    """The fits for ascending k, each started from the previous fit."""
    majority = np.bincount(train_values).argmax()
    fit = Fit(float((test_values == majority).mean()), unconverged=False)
    model = LogisticRegression(
        C=features.penalty_c,
        solver="newton-cg",
        tol=TOLERANCE,
        max_iter=MOST_ITERATIONS,
        warm_start=True,
    )
    fits, used = {}, 0
    for k in ks:
        columns = int((features.first_k <= k).sum())
        if columns > used:
            if used:
                model.coef_ = np.pad(model.coef_, ((0, 0), (0, columns - used)))
            unconverged = _fit(model, features.train[:, :columns], train_values)
            hits = model.predict(features.test[:, :columns]) == test_values
            fit, used = Fit(float(hits.mean()), unconverged), columns
        fits[k] = fit
    return fits


def _fit(
    model: LogisticRegression, x: Float64[np.ndarray, "n c"], y: Int[np.ndarray, " n"]
) -> bool:
    """Fits the model, and says whether that failed to converge."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit(x, y)
    others = [warning for warning in caught if not issubclass(warning.category, UNCONVERGED)]
    for other in others:
        warnings.warn_explicit(other.message, other.category, other.filename, other.lineno)
    return len(others) < len(caught)
