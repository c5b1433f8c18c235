"""A beta-VAE, its training and its entropies as a researcher would write them, with torch alone.

As a program it is one of the three that `benchmarks.steps` compares, and tells it how long the
second half of the steps takes:

    python -m benchmarks.plain_training --images images.npy --batch 128
"""

import argparse
import itertools
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

#: The training of the examples of digits and MNIST, which `benchmarks.plain_sweep` makes.
BATCH, LEARNING_RATE, LATENTS, WIDTHS = 64, 4e-3, 16, (8, 8, 16, 16, 32)
#: Order and kernel width of the entropies.
ORDER, SIGMA = 1.01, 0.5
#: Takes the number of steps made so far.
OnStep = Callable[[int], None]


class VAE(nn.Module):
    """Five convolutions, two heads, a linear layer and five transposed convolutions."""

    def __init__(self, latents: int, widths: Sequence[int], side: int) -> None:
        super().__init__()
        small = side // 32
        features = widths[-1] * small**2
        layers: list[nn.Module] = []
        for c_in, c_out in itertools.pairwise((1, *widths)):
            layers += [nn.Conv2d(c_in, c_out, 4, 2, 1), nn.ReLU()]
        self.encoder = nn.Sequential(*layers, nn.Flatten())
        self.mean, self.log_var = nn.Linear(features, latents), nn.Linear(features, latents)
        layers = [nn.Linear(latents, features), nn.Unflatten(1, (widths[-1], small, small))]
        for c_in, c_out in itertools.pairwise((*reversed(widths), 1)):
            layers += [nn.ReLU(), nn.ConvTranspose2d(c_in, c_out, 4, 2, 1)]
        self.decoder = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        features = self.encoder(x)
        mean, log_var = self.mean(features), self.log_var(features)
        z = mean + torch.exp(log_var / 2) * torch.randn_like(mean)
        return self.decoder(z), mean, log_var


def load(path: str) -> Tensor:
    """Pixels in [0, 1] of the images in a file of bytes."""
    return torch.from_numpy(np.load(path)).float() / 255


def train(
    model: VAE, images: Tensor, *, beta: float, batch: int, steps: int, learning_rate: float
) -> Iterator[tuple[int, Tensor]]:
    """Yields the number of the step and its loss, still on the device, after each step."""
    loader = DataLoader(TensorDataset(images), batch_size=batch, shuffle=True, drop_last=True)
    optimiser = torch.optim.Adam(model.parameters(), lr=learning_rate)
    step = 0
    while True:
        for (x,) in loader:
            logits, mean, log_var = model(x)
            reconstruction = F.binary_cross_entropy_with_logits(logits, x, reduction="sum")
            kl = (mean.square() + log_var.exp() - log_var - 1).sum() / 2
            loss = (reconstruction + beta * kl) / len(x)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            step += 1
            yield step, loss
            if step == steps:
                return


@torch.no_grad()
def entropies(model: VAE, images: Tensor) -> list[float]:
    """The matrix-based entropy of each latent's means, in nats, by the definition."""
    mean = model.mean(model.encoder(images)).double().numpy()
    return [entropy(x) for x in mean.T]


def entropy(x: np.ndarray) -> float:
    """The entropy of samples of one latent, of order 1.01, in nats."""
    gram = np.exp(-((x[:, None] - x) ** 2) / (2 * SIGMA**2))
    p = np.linalg.eigvalsh(gram / len(x)).clip(0)
    return float(np.log((p**ORDER).sum()) / (1 - ORDER))


def serve(prepare: Callable[[argparse.Namespace], Callable[[OnStep], None]]) -> None:
    """Train when stdin says so, and print the seconds of the second half of the steps.

    Args:
        prepare: Makes all that comes before the first step. What it returns makes the steps, of
            one epoch, and calls its argument after each step, or after some of them.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("--images", required=True)
    parser.add_argument("--batch", type=int, required=True)
    parser.add_argument("--latents", type=int, default=32)
    parser.add_argument("--widths", type=int, nargs=5, default=[32, 32, 64, 64, 128])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--precision", default="float32")
    options = parser.parse_args()
    answers, sys.stdout = sys.stdout, sys.stderr  # what libraries print is no answer
    torch.set_num_threads(options.threads)
    options.steps = len(np.load(options.images, mmap_mode="r")) // options.batch
    train = prepare(options)
    times: dict[int, float] = {}
    print("ready", file=answers, flush=True)
    sys.stdin.readline()
    train(lambda step: times.update({step: time.monotonic()}))
    seconds = times[options.steps] - times[options.steps // 2]
    print(json.dumps({"seconds": seconds}), file=answers, flush=True)


def _prepare(options: argparse.Namespace) -> Callable[[OnStep], None]:
    images = load(options.images)
    model = VAE(options.latents, options.widths, images.shape[-1])

    def make(on_step: OnStep) -> None:
        for step, loss in train(
            model, images, beta=1.0, batch=options.batch, steps=options.steps, learning_rate=1e-3
        ):
            if step % 10 == 0:
                loss.item()  # as whoever logs it does
            on_step(step)

    return make


if __name__ == "__main__":
    serve(_prepare)
