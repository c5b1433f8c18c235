"""Logistic regression of one factor on the top-k latents, for one split and every control.

The penalty is L2 with C = 1, in the units of the features, so that it all but switches off a
latent of small scale. Hence passive latents can add nothing when raw and something when
standardised; the controls tell this effect of scale from information.

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

#: Images of a split; fewer images are split in the same proportion. Chosen by us: the paper takes
#: 10,000 and 5,000, an evaluation has at most 10,000 images.
TRAIN_IMAGES, TEST_IMAGES = 5000, 2000
#: Latents whose standard deviation is at most this part of the largest are numerically dead.
DEAD_BELOW = 1e-6
#: Inverse strength of the penalty; scikit-learn's default.
PENALTY_C = 1.0
#: On the gradient of the loss per image. Chosen by us, because with 2,000 test images of MNIST no
#: accuracy is then off by more than one image from that at 1e-8; at 1e-4 some are off by two.
TOLERANCE = 1e-5
MOST_ITERATIONS = 200
#: What scikit-learn and SciPy warn of when a fit does not converge.
UNCONVERGED = (UserWarning, RuntimeWarning)


class Representation(StrEnum):
    """The units of the features."""

    #: Those of the latents.
    RAW = "raw"
    #: Standard deviations over the train images.
    STANDARDISED = "standardised"


class Control(StrEnum):
    """What is done to tell information from artefact."""

    NONE = "none"
    #: C = infinity: no longer depends on the units, so that raw and standardised are the same.
    UNPENALISED = "unpenalised"
    #: The passives of another image: nothing to learn from, so they must not raise the accuracy.
    SHUFFLED_PASSIVES = "shuffled_passives"
    #: The passives without what a linear regression on all actives predicts of them.
    RESIDUAL_PASSIVES = "residual_passives"


#: They do nothing to the actives.
OF_PASSIVES = (Control.SHUFFLED_PASSIVES, Control.RESIDUAL_PASSIVES)


@dataclass(frozen=True)
class Split:
    """Which images are train and which are test images."""

    seed: int
    train: Int[np.ndarray, " n_train"]
    test: Int[np.ndarray, " n_test"]
    #: For each of the n images, the one whose passives it gets when they are shuffled.
    donors: Int[np.ndarray, " n"]


@dataclass(frozen=True)
class Fit:
    """What one regression came to."""

    #: Part of the test images whose value is predicted, 0 to 1.
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
    #: The least k with which each column is used; ascending.
    first_k: Int[np.ndarray, " c"]
    #: Inverse strength of the penalty in these units.
    penalty_c: float


def split(n: int, seed: int) -> Split:
    """Draws train and test images: 5,000 and 2,000, or else 5/7 and 2/7 of at least 2 images."""
    part = min(1.0, n / (TRAIN_IMAGES + TEST_IMAGES))
    n_test = max(1, int(part * TEST_IMAGES))
    n_train = min(n - n_test, TRAIN_IMAGES)
    rng = np.random.default_rng(seed)
    images = rng.permutation(n)
    return Split(
        seed=seed,
        train=images[:n_train],
        test=images[n_train : n_train + n_test],
        donors=rng.permutation(n),
    )


def is_alive(codes: Float64[np.ndarray, "n m"]) -> Bool[np.ndarray, " m"]:
    """Which latents vary by more than rounding.

    The others are numerically dead: their standard deviation is at most 1e-6 of the largest, or at
    most the rounding of their mean in float32. Standardising would blow up that rounding.
    """
    std = codes.std(axis=0)
    rounding = np.finfo(np.float32).eps * np.abs(codes.mean(axis=0))
    return std > np.maximum(DEAD_BELOW * std.max(), rounding)


def curves(
    ranked: Float64[np.ndarray, "n m"],
    n_active: int,
    values: Int[np.ndarray, " n"],
    split: Split,
    grid: Sequence[int],
) -> Iterator[Curve]:
    """Accuracy over k, for every control and representation.

    Without a feature, as with k = 0, the fit is the commonest value of the train images.

    Args:
        ranked: Latents by descending entropy, shape (n, m).
        n_active: How many of them are active.
        values: Of the factor, at least 0, with at least two among the train images; shape (n,).
        split: Of the n images.
        grid: All k, ascending, from 0 to m.
    """
    train, test = values[split.train], values[split.test]
    for representation in Representation:
        shared: dict[int, Fit] = {}
        for control in Control:
            features = _features(ranked, n_active, split, representation, control)
            known = shared if control in OF_PASSIVES else {}
            fits = known | _fits(features, train, test, [k for k in grid if k not in known])
            if control is Control.NONE:
                shared = {k: fit for k, fit in fits.items() if k <= n_active}
            yield Curve(representation, control, fits)


def _features(
    ranked: Float64[np.ndarray, "n m"],
    n_active: int,
    split: Split,
    representation: Representation,
    control: Control,
) -> _Features:
    if control is Control.SHUFFLED_PASSIVES:
        ranked = np.hstack([ranked[:, :n_active], ranked[split.donors, n_active:]])
    train, test = ranked[split.train], ranked[split.test]
    alive = np.flatnonzero(is_alive(train))
    # No fit can tell that they are centred, since the intercept is not penalised.
    test = (test - train.mean(axis=0))[:, alive]
    train = (train - train.mean(axis=0))[:, alive]
    if control is Control.RESIDUAL_PASSIVES:
        std, actives = train.std(axis=0), int((alive < n_active).sum())
        train, test = _without_predictable(train, test, actives)
        left = train.std(axis=0) > DEAD_BELOW * std  # what is left of a repetition is rounding
        train, test, alive = train[:, left], test[:, left], alive[left]
    if representation is Representation.STANDARDISED:
        train, test = train / train.std(axis=0), test / train.std(axis=0)
    if control is Control.UNPENALISED:
        train, test, independent = _orthonormal(train, test)
        return _Features(train, test, alive[independent] + 1, np.inf)
    # Divided by one number, with C times its square, the fit is the same; and it converges, while
    # the gradients of features of 1e5 and more drown in the rounding of the loss.
    unit = max(1.0, float(train.std(axis=0).max(initial=0.0)))
    return _Features(train / unit, test / unit, alive + 1, PENALTY_C * unit**2)


def _without_predictable(
    train: Float64[np.ndarray, "n_train c"], test: Float64[np.ndarray, "n_test c"], actives: int
) -> tuple[Float64[np.ndarray, "n_train c"], Float64[np.ndarray, "n_test c"]]:
    """Takes from each passive its linear regression on the actives, fitted on train."""
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
    scales are. The first k span what the first k features span. Features that are linear in those
    before them add nothing; they are left out, and the mask says which are not.
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
    """The fits for ascending k, each started from the one before."""
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
    """Fits the model; returns whether that did not converge."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit(x, y)
    others = [warning for warning in caught if not issubclass(warning.category, UNCONVERGED)]
    for other in others:
        warnings.warn_explicit(other.message, other.category, other.filename, other.lineno)
    return len(others) < len(caught)
