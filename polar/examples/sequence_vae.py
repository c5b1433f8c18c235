"""A VAE of sequences: a recurrent encoder, a decoder that unrolls, 8 latents for 3 causes.

    python -m polar.examples.sequence_vae

The sequences are noisy waves of 32 points, each with its own amplitude, frequency and phase.
"""

import math

import torch
from torch import Tensor, nn

from polar.measurement.measure import measure
from polar.records.measurement import Measurement

SEQUENCES, POINTS = 4000, 32
LATENTS = 8
STEPS = 2500
BATCH = 128
#: Standard deviation of the noise, and of the decoder's Gaussian.
NOISE = 0.1


class SequenceVAE(nn.Module):
    """A recurrent network whose last state gives the code, and another that takes the code."""

    def __init__(self) -> None:
        super().__init__()
        self.reader = nn.GRU(1, 48, batch_first=True)
        self.heads = nn.Linear(48, 2 * LATENTS)
        self.start = nn.Linear(LATENTS, 48)
        self.writer = nn.GRU(LATENTS, 48, batch_first=True)
        self.point = nn.Linear(48, 1)

    def encode(self, waves: Tensor) -> tuple[Tensor, Tensor]:
        """Means and log-variances, both of shape (n, latents), for waves of shape (n, points)."""
        _, state = self.reader(waves.unsqueeze(2))
        mean, log_var = self.heads(state[0]).chunk(2, dim=1)
        return mean, log_var

    def decode(self, codes: Tensor) -> Tensor:
        """Waves of shape (n, points)."""
        repeated = codes.unsqueeze(1).expand(-1, POINTS, -1)
        states, _ = self.writer(repeated, torch.tanh(self.start(codes)).unsqueeze(0))
        return self.point(states).squeeze(2)


def waves() -> Tensor:
    """Waves with random amplitude, frequency and phase, shape (sequences, points)."""
    amplitude, frequency, phase = torch.rand(3, SEQUENCES, 1)
    time = torch.linspace(0, 1, POINTS)
    turns = (0.5 + frequency) * time + phase / 2
    clean = (0.5 + amplitude) * torch.sin(2 * math.pi * turns)
    return clean + NOISE * torch.randn(SEQUENCES, POINTS)


def main(steps: int = STEPS) -> Measurement:
    """Train for a minute, then measure the posteriors of all sequences."""
    torch.manual_seed(0)
    data, model = waves(), SequenceVAE()
    optimiser = torch.optim.Adam(model.parameters(), 2e-3)

    for _ in range(steps):
        batch = data[torch.randint(SEQUENCES, (BATCH,))]
        mean, log_var = model.encode(batch)
        sample = mean + (log_var / 2).exp() * torch.randn_like(mean)
        error = (model.decode(sample) - batch).square().sum(1).mean() / (2 * NOISE**2)
        kl = (mean.square() + log_var.exp() - log_var - 1).sum(1).mean() / 2
        optimiser.zero_grad()
        torch.autograd.backward(error + kl)
        optimiser.step()

    with torch.no_grad():
        mean, log_var = model.encode(data)
    return measure(mean, log_var.exp())


if __name__ == "__main__":
    print(main().explanation)
