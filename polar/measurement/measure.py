"""Bring your own codes: the whole report of any model's latents.

Notation:
    n, m: images, latents.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Int64
from numpy.typing import NDArray

from polar.entropy.groups import entropy_given_groups
from polar.entropy.information import MutualInformation
from polar.errors import InvalidInput
from polar.measurement.economy import (
    MOST_LATENTS,
    MOST_NUMBERS,
    economies,
    information_of_some,
    too_many_groups,
)
from polar.measurement.explanation import explain_measurement
from polar.measurement.remarks import remarks_on
from polar.records.latents import Label
from polar.records.measurement import ConfidenceInterval, Measurement, Threshold
from polar.regime.agreement import agreement
from polar.regime.arrays import Array, as_array
from polar.regime.bootstrap import interval, resampled_entropies, resampled_threshold
from polar.regime.codes import Codes, codes, refuse_beyond
from polar.regime.diagnostics import measure_latents, relabelled
from polar.regime.dip import dip_of
from polar.regime.labels import label_latents
from polar.regime.mixed import mixed_scores, variance_signals
from polar.regime.polarisation import judge
from polar.regime.redundancy import redundancy
from polar.regime.threshold import (
    FROM_ENTROPIES,
    RULES,
    Cut,
    Rule,
    fixed_cut,
    noise_floor_cut,
)
from polar.regime.usage import checked_usage, usage_scores
from polar.spec.fields import FEWEST_IMAGES

#: A function that is called before each part of a report, with a few words on what is done next.
Progress: TypeAlias = Callable[[str], None]

#: Nats. Tau where none is asked for, or the rule that was asked for sees no regime.
DEFAULT_TAU = 0.25
#: Of the Renyi entropy; above it eigenvalues to that power leave the range of floats.
HIGHEST_ORDER = 1000
#: In units of the latents, and so that squares of codes of this size are floats.
LEAST_SIGMA, LARGEST_SIGMA = 1e-100, 1e100
#: In nats. No entropy comes near it: that would take more images than any disk holds.
LARGEST_TAU = 100.0


def _tell_nobody(_what: str) -> None:
    pass


def measure(
    mean: Array,
    variance: Array | None = None,
    *,
    labels: Array | None = None,
    prior_mean: Array | None = None,
    prior_variance: Array | None = None,
    usage: Array | None = None,
    images: Array | None = None,
    sigma: float = 0.5,
    renyi_alpha: float = 1.01,
    tau: float | Rule = DEFAULT_TAU,
    tau_otherwise: float = DEFAULT_TAU,
    seed: int = 0,
    names: Sequence[str | int] | None = None,
    progress: Progress = _tell_nobody,
) -> Measurement:
    """Measures the latents of any model, given their codes.

    The same arguments give the same report. Arrays are NumPy's or Torch's. The time is bounded:
    a report of many images or latents samples some of its parts, or leaves them out, and says so
    in its remarks.

    Args:
        mean: Mean representation, or the codes of a deterministic model, shape (n, m): at least 5
            images, at most 10,000 latents, and 10 million numbers.
        variance: Variances of the posteriors, positive, shape (n, m); none for a deterministic
            model, of which fewer criteria apply.
        labels: The value of a discrete factor of each image, shape (n,), numbers or text: adds
            the entropy within the images of one label.
        prior_mean: Means of a conditional prior, as of an iVAE, shape (n, m).
        prior_variance: Its variances, positive, shape (n, m).
        usage: Rise of the reconstruction loss when a latent is set to its mean, shape (m,): scores
            every criterion by it.
        images: What was encoded, shape (n, ...), uint8 or floats: adds the mutual information of
            images and mean.
        sigma: Kernel width of the entropy, in units of the latents.
        renyi_alpha: Order of the Renyi entropy.
        tau: Active latents have more entropy than this many nats; or the rule that finds it.
        tau_otherwise: Where that rule sees no regime; and of the rule "fixed".
        seed: Of the resampled images and of all other draws.
        names: Of the latents; by default their numbers.
        progress: Called with what is done next, such as "redundancy", before each part.

    Raises:
        InvalidInput: an argument has another shape or size, or a value out of its range; of an
            array the message says which value of which latent and image.
        ToleranceNotReached: renyi_alpha is so far below 1 that the entropy cannot be known.
    """
    if not 0 < renyi_alpha <= HIGHEST_ORDER:
        raise InvalidInput(f"renyi_alpha is {renyi_alpha}; allowed: above 0, to {HIGHEST_ORDER}")
    if not LEAST_SIGMA <= sigma <= LARGEST_SIGMA:
        raise InvalidInput(
            f"sigma must be positive, from {LEAST_SIGMA:g} to {LARGEST_SIGMA:g}, not {sigma}"
        )
    if seed < 0:
        raise InvalidInput(f"seed is {seed}; allowed: 0 and above")
    rule = _checked_rule(tau)
    fixed_nats = _checked_fixed(tau_otherwise if isinstance(tau, str) else tau)
    of = codes(mean, variance, prior_mean, prior_variance)
    _refuse_beyond_bounds(of, sigma)
    n, m = of.mean.shape
    named = _checked_names(names, m)
    groups = None if labels is None else _checked_groups(labels, n)
    used = None if usage is None else checked_usage(usage, m)
    resampling, crowding, folding, picking = np.random.default_rng(seed).spawn(4)
    information = None
    if images is not None:
        progress("information of images and latents")
        information = _information(images, of, sigma, seed, picking)
    progress(f"entropies of {m:,} latents and {n:,} images")
    latents = measure_latents(
        of, information=information, sigma=sigma, renyi_alpha=renyi_alpha, tau=DEFAULT_TAU
    )
    entropies = [latent.judged_entropy_nats for latent in latents]
    progress("thresholds, with resampled images")
    thresholds, intervals = _thresholds(
        of, entropies, rule, fixed_cut(fixed_nats), sigma, renyi_alpha, resampling
    )
    chosen = thresholds[0].tau_nats
    tau_nats = fixed_nats if chosen is None else chosen
    latents = relabelled(latents, tau_nats)
    verdict = judge(latents, tau=tau_nats)
    progress("criteria")
    signals = variance_signals(of, renyi_alpha=renyi_alpha)
    found = label_latents(of, entropies, signals, tau=tau_nats)
    dip = dip_of(entropies)
    agreements = agreement(found)
    given = None
    if groups is not None and not too_many_groups(groups, m):
        progress("entropies within labels")
        given = entropy_given_groups(of.mean, groups, sigma=sigma, alpha=renyi_alpha).nats.tolist()
    progress("mixed latents")
    mixed = mixed_scores(
        of, entropies, signals, sigma=sigma, renyi_alpha=renyi_alpha, tau=tau_nats, rng=crowding
    )
    progress("redundancy")
    repeats = redundancy(
        of.relative_to_prior().mean,
        actives=[latent.latent for latent in latents if latent.label is Label.ACTIVE],
        passives=[latent.latent for latent in latents if latent.label is Label.PASSIVE],
        rng=folding,
    )
    remarks = (
        *remarks_on(of, entropies, named, sigma=sigma, labels=groups),
        *economies(of, verdict, repeats, labels=groups, with_images=images is not None),
    )
    explanation = explain_measurement(
        latents=latents,
        verdict=verdict,
        thresholds=thresholds,
        dip=dip,
        labels=found,
        agreement=agreements,
    )
    return Measurement(
        images=n,
        sigma=sigma,
        renyi_alpha=renyi_alpha,
        names=named,
        latents=latents,
        entropy_intervals=intervals,
        entropy_given_label_nats=None if given is None else tuple(given),
        labels=found,
        thresholds=thresholds,
        verdict=verdict,
        dip=dip,
        agreement=agreements,
        mixed=mixed,
        redundancy=repeats,
        usage=() if used is None else usage_scores(found, used),
        explanation=" ".join((explanation, *remarks)),
        remarks=remarks,
    )


def _refuse_beyond_bounds(of: Codes, sigma: float) -> None:
    n, m = of.mean.shape
    if n < FEWEST_IMAGES:
        raise InvalidInput(
            f"mean of shape {(n, m)}, of which {n} is the number of images; allowed: at least "
            f"{FEWEST_IMAGES} images, because no measure means anything with fewer"
        )
    if m > MOST_LATENTS or n * m > MOST_NUMBERS:
        raise InvalidInput(
            f"mean of shape {(n, m)}; allowed: up to {MOST_LATENTS:,} latents, and up to "
            f"{MOST_NUMBERS:,} numbers, images times latents. Send every k-th image (fewer rows); "
            "if the rows are the latents, the transposed array"
        )
    refuse_beyond(sigma, "mean", of.mean)
    if of.prior_mean is not None:
        refuse_beyond(sigma, "mean in units of the prior", of.relative_to_prior().mean)


def _checked_rule(tau: float | Rule) -> Rule:
    if not isinstance(tau, str):
        return "fixed"
    if tau not in RULES:
        raise InvalidInput(f"tau is {tau!r}; allowed: a number, {', '.join(RULES)}")
    return tau


def _checked_fixed(tau: float) -> float:
    if isinstance(tau, bool):
        raise InvalidInput(f"tau is {tau}; allowed: a number of nats, or a rule")
    if tau > LARGEST_TAU:
        raise InvalidInput(f"tau is {tau} nats; allowed: 0 to {LARGEST_TAU:g}")
    fixed_cut(tau)  # it refuses what is negative or not a number
    return float(tau)


def _thresholds(
    of: Codes,
    entropies: Sequence[float],
    chosen: Rule,
    fixed: Cut,
    sigma: float,
    renyi_alpha: float,
    rng: np.random.Generator,
) -> tuple[tuple[Threshold, ...], tuple[ConfidenceInterval, ...]]:
    """Of every rule, the chosen one first; and the intervals of the entropies."""
    mean = of.relative_to_prior().mean
    kernel = {"sigma": sigma, "renyi_alpha": renyi_alpha}
    floor = noise_floor_cut(mean, **kernel)
    rules: dict[str, Callable[[Sequence[float]], Cut]] = {
        "fixed": lambda _: fixed,
        **{name: partial(rule, **kernel) for name, rule in FROM_ENTROPIES.items()},
        "noise_floor": lambda _: floor,
    }
    resampled = resampled_entropies(mean, np.array(entropies), **kernel, rng=rng)
    methods = sorted(rules, key=lambda method: method != chosen)  # stable
    thresholds = tuple(
        resampled_threshold(method, rules[method], entropies, resampled, **kernel)
        for method in methods
    )
    return thresholds, tuple(interval(nats) for nats in resampled.T)


def _information(
    images: Array, of: Codes, sigma: float, seed: int, rng: np.random.Generator
) -> MutualInformation[NDArray[Any]]:
    pictures = as_array("images", images)
    if pictures.shape[:1] != of.mean.shape[:1]:
        raise InvalidInput(
            f"images of shape {pictures.shape}; allowed: one for each of {len(of.mean)} codes"
        )
    return information_of_some(pictures, of.mean, sigma=sigma, seed=seed, rng=rng)


def _checked_names(names: Sequence[str | int] | None, m: int) -> tuple[str, ...]:
    if names is None:
        return tuple(str(j) for j in range(m))
    texts = tuple(str(name) for name in names)
    if len(texts) != m or len(set(texts)) != m:
        raise InvalidInput(
            f"{len(texts)} names, {len(set(texts))} of them distinct; "
            f"allowed: one for each of {m} latents"
        )
    return texts


def _checked_groups(labels: Array, n: int) -> Int64[np.ndarray, " n"]:
    values = as_array("labels", labels)
    if values.shape != (n,):
        raise InvalidInput(f"labels of shape {values.shape}; allowed: ({n},), one for each image")
    is_number = values.dtype.kind in "biuf" and bool(np.isfinite(values).all())
    if not is_number and not all(isinstance(value, str) for value in values):
        raise InvalidInput(f"labels of type {values.dtype}; allowed: finite numbers, or text")
    return np.unique(values, return_inverse=True)[1].astype(np.int64)
