"""The measures of every latent at one evaluation.

Notation:
    n, m: images evaluated, latents.
    mean, log_var: what the encoder says of each image, shape (n, m); variance = exp(log_var).
    KL_j(x) = (mean_j^2 + variance_j - ln variance_j - 1) / 2, in nats, splits into
    a mean part mean_j^2 / 2 and a variance part (variance_j - 1 - ln variance_j) / 2.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from polar.entropy import renyi_entropy
from polar.entropy.gaussian import equivalent_std
from polar.errors import InvalidInput
from polar.events import LatentDiagnostics
from polar.regime.criteria import label_by_entropy

#: In units of the latent. Chosen by us, because squares of larger values, summed over images,
#: overflow float64; no trained encoder comes near.
LARGEST_VALUE = 1e150


def measure_latents(
    mean: Float[Tensor, "n m"],
    log_var: Float[Tensor, "n m"],
    *,
    sigma: float,
    renyi_alpha: float,
    tau: float,
) -> tuple[LatentDiagnostics, ...]:
    """Measures every latent in float64, whatever the model computed in.

    Variances are of the population (divided by n). The relative entropy of a single image is 0.

    Args:
        mean: Means of the posteriors, shape (n, m), in units of the latents.
        log_var: Natural logarithms of the posteriors' variances, shape (n, m).
        sigma: Kernel width of the entropy, in units of the latents.
        renyi_alpha: Order of the Renyi entropy.
        tau: A latent is active when its entropy exceeds this many nats.

    Returns:
        One record a latent, numbered from 0.

    Raises:
        InvalidInput: there is no image or no latent, or a mean, log-variance or variance is not
            finite or beyond LARGEST_VALUE; or sigma, renyi_alpha or tau is out of range.
        ToleranceNotReached: renyi_alpha is so far below 1 that the entropy cannot be known.

    Reference: Clapham, Bonheme, Grzes (2026), Eq. 8 and 9, https://arxiv.org/abs/2605.15965
    """
    if mean.numel() == 0:
        raise InvalidInput(
            f"means of shape {tuple(mean.shape)}; allowed: at least one image and one latent"
        )
    mean, log_var = mean.double(), log_var.double()
    variance = log_var.exp()
    for name, values in {"mean": mean, "log_var": log_var, "exp(log_var)": variance}.items():
        _refuse_unusable(name, values)
    mean_part = mean.square().mean(0) / 2
    variance_part = (torch.expm1(log_var) - log_var).mean(0) / 2
    entropy = renyi_entropy(mean, sigma=sigma, alpha=renyi_alpha)
    most_nats = math.log(len(mean))
    measures = {
        "entropy_nats": entropy.nats,
        "entropy_error_bound_nats": entropy.error_bound_nats,
        "mean_of_mean": mean.mean(0),
        "var_of_mean": mean.var(0, correction=0),
        "mean_of_variance": variance.mean(0),
        "var_of_variance": variance.var(0, correction=0),
        "kl_nats": mean_part + variance_part,
        "kl_mean_part_nats": mean_part,
        "kl_variance_part_nats": variance_part,
    }
    rows = torch.stack(list(measures.values()), dim=1).tolist()  # one a latent
    return tuple(
        LatentDiagnostics(
            latent=j,
            entropy_relative=min(row[0] / most_nats, 1.0) if most_nats else 0.0,
            equivalent_std=equivalent_std(row[0], sigma=sigma, alpha=renyi_alpha),
            label=label_by_entropy(row[0], tau),
            **dict(zip(measures, row, strict=True)),
        )
        for j, row in enumerate(rows)
    )


def _refuse_unusable(name: str, values: Float[Tensor, "n m"]) -> None:
    unusable = ~(values.abs() <= LARGEST_VALUE)  # so that NaN is unusable too
    if unusable.any():
        counts = unusable.sum(0)
        latent = int(counts.argmax())
        raise InvalidInput(
            f"{name} of latent {latent} is not finite, or beyond {LARGEST_VALUE:g}, in "
            f"{int(counts[latent])} of {len(values)} images "
            f"(such latents: {int((counts > 0).sum())} of {len(counts)})"
        )
