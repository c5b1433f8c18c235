"""Bring your own codes: everything that can be measured of any model's latents.

Notation:
    n, m: images, latents.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Float64, Int64
from numpy.typing import NDArray
from torch import Tensor

from polar.entropy.groups import entropy_given_groups
from polar.entropy.information import MutualInformation
from polar.entropy.samples import Array
from polar.errors import InvalidInput
from polar.measurement.economy import (
    MOST_LATENTS,
    MOST_NUMBERS,
    economies,
    information_of_some,
    too_large_for_sensitivity,
    too_many_classes,
)
from polar.measurement.explanation import explain_measurement
from polar.measurement.remarks import remarks_on
from polar.records.latents import Label
from polar.records.measurement import ConfidenceInterval, Measurement, Threshold
from polar.regime.agreement import agreement
from polar.regime.arrays import as_array
from polar.regime.bootstrap import interval, resampled_entropies, resampled_threshold
from polar.regime.codes import Codes, codes, refuse_beyond
from polar.regime.diagnostics import measure_latents, with_information
from polar.regime.dip import dip_of
from polar.regime.labels import label_latents
from polar.regime.mixed import mixed_scores, variance_signals
from polar.regime.redundancy import redundancy
from polar.regime.sensitivity import sensitivity
from polar.regime.threshold import (
    GROUP_RULES,
    LARGEST_TAU_STD,
    Cut,
    fixed_cut,
    group_cut,
    tau_in_nats,
)
from polar.regime.usage import checked_usage, usage_scores
from polar.regime.verdict import judge, labelled
from polar.spec.fields import FEWEST_IMAGES
from polar.spec.training import DEFAULT_RENYI_ALPHA, DEFAULT_SIGMA, DEFAULT_TAU_STD, RULERS, Ruler

#: A function that is called before each part of a measurement, with a few words on that part.
Announce: TypeAlias = Callable[[str], None]

#: Largest order of the Renyi entropy; eigenvalues to a higher power leave the range of floats.
HIGHEST_ORDER = 1000
#: Kernel widths, in units of the ruler, for which the squares of such codes are floats.
LEAST_SIGMA, LARGEST_SIGMA = 1e-100, 1e100


def _announce_to_nobody(_what: str) -> None:
    pass


def measure(
    mean: Tensor | Array,
    variance: Tensor | Array | None = None,
    *,
    labels: Tensor | Array | None = None,
    prior_mean: Tensor | Array | None = None,
    prior_variance: Tensor | Array | None = None,
    usage: Tensor | Array | None = None,
    images: Tensor | Array | None = None,
    ruler: Ruler = "scaled",
    sigma: float = DEFAULT_SIGMA,
    renyi_alpha: float = DEFAULT_RENYI_ALPHA,
    tau_std: float = DEFAULT_TAU_STD,
    seed: int = 0,
    names: Sequence[str | int] | None = None,
    progress: Announce = _announce_to_nobody,
) -> Measurement:
    """Measures the latents of any model, given their codes.

    The same arguments give the same measurement. Arrays are NumPy's or Torch's. The time is
    bounded: with many images or latents some parts are sampled or left out, and the remarks of
    the measurement say so.

    Args:
        mean: Mean representation, or the codes of a deterministic model, shape (n, m): at least 5
            images, at most 10,000 latents, and at most 10 million numbers.
        variance: Variances of the posteriors, positive, shape (n, m); none for a deterministic
            model, to which fewer criteria apply.
        labels: The class of each image, such as its digit, shape (n,), numbers or text; adds the
            entropy within the images of one class.
        prior_mean: Means of a conditional prior, such as that of an iVAE, shape (n, m).
        prior_variance: Variances of the conditional prior, positive, shape (n, m).
        usage: Rise of the reconstruction loss when a latent is replaced by its mean, shape (m,);
            every criterion is then scored by it.
        images: What was encoded, shape (n, ...), uint8 or floats; adds the mutual information of
            images and mean.
        ruler: The unit of the entropies: `scaled` takes the codes relative to the prior, and codes
            without a variance in units of the largest std of a latent, so that their labels do not
            depend on their scale; `absolute` takes them as they are, as the paper does.
        sigma: Kernel width of the entropies, in units of the ruler.
        renyi_alpha: Order of the Renyi entropy.
        tau_std: A latent is active when it has more entropy than as many draws of a Gaussian with
            this std, in units of the ruler.
        seed: Seed of the resampled images and of all other draws.
        names: Names of the latents; by default their numbers.
        progress: Called before each part with a few words on it, such as "redundancy".

    Raises:
        InvalidInput: an argument has another shape or size, or a value out of its range; for an
            array the message says which value of which latent and image.
        ToleranceNotReached: renyi_alpha is so far below 1 that the entropy cannot be known.
    """
    if not 0 < renyi_alpha <= HIGHEST_ORDER:
        raise InvalidInput(f"renyi_alpha is {renyi_alpha}; allowed: above 0, to {HIGHEST_ORDER}")
    if not LEAST_SIGMA <= sigma <= LARGEST_SIGMA:
        raise InvalidInput(f"sigma is {sigma}; allowed: {LEAST_SIGMA:g} to {LARGEST_SIGMA:g}")
    if not 0 <= tau_std <= LARGEST_TAU_STD:
        raise InvalidInput(f"tau_std is {tau_std}; allowed: 0 to {LARGEST_TAU_STD:g}")
    if seed < 0:
        raise InvalidInput(f"seed is {seed}; allowed: 0 and above")
    if ruler not in RULERS:
        raise InvalidInput(f"ruler is {ruler!r}; allowed: {', '.join(RULERS)}")
    encoded = codes(mean, variance, prior_mean, prior_variance)
    in_its_unit = encoded.in_units_of(ruler).mean
    _refuse_beyond_bounds(encoded, in_its_unit, sigma)
    n, m = encoded.mean.shape
    latent_names = _checked_names(names, m)
    classes = None if labels is None else _checked_classes(labels, n)
    rises = None if usage is None else checked_usage(usage, m)
    resampling, crowding, folding, picking = np.random.default_rng(seed).spawn(4)
    information = None
    if images is not None:
        progress("information of images and latents")
        information = _information(images, in_its_unit, sigma, seed, picking)
    progress(f"entropies of {m:,} latents and {n:,} images")
    measures = with_information(
        measure_latents(encoded, ruler=ruler, sigma=sigma, renyi_alpha=renyi_alpha), information
    )
    entropies = [latent.judged_entropy_nats for latent in measures]
    progress("thresholds, with resampled images")
    tau_nats = tau_in_nats(tau_std, n=n, sigma=sigma, renyi_alpha=renyi_alpha)
    thresholds, intervals = _thresholds(
        in_its_unit, entropies, fixed_cut(tau_std, tau_nats), sigma, renyi_alpha, resampling
    )
    latents = labelled(measures, tau_nats)
    verdict = judge(latents, tau_std=tau_std, tau_nats=tau_nats)
    progress("criteria")
    signals = variance_signals(encoded, renyi_alpha=renyi_alpha)
    criterion_labels = label_latents(encoded, latents, signals, tau=tau_nats)
    dip = dip_of(entropies)
    agreements = agreement(criterion_labels)
    within_classes = None
    if classes is not None and not too_many_classes(classes, m):
        progress("entropies within classes")
        averages = entropy_given_groups(in_its_unit, classes, sigma=sigma, alpha=renyi_alpha)
        within_classes = tuple(averages.nats.tolist())
    progress("mixed latents")
    mixed = mixed_scores(
        encoded,
        entropies,
        signals,
        ruler=ruler,
        sigma=sigma,
        renyi_alpha=renyi_alpha,
        tau=tau_nats,
        rng=crowding,
    )
    progress("redundancy")
    repeats = redundancy(
        in_its_unit,
        actives=[latent.latent for latent in latents if latent.label is Label.ACTIVE],
        passives=[latent.latent for latent in latents if latent.label is Label.PASSIVE],
        rng=folding,
    )
    sensitivities = None
    if not too_large_for_sensitivity(n, m):
        progress("sensitivity of the verdict")
        sensitivities = sensitivity(
            encoded,
            latents,
            verdict,
            ruler=ruler,
            sigma=sigma,
            renyi_alpha=renyi_alpha,
            tau_std=tau_std,
        )
    remarks = (
        *remarks_on(
            encoded,
            in_its_unit,
            entropies,
            latent_names,
            ruler=ruler,
            sigma=sigma,
            classes=classes,
        ),
        *economies(encoded, verdict, repeats, classes=classes, with_images=images is not None),
    )
    explanation = explain_measurement(
        latents=latents,
        verdict=verdict,
        thresholds=thresholds,
        dip=dip,
        labels=criterion_labels,
        agreement=agreements,
        sensitivity=sensitivities,
    )
    return Measurement(
        images=n,
        ruler=ruler,
        sigma=sigma,
        renyi_alpha=renyi_alpha,
        names=latent_names,
        latents=latents,
        entropy_intervals=intervals,
        entropy_given_label_nats=within_classes,
        labels=criterion_labels,
        thresholds=thresholds,
        verdict=verdict,
        dip=dip,
        agreement=agreements,
        mixed=mixed,
        redundancy=repeats,
        usage=() if rises is None else usage_scores(criterion_labels, rises),
        explanation=" ".join((explanation, *remarks)),
        remarks=remarks,
        sensitivity=sensitivities,
    )


def _refuse_beyond_bounds(
    encoded: Codes, in_its_unit: Float64[np.ndarray, "n m"], sigma: float
) -> None:
    n, m = encoded.mean.shape
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
    refuse_beyond(sigma, "mean in units of the ruler", in_its_unit)


def _thresholds(
    mean: Float64[np.ndarray, "n m"],
    entropies: Sequence[float],
    fixed: Cut,
    sigma: float,
    renyi_alpha: float,
    rng: np.random.Generator,
) -> tuple[tuple[Threshold, ...], tuple[ConfidenceInterval, ...]]:
    """The thresholds by every rule, the fixed first; and the intervals of the entropies."""
    kernel = {"sigma": sigma, "renyi_alpha": renyi_alpha}
    rules: dict[str, Callable[[Sequence[float]], Cut]] = {
        "fixed": lambda _: fixed,
        **{
            rule: partial(group_cut, rule, sigma=sigma, renyi_alpha=renyi_alpha)
            for rule in GROUP_RULES
        },
    }
    resampled = resampled_entropies(mean, np.array(entropies), **kernel, rng=rng)
    thresholds = tuple(
        resampled_threshold(method, rule, entropies, resampled, **kernel)
        for method, rule in rules.items()
    )
    return thresholds, tuple(interval(nats) for nats in resampled.T)


def _information(
    images: Tensor | Array,
    mean: Float64[np.ndarray, "n m"],
    sigma: float,
    seed: int,
    rng: np.random.Generator,
) -> MutualInformation[NDArray[Any]]:
    pictures = as_array("images", images)
    if pictures.shape[:1] != mean.shape[:1]:
        raise InvalidInput(
            f"images of shape {pictures.shape}; allowed: one for each of {len(mean)} codes"
        )
    return information_of_some(pictures, mean, sigma=sigma, seed=seed, rng=rng)


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


def _checked_classes(labels: Tensor | Array, n: int) -> Int64[np.ndarray, " n"]:
    values = as_array("labels", labels)
    if values.shape != (n,):
        raise InvalidInput(f"labels of shape {values.shape}; allowed: ({n},), one for each image")
    is_number = values.dtype.kind in "biuf" and bool(np.isfinite(values).all())
    if not is_number and not all(isinstance(value, str) for value in values):
        raise InvalidInput(f"labels of type {values.dtype}; allowed: finite numbers, or text")
    return np.unique(values, return_inverse=True)[1].astype(np.int64)
