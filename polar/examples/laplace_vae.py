"""A VAE with a Laplace prior and Laplace posteriors, on handwritten digits.

    python -m polar.examples.laplace_vae

A passive latent's posterior is the prior, whose variance is 2. Rules that expect a variance of 1,
or the KL divergence of Gaussians, therefore do not apply unchanged; the entropy of the mean does.
"""

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.distributions import Laplace, kl_divergence

from polar.measurement.measure import measure
from polar.records.measurement import Measurement

LATENTS = 16
STEPS = 4000
BATCH = 128
BETA = 0.5


def main(steps: int = STEPS) -> Measurement:
    """Train for a few seconds, then measure only the means of the posteriors."""
    torch.manual_seed(0)
    digits = load_digits()
    images = torch.tensor(digits.data / 16, dtype=torch.float32)
    pixels = images.shape[1]
    encoder = nn.Sequential(nn.Linear(pixels, 128), nn.ReLU(), nn.Linear(128, 2 * LATENTS))
    decoder = nn.Sequential(nn.Linear(LATENTS, 128), nn.ReLU(), nn.Linear(128, pixels))
    optimiser = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], 1e-3)
    prior = Laplace(0.0, 1.0)

    for _ in range(steps):
        batch = images[torch.randint(len(images), (BATCH,))]
        mean, log_scale = encoder(batch).chunk(2, dim=1)
        posterior = Laplace(mean, log_scale.exp())
        logits = decoder(posterior.rsample())
        reconstruction = nn.functional.binary_cross_entropy_with_logits(
            logits, batch, reduction="sum"
        )
        kl = kl_divergence(posterior, prior).sum()
        optimiser.zero_grad()
        torch.autograd.backward((reconstruction + BETA * kl) / BATCH)
        optimiser.step()

    with torch.no_grad():
        mean, _ = encoder(images).chunk(2, dim=1)
    return measure(mean, labels=digits.target)


if __name__ == "__main__":
    print(main().explanation)
