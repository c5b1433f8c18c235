"""The linear beta-VAE, whose optimum is known in closed form: the oracle of every criterion.

The decoder is N(W z, s^2 I), the encoder is linear, and the posterior's variances are the same for
all data. The data have mean 0 and a covariance with eigenvalues l_1 >= l_2 >= ... Latent i is
active exactly if l_i > beta s^2, and then lies along the i-th eigenvector. The optimum is
probabilistic PCA with noise beta s^2.

Notation:
    n, d, m: data, their dimensions, latents.
    s^2: noise variance of the decoder.
    W: weight of the decoder, shape (d, m).

References: Lucas et al. (2019), https://arxiv.org/abs/1911.02469, for beta = 1; Tipping, Bishop
(1999), for probabilistic PCA.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64
from torch import Tensor, nn

from polar.errors import InvalidInput
from polar.models.autoencoder import Encoding, Losses
from polar.models.posterior import kl_per_latent

#: Largest number of L-BFGS iterations. Our choice: fits of seven spectra of 4 latents took 24 to
#: 563 evaluations of the loss.
MOST_ITERATIONS = 2000
#: Change of the loss, in nats, below which L-BFGS stops earlier. Our choice: near its optimum the
#: loss is a parabola, so variances are off by about the square root of this. Among 56 fits, 53
#: were off by about 1e-5 or less and three, which stopped on a flat stretch, by up to 1e-4.
SETTLED = 1e-10


@dataclass(frozen=True)
class LinearOptimum:
    """The latents at the optimum, in order of descending eigenvalue; each array of shape (m,)."""

    active: Bool[np.ndarray, " m"]
    #: Squared norm of the decoder's column.
    gain_squared: Float64[np.ndarray, " m"]
    #: Variance of the posterior; 1 for a passive latent.
    posterior_variance: Float64[np.ndarray, " m"]
    #: Variance of the mean representation; it and the posterior's variance sum to 1.
    mean_variance: Float64[np.ndarray, " m"]
    #: KL divergence from the prior, averaged over the data, in nats.
    kl_nats: Float64[np.ndarray, " m"]


def optimum(
    eigenvalues: Float64[np.ndarray, " m"], *, beta: float, noise_variance: float = 1.0
) -> LinearOptimum:
    """The optimum of the linear beta-VAE.

    Args:
        eigenvalues: Eigenvalues of the data's covariance, descending and not negative, as many as
            latents.
        beta: Weight of the KL divergence, positive.
        noise_variance: s^2 of the decoder, positive.

    Raises:
        InvalidInput: an argument is out of its range.
    """
    ordered = bool((np.diff(eigenvalues) <= 0).all() and (eigenvalues >= 0).all())
    noise = beta * noise_variance
    if not (ordered and np.isfinite(eigenvalues).all() and 0 < noise < math.inf):
        raise InvalidInput(
            f"eigenvalues are {eigenvalues}, beta is {beta}, noise_variance is {noise_variance}; "
            "allowed: finite eigenvalues that descend and are at least 0, and beta and "
            "noise_variance positive and finite"
        )
    active = eigenvalues > noise
    posterior_variance = np.divide(noise, eigenvalues, out=np.ones(len(active)), where=active)
    return LinearOptimum(
        active=active,
        gain_squared=np.maximum(eigenvalues - noise, 0),
        posterior_variance=posterior_variance,
        mean_variance=1 - posterior_variance,
        kl_nats=-np.log(posterior_variance) / 2,
    )


class LinearVAE(nn.Module):
    """Linear encoder and decoder for vectors of mean 0."""

    def __init__(
        self,
        d: int,
        latent_dim: int,
        *,
        noise_variance: float,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self.noise_variance = noise_variance
        self.encoder = nn.Parameter(_weight(latent_dim, d, generator))
        self.decoder = nn.Parameter(_weight(d, latent_dim, generator))
        self.log_var = nn.Parameter(torch.zeros(latent_dim, dtype=torch.float64))

    def encode(self, data: Float[Tensor, "n d"]) -> Encoding:
        """The posteriors of the data."""
        mean = data @ self.encoder.T
        return Encoding(mean, self.log_var.expand_as(mean))

    def decode(self, latents: Float[Tensor, "n m"]) -> Float[Tensor, "n d"]:
        """The means of the data."""
        return latents @ self.decoder.T

    def losses(self, data: Float[Tensor, "n d"]) -> Losses:
        """The exact expectation of the loss over samples of the posteriors.

        Because the decoder is linear, it has a closed form. The reconstruction loss leaves out
        the Gaussian's constant.
        """
        mean = data @ self.encoder.T
        squares = (data - self.decode(mean)).square().sum(1).mean()
        from_samples = self.log_var.exp() @ self.decoder.square().sum(0)
        reconstruction = (squares + from_samples) / (2 * self.noise_variance)
        kl = kl_per_latent(mean, self.log_var.expand_as(mean)).sum(1).mean()
        return Losses(reconstruction, kl)


def fit(
    data: Float64[Tensor, "n d"],
    latent_dim: int,
    *,
    beta: float,
    noise_variance: float = 1.0,
    seed: int = 0,
) -> LinearVAE:
    """A linear beta-VAE trained on all data at once, by L-BFGS.

    Args:
        data: Vectors of mean 0, shape (n, d).
        latent_dim: Number of latents.
        beta: Weight of the KL divergence.
        noise_variance: s^2 of the decoder.
        seed: Seed of the first weights.
    """
    generator = torch.Generator().manual_seed(seed)
    model = LinearVAE(
        data.shape[1], latent_dim, noise_variance=noise_variance, generator=generator
    )
    optimiser = torch.optim.LBFGS(
        model.parameters(),
        max_iter=MOST_ITERATIONS,
        tolerance_grad=0,
        tolerance_change=SETTLED,
        line_search_fn="strong_wolfe",
    )

    def loss() -> Tensor:
        optimiser.zero_grad()
        losses = model.losses(data)
        total = losses.reconstruction + beta * losses.penalty
        torch.autograd.backward(total)
        return total

    optimiser.step(loss)  # type: ignore[no-untyped-call]
    return model


def _weight(
    rows: int, columns: int, generator: torch.Generator
) -> Float64[Tensor, "rows columns"]:
    scale = 1 / math.sqrt(columns)
    return scale * torch.randn(rows, columns, generator=generator, dtype=torch.float64)
