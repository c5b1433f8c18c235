"""A VAE of a table: 30 measures of 569 tumours, two dense layers each way, 10 latents.

    python -m polar.examples.tabular_vae

There are no images and no convolutions, yet the report is the same.
"""

import torch
from sklearn.datasets import load_breast_cancer
from sklearn.preprocessing import StandardScaler
from torch import nn

from polar.measurement.measure import measure
from polar.records.measurement import Measurement

LATENTS = 10
STEPS = 3000
BATCH = 128


def main(steps: int = STEPS) -> Measurement:
    """Train for a few seconds, then measure the posteriors of all tumours."""
    torch.manual_seed(0)
    table = load_breast_cancer()
    rows = torch.tensor(StandardScaler().fit_transform(table.data), dtype=torch.float32)
    columns = rows.shape[1]
    encoder = nn.Sequential(nn.Linear(columns, 64), nn.ReLU(), nn.Linear(64, 2 * LATENTS))
    decoder = nn.Sequential(nn.Linear(LATENTS, 64), nn.ReLU(), nn.Linear(64, columns))
    optimiser = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], 1e-3)

    for _ in range(steps):
        batch = rows[torch.randint(len(rows), (BATCH,))]
        mean, log_var = encoder(batch).chunk(2, dim=1)
        sample = mean + (log_var / 2).exp() * torch.randn_like(mean)
        reconstruction = (decoder(sample) - batch).square().sum(1).mean() / 2
        kl = (mean.square() + log_var.exp() - log_var - 1).sum(1).mean() / 2
        optimiser.zero_grad()
        torch.autograd.backward(reconstruction + kl)
        optimiser.step()

    with torch.no_grad():
        mean, log_var = encoder(rows).chunk(2, dim=1)
    return measure(mean, log_var.exp(), labels=table.target)


if __name__ == "__main__":
    print(main().explanation)
