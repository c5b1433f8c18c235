"""Where to draw the line between active and passive.

The verdict goes by a fixed std, which `tau_in_nats` turns into an entropy. The rules `gap`, `otsu`
and `mixture` are evidence for it or against it: they look for two groups of entropies, and see no
regime where the groups are not apart, or are both active.

Notation:
    H: entropies of the latents, in nats, ascending; m of them.
    equivalent std: standard deviation of a Gaussian latent of the same entropy.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, TypeAlias, assert_never, get_args

import numpy as np
from jaxtyping import Float64
from scipy.optimize import brentq

from polar.entropy import equivalent_std, gaussian_entropy, renyi_entropy
from polar.errors import InvalidInput
from polar.regime.split import Split, best_split

#: Rules that look at the entropies alone.
GroupRule: TypeAlias = Literal["gap", "otsu", "mixture"]
GROUP_RULES: tuple[GroupRule, ...] = get_args(GroupRule)

#: Sets of draws over which `tau_in_nats` is a mean. Chosen by us, because at 100 images other sets
#: then move it by 0.1 % at the default width and order, and by less than 1 % at widths of 0.01 to
#: 5 and at order 2.
SETS_OF_DRAWS = 8
#: Largest threshold, in units of the ruler. Chosen by us, because the draws are floats then.
LARGEST_TAU_STD = 1e100
#: Nats. Entropies that lie within this of each other are one group. Chosen by us, because the
#: entropies of a training that has settled move by less.
ONE_GROUP_NATS = 0.1
#: Least factor between the equivalent stds of active and passive latents. Chosen by us, because
#: two groups that are closer are two kinds of active latents, or of passive latents.
LEAST_FACTOR = 3.0
#: Least factor between the largest gap and the second. Chosen by us, because 16 numbers drawn
#: evenly have such a gap in 2 % of all draws.
LEAST_GAP_RATIO = 3.0
#: Least part of the variance that lies between the groups. Chosen by us, because 16 numbers drawn
#: evenly exceed it in 8 % of all draws, and two groups with two stragglers between them always do.
LEAST_SEPARABILITY = 0.85
#: Added to the variances of the mixture, nats^2, so that equal entropies have a density.
MIXTURE_VARIANCE = 1e-4
#: The likelihood of the mixture has settled when a step raises it by less.
MIXTURE_SETTLED = 1e-6
MIXTURE_STEPS = 1000
#: Nats; the tau of the mixture is exact to this.
TAU_TOLERANCE = 1e-6


@dataclass(frozen=True)
class Cut:
    """What a rule says."""

    #: None where the rule sees no regime.
    tau_nats: float | None
    #: One sentence: how tau was found, or why there is none.
    reason: str


@lru_cache(maxsize=256)
def tau_in_nats(tau_std: float, *, n: int, sigma: float, renyi_alpha: float) -> float:
    """The entropy, in nats, of n draws of a Gaussian: the threshold for n images.

    Few images, or a narrow kernel, lower the entropies of latents and this threshold alike, so
    that labels depend on neither. The threshold is the mean over 8 fixed sets of draws, each with
    exactly this std.

    Args:
        tau_std: Standard deviation of the Gaussian, 0 to 1e100, in units of the ruler.
        n: Number of images, at least 1.
        sigma: Kernel width of the entropies, in units of the ruler.
        renyi_alpha: Order of the entropies.

    Raises:
        InvalidInput: tau_std is out of range.
    """
    if not 0 <= tau_std <= LARGEST_TAU_STD:
        raise InvalidInput(f"tau_std is {tau_std}; allowed: 0 to {LARGEST_TAU_STD:g}")
    if n == 1 or tau_std == 0:
        return 0.0
    draws = np.random.default_rng(0).standard_normal((n, SETS_OF_DRAWS))
    draws = (draws - draws.mean(axis=0)) / draws.std(axis=0)
    return float(renyi_entropy(tau_std * draws, sigma=sigma, alpha=renyi_alpha).nats.mean())


def fixed_cut(tau_std: float, tau_nats: float) -> Cut:
    """The threshold that the verdict goes by, in words."""
    return Cut(
        tau_nats,
        f"Tau is {tau_nats:.3g} nats, the entropy of a Gaussian of std {tau_std:g}.",
    )


def group_cut(
    rule: GroupRule, entropies: Sequence[float], *, sigma: float, renyi_alpha: float
) -> Cut:
    """The tau between two groups of entropies; no regime where all lie within 0.1 nats.

    Args:
        rule: `gap`, `otsu` or `mixture`.
        entropies: The entropy of each latent, in nats.
        sigma: Kernel width of the entropies, in units of the ruler.
        renyi_alpha: Order of the entropies.

    Raises:
        InvalidInput: an entropy is negative or not finite, or there are none.
    """
    h = np.sort(np.array(entropies, dtype=np.float64))
    if len(h) == 0 or not np.isfinite(h).all() or h[0] < 0:
        raise InvalidInput(
            f"entropies are {list(entropies)}; allowed: at least one, all finite and at least 0"
        )
    width = float(np.ptp(h))
    if width <= ONE_GROUP_NATS:
        return _no_regime(f"all entropies lie within {width:.2g} nats, which is one group")
    match rule:
        case "gap":
            return _gap_cut(h, sigma, renyi_alpha)
        case "otsu":
            return _otsu_cut(h, sigma, renyi_alpha)
        case "mixture":
            return _mixture_cut(h, sigma, renyi_alpha)
        case _:
            assert_never(rule)


def _no_regime(why: str) -> Cut:
    return Cut(None, f"No regime: {why}.")


def _too_near(low: float, high: float, sigma: float, renyi_alpha: float) -> Cut | None:
    std = equivalent_std(low, sigma=sigma, alpha=renyi_alpha)
    if gaussian_entropy(LEAST_FACTOR * std, sigma=sigma, alpha=renyi_alpha) <= high:
        return None
    high_std = equivalent_std(high, sigma=sigma, alpha=renyi_alpha)
    return _no_regime(
        f"a group at {low:.3g} and one at {high:.3g} nats are like Gaussians of std {std:.3g} "
        f"and {high_std:.3g}, not apart by a factor {LEAST_FACTOR:g}"
    )


def _gap_cut(h: Float64[np.ndarray, " m"], sigma: float, renyi_alpha: float) -> Cut:
    """Tau in the middle of the largest gap between neighbouring entropies.

    No regime when the gap is less than 3 times the second largest, or the equivalent std rises
    over it by less than a factor 3.
    """
    gaps = np.diff(h)
    place = int(gaps.argmax())
    low, high = float(h[place]), float(h[place + 1])
    second = float(np.delete(gaps, place).max(initial=0.0))
    gap = f"the largest gap, from {low:.3g} to {high:.3g} nats"
    if high - low < LEAST_GAP_RATIO * second:
        ratio = (high - low) / second
        return _no_regime(f"{gap}, is {ratio:.2f} times the second, not {LEAST_GAP_RATIO:g}")
    return _too_near(low, high, sigma, renyi_alpha) or Cut(
        low + (high - low) / 2, f"Tau is the middle of {gap}."
    )


def _otsu_cut(h: Float64[np.ndarray, " m"], sigma: float, renyi_alpha: float) -> Cut:
    """Tau halfway between the two groups of Otsu's split.

    No regime when less than 85 % of the variance lies between the groups, or the equivalent stds
    of their mean entropies differ by less than a factor 3.

    Reference: Otsu (1979), https://doi.org/10.1109/TSMC.1979.4310076
    """
    split = _split(h)
    between = f"{100 * split.separability:.1f} % of the variance between the groups"
    if split.separability < LEAST_SEPARABILITY:
        return _no_regime(f"the best split has {between}, not {100 * LEAST_SEPARABILITY:g} %")
    return _too_near(split.low_mean, split.high_mean, sigma, renyi_alpha) or Cut(
        split.middle, f"Tau is the middle of the best split, with {between}."
    )


def _mixture_cut(h: Float64[np.ndarray, " m"], sigma: float, renyi_alpha: float) -> Cut:
    """Tau where both components of a mixture of two Gaussians are equally likely.

    No regime when a single Gaussian has the smaller BIC, or the equivalent stds of the components'
    mean entropies differ by less than a factor 3.
    """
    one, two = _Mixture.alone(h), _Mixture.fitted(h)
    bics = f"BIC {two.bic(h):.1f} of two Gaussians, {one.bic(h):.1f} of one"
    if two.bic(h) >= one.bic(h):
        return _no_regime(bics)
    low, high = (float(mean) for mean in two.mean.clip(h[0], h[-1]))
    if (too_near := _too_near(low, high, sigma, renyi_alpha)) is not None:
        return too_near
    if not two.odds(low) > 0 > two.odds(high):
        return _no_regime("one component of the mixture is the likelier one at both means")
    return Cut(
        float(brentq(two.odds, low, high, xtol=TAU_TOLERANCE)),
        f"Tau is where two Gaussians, at {low:.3g} and {high:.3g} nats, are as likely ({bics}).",
    )


def _split(h: Float64[np.ndarray, " m"]) -> Split:
    split = best_split(h)
    assert split is not None  # h has values that differ
    return split


@dataclass(frozen=True)
class _Mixture:
    """Gaussians with their weights; every field has shape (components,)."""

    weight: Float64[np.ndarray, " k"]
    mean: Float64[np.ndarray, " k"]
    variance: Float64[np.ndarray, " k"]

    @classmethod
    def alone(cls, h: Float64[np.ndarray, " m"]) -> "_Mixture":
        """A single Gaussian."""
        return cls.of(h, np.ones((1, len(h))))

    @classmethod
    def of(cls, h: Float64[np.ndarray, " m"], share: Float64[np.ndarray, "k m"]) -> "_Mixture":
        """The likeliest mixture in which each component has these shares of each value."""
        size = share.sum(axis=1)
        mean = share @ h / size
        variance = (share * (h - mean[:, None]) ** 2).sum(axis=1) / size + MIXTURE_VARIANCE
        return cls(size / len(h), mean, variance)

    @classmethod
    def fitted(cls, h: Float64[np.ndarray, " m"]) -> "_Mixture":
        """Two Gaussians by expectation maximisation, from Otsu's split."""
        low = h <= _split(h).low_edge
        mixture = cls.of(h, np.stack([low, ~low]).astype(np.float64))
        likelihood = -math.inf
        for _ in range(MIXTURE_STEPS):
            joint = mixture.log_joint(h)
            each = np.logaddexp.reduce(joint)
            mixture = cls.of(h, np.exp(joint - each))
            if each.sum() < likelihood + MIXTURE_SETTLED:
                break
            likelihood = each.sum()
        return mixture

    def log_joint(self, h: Float64[np.ndarray, " m"]) -> Float64[np.ndarray, "k m"]:
        """Logarithm of weight * density for each component and value."""
        weight, mean, variance = (a[:, None] for a in (self.weight, self.mean, self.variance))
        return np.log(weight) - (np.log(2 * np.pi * variance) + (h - mean) ** 2 / variance) / 2

    def bic(self, h: Float64[np.ndarray, " m"]) -> float:
        """The Bayesian information criterion; smaller is better."""
        parameters = 3 * len(self.weight) - 1
        likelihood = np.logaddexp.reduce(self.log_joint(h)).sum()
        return float(parameters * math.log(len(h)) - 2 * likelihood)

    def odds(self, nats: float) -> float:
        """Logarithm of the odds that a value belongs to the low component of the two."""
        low, high = self.log_joint(np.array([nats]))[:, 0]
        return float(low - high)
