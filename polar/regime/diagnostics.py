"""The measures of every latent at one evaluation.

Notation:
    n, m: images evaluated, latents.
    mean, variance: mean and variance of the posterior of each image, shape (n, m).
"""

import math
from collections.abc import Sequence
from typing import TypeVar

import numpy as np
from jaxtyping import Float64, Integer

from polar.entropy import renyi_entropy
from polar.entropy.gaussian import equivalent_std
from polar.entropy.groups import entropy_given_groups
from polar.entropy.information import MutualInformation
from polar.entropy.samples import Array
from polar.records.latents import LatentMeasures
from polar.regime.codes import Codes
from polar.regime.divergence import divergence
from polar.spec.training import Ruler

LatentT = TypeVar("LatentT", bound=LatentMeasures)


def measure_latents(
    codes: Codes,
    *,
    u: Integer[np.ndarray, "n ..."] | None = None,
    ruler: Ruler,
    sigma: float,
    renyi_alpha: float,
) -> tuple[LatentMeasures, ...]:
    """Measures every latent of any model, in float64.

    Variances are those of the population (divided by n). The relative entropy of a single image
    is 0.

    Args:
        codes: The codes of any model.
        u: The factors that an iVAE knows of each image, integers of shape (n,), or (n, f) for f
            factors.
        ruler: The unit of the judged entropies.
        sigma: Kernel width of the entropies, in units of the ruler.
        renyi_alpha: Order of the Renyi entropy.

    Returns:
        One record for each latent, numbered from 0; `verdict.labelled` labels them.

    Raises:
        InvalidInput: sigma, renyi_alpha or u is out of range.
        ToleranceNotReached: renyi_alpha is so far below 1 that the entropy cannot be known.

    Reference: Clapham, Bonheme, Grzes (2026), Eq. 8 and 9, https://arxiv.org/abs/2605.15965
    """
    in_its_unit = codes.in_units_of(ruler).mean
    judged = renyi_entropy(in_its_unit, sigma=sigma, alpha=renyi_alpha)
    is_absolute = in_its_unit is codes.mean
    absolute = judged if is_absolute else renyi_entropy(codes.mean, sigma=sigma, alpha=renyi_alpha)
    measures = {
        "entropy_nats": absolute.nats,
        "judged_entropy_nats": judged.nats,
        "entropy_error_bound_nats": judged.error_bound_nats,
        "mean_of_mean": codes.mean.mean(axis=0),
        "var_of_mean": codes.mean.var(axis=0),
        **_variance_measures(codes),
    }
    if u is not None:
        within_u = entropy_given_groups(codes.mean, u, sigma=sigma, alpha=renyi_alpha)
        measures["entropy_given_u_nats"] = within_u.nats
    most_nats = math.log(len(codes.mean))
    rows = np.stack(list(measures.values()), axis=1).tolist()  # a row for each latent
    return tuple(
        LatentMeasures(
            latent=j,
            entropy_relative=min(nats / most_nats, 1.0) if most_nats else 0.0,
            equivalent_std=equivalent_std(nats, sigma=sigma, alpha=renyi_alpha),
            **_ABSENT_IF_DETERMINISTIC | dict(zip(measures, row, strict=True)),
        )
        for j, (row, nats) in enumerate(zip(rows, judged.nats.tolist(), strict=True))
    )


def with_information(
    latents: Sequence[LatentT], information: MutualInformation[Array] | None
) -> tuple[LatentT, ...]:
    """The same latents with another information between each and the images, or without it."""
    if information is None:
        parts = [(None, None, None)] * len(latents)
    else:
        nats, baseline = information.nats.tolist(), information.baseline_nats.tolist()
        parts = list(zip(nats, baseline, information.residual_nats.tolist(), strict=True))
    return tuple(
        latent.model_copy(update=dict(zip(_INFORMATION, part, strict=True)))
        for latent, part in zip(latents, parts, strict=True)
    )


_INFORMATION = (
    "information_nats",
    "information_baseline_nats",
    "information_residual_nats",
)
_ABSENT_IF_DETERMINISTIC = dict.fromkeys(
    (
        "mean_of_variance",
        "var_of_variance",
        "kl_nats",
        "kl_mean_part_nats",
        "kl_variance_part_nats",
    )
)


def _variance_measures(codes: Codes) -> dict[str, Float64[np.ndarray, " m"]]:
    if codes.variance is None:
        return {}
    parts = divergence(codes)
    mean_part, variance_part = parts.mean_part.mean(axis=0), parts.variance_part.mean(axis=0)
    return {
        "mean_of_variance": codes.variance.mean(axis=0),
        "var_of_variance": codes.variance.var(axis=0),
        "kl_nats": mean_part + variance_part,
        "kl_mean_part_nats": mean_part,
        "kl_variance_part_nats": variance_part,
    }
