"""Gaussian posteriors, independent for each latent.

Notation:
    n, m: images of a batch, latents.
    mean, log_var: parameters of the posteriors, shape (n, m); sigma^2 = exp(log_var).
    prior_mean, prior_log_var: the same for the priors, where they are not N(0, 1).
    z = mean + sigma * noise: a sample of the posterior, shape (n, m).
"""

import torch
from jaxtyping import Float
from torch import Tensor

#: Outside this range exp(log_var) is useless in float32; no trained encoder comes near its ends.
LOG_VAR_RANGE = (-20.0, 10.0)


def sample(
    mean: Float[Tensor, "n m"], log_var: Float[Tensor, "n m"], noise: torch.Generator
) -> Float[Tensor, "n m"]:
    """One sample of each posterior, differentiable in its parameters."""
    standard = torch.randn(mean.shape, generator=noise, device=mean.device, dtype=mean.dtype)
    return mean + torch.exp(log_var / 2) * standard


def kl_per_latent(
    mean: Float[Tensor, "n m"], log_var: Float[Tensor, "n m"]
) -> Float[Tensor, "n m"]:
    """KL(q(z_j|x) || N(0, 1)) in nats, at least 0: (mean^2 + sigma^2 - ln sigma^2 - 1) / 2."""
    return (mean.square() + log_var.exp() - log_var - 1) / 2


def conditional_kl_per_latent(
    mean: Float[Tensor, "n m"],
    log_var: Float[Tensor, "n m"],
    prior_mean: Float[Tensor, "n m"],
    prior_log_var: Float[Tensor, "n m"],
) -> Float[Tensor, "n m"]:
    """KL(q(z_j|x, u) || p(z_j|u)) in nats, at least 0.

    The posterior is expressed in units of its prior, which turns the prior into N(0, 1).
    """
    relative_mean = (mean - prior_mean) * torch.exp(-prior_log_var / 2)
    return kl_per_latent(relative_mean, log_var - prior_log_var)
