"""Bring your own codes: the whole report of any model's latents.

Notation:
    n, m: images, latents.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from jaxtyping import Int64
from numpy.typing import NDArray
from torch import Tensor

from polar.entropy.groups import entropy_given_groups
from polar.entropy.information import MutualInformation, mutual_information
from polar.errors import InvalidInput
from polar.events import Label
from polar.regime.agreement import agreement
from polar.regime.bootstrap import interval, resampled_entropies, resampled_threshold
from polar.regime.codes import Array, Codes, codes
from polar.regime.diagnostics import measure_latents, relabelled
from polar.regime.dip import dip_of
from polar.regime.explanation import explain_measurement
from polar.regime.labels import label_latents
from polar.regime.mixed import mixed_scores, variance_signals
from polar.regime.polarisation import judge
from polar.regime.redundancy import redundancy
from polar.regime.threshold import (
    FROM_ENTROPIES,
    Cut,
    Rule,
    fixed_cut,
    noise_floor_cut,
)
from polar.regime.usage import checked_usage, usage_scores
from polar.report import Interval, Measurement, Threshold

#: Nats. Tau where none is asked for, or the rule that was asked for sees no regime.
DEFAULT_TAU = 0.25
#: Of the Renyi entropy; above it eigenvalues to that power leave the range of floats.
HIGHEST_ORDER = 1000


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
) -> Measurement:
    """Measures the latents of any model, given their codes.

    The same arguments give the same report. Arrays are NumPy's or Torch's.

    Args:
        mean: Mean representation, or the codes of a deterministic model, shape (n, m).
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

    Raises:
        InvalidInput: an argument has another shape, or a value out of its range.
        ToleranceNotReached: renyi_alpha is so far below 1 that the entropy cannot be known.
    """
    if not 0 < renyi_alpha <= HIGHEST_ORDER:
        raise InvalidInput(f"renyi_alpha is {renyi_alpha}; allowed: above 0, to {HIGHEST_ORDER}")
    if seed < 0:
        raise InvalidInput(f"seed is {seed}; allowed: 0 and above")
    of = codes(mean, variance, prior_mean, prior_variance)
    named = _checked_names(names, of.mean.shape[1])
    groups = None if labels is None else _checked_groups(labels, len(of.mean))
    used = None if usage is None else checked_usage(usage, len(named))
    resampling, crowding, folding = np.random.default_rng(seed).spawn(3)
    latents = measure_latents(
        of,
        information=None if images is None else _information(images, of, sigma, seed),
        sigma=sigma,
        renyi_alpha=renyi_alpha,
        tau=DEFAULT_TAU,
    )
    entropies = [latent.judged_entropy_nats for latent in latents]
    thresholds, intervals = _thresholds(
        of, entropies, tau, tau_otherwise, sigma, renyi_alpha, resampling
    )
    tau_nats = tau_otherwise if thresholds[0].tau_nats is None else thresholds[0].tau_nats
    latents = relabelled(latents, tau_nats)
    verdict = judge(latents, tau=tau_nats)
    signals = variance_signals(of, renyi_alpha=renyi_alpha)
    found = label_latents(of, entropies, signals, tau=tau_nats)
    dip = dip_of(entropies)
    agreements = agreement(found)
    return Measurement(
        images=len(of.mean),
        sigma=sigma,
        renyi_alpha=renyi_alpha,
        names=named,
        latents=latents,
        entropy_intervals=intervals,
        entropy_given_label_nats=_given(groups, of, sigma, renyi_alpha),
        labels=found,
        thresholds=thresholds,
        verdict=verdict,
        dip=dip,
        agreement=agreements,
        mixed=mixed_scores(
            of,
            entropies,
            signals,
            sigma=sigma,
            renyi_alpha=renyi_alpha,
            tau=tau_nats,
            rng=crowding,
        ),
        redundancy=redundancy(
            of.relative_to_prior().mean,
            actives=[latent.latent for latent in latents if latent.label is Label.ACTIVE],
            passives=[latent.latent for latent in latents if latent.label is Label.PASSIVE],
            rng=folding,
        ),
        usage=() if used is None else usage_scores(found, used),
        explanation=explain_measurement(
            latents=latents,
            verdict=verdict,
            thresholds=thresholds,
            dip=dip,
            labels=found,
            agreement=agreements,
        ),
    )


def _thresholds(
    of: Codes,
    entropies: Sequence[float],
    tau: float | Rule,
    tau_otherwise: float,
    sigma: float,
    renyi_alpha: float,
    rng: np.random.Generator,
) -> tuple[tuple[Threshold, ...], tuple[Interval, ...]]:
    """Of every rule, the chosen one first; and the intervals of the entropies."""
    mean = of.relative_to_prior().mean
    kernel = {"sigma": sigma, "renyi_alpha": renyi_alpha}
    if isinstance(tau, bool):
        raise InvalidInput(f"tau is {tau}; allowed: a number of nats, or a rule")
    fixed = fixed_cut(tau_otherwise if isinstance(tau, str) else tau)
    floor = noise_floor_cut(mean, **kernel)
    rules: dict[str, Callable[[Sequence[float]], Cut]] = {
        "fixed": lambda _: fixed,
        **{name: partial(rule, **kernel) for name, rule in FROM_ENTROPIES.items()},
        "noise_floor": lambda _: floor,
    }
    chosen = tau if isinstance(tau, str) else "fixed"
    if chosen not in rules:
        raise InvalidInput(f"tau is {tau!r}; allowed: a number, {', '.join(rules)}")
    resampled = resampled_entropies(mean, np.array(entropies), **kernel, rng=rng)
    methods = sorted(rules, key=lambda method: method != chosen)  # stable
    thresholds = tuple(
        resampled_threshold(method, rules[method], entropies, resampled, **kernel)
        for method in methods
    )
    return thresholds, tuple(interval(nats) for nats in resampled.T)


def _information(
    images: Array, of: Codes, sigma: float, seed: int
) -> MutualInformation[NDArray[Any]]:
    if len(images) != len(of.mean):
        raise InvalidInput(f"{len(images)} images; allowed: one for each of {len(of.mean)} codes")
    return mutual_information(images, of.mean, sigma=sigma, seed=seed)


def _given(
    groups: Int64[np.ndarray, " n"] | None, of: Codes, sigma: float, renyi_alpha: float
) -> tuple[float, ...] | None:
    if groups is None:
        return None
    return tuple(
        entropy_given_groups(of.mean, groups, sigma=sigma, alpha=renyi_alpha).nats.tolist()
    )


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
    values = labels.detach().cpu().numpy() if isinstance(labels, Tensor) else np.asarray(labels)
    if values.shape != (n,):
        raise InvalidInput(f"labels of shape {values.shape}; allowed: ({n},), one for each image")
    is_number = values.dtype.kind in "biuf" and bool(np.isfinite(values).all())
    if not is_number and not all(isinstance(value, str) for value in values):
        raise InvalidInput(f"labels of type {values.dtype}; allowed: finite numbers, or text")
    return np.unique(values, return_inverse=True)[1].astype(np.int64)
