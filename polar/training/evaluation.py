"""Measures the latent space of a model on a fixed subset of the images.

Notation:
    L: Bernoulli loss of decoding the means of the posteriors, summed over pixels, mean over the
    subset, in nats per image; L_mean that of the subset's mean image whatever the input; L_floor
    that of a perfect reconstruction, which is not 0 for grey pixels.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float64, UInt8
from torch import Tensor

from polar.data.images import as_pixels
from polar.errors import Diverged
from polar.events import Evaluation
from polar.models import Autoencoder
from polar.regime.diagnostics import measure_latents
from polar.regime.polarisation import explained_part, judge
from polar.spec import ExperimentSpec
from polar.training.schedule import steps_per_epoch

#: Images encoded at once; larger ones are no faster.
BATCH = 256


@dataclass(frozen=True)
class EvaluationSubset:
    """The images that a run is evaluated on, and the losses that frame all others."""

    images: UInt8[Tensor, "n 1 32 32"]
    #: L_mean.
    mean_image_loss: float
    #: L_floor.
    floor: float


def evaluation_subset(images: UInt8[Tensor, "n 1 32 32"], at_most: int) -> EvaluationSubset:
    """The first images, in the dataset's fixed order."""
    images = images[:at_most]
    pixels = as_pixels(images).double()
    return EvaluationSubset(
        images=images,
        # The loss of a prediction p is linear in the pixel x: its mean over x is that of mean x.
        mean_image_loss=_entropy(pixels.mean(0)).sum().item(),
        floor=_entropy(pixels).sum().item() / len(pixels),
    )


@torch.no_grad()
def evaluate(
    model: Autoencoder, subset: EvaluationSubset, spec: ExperimentSpec, step: int
) -> Evaluation:
    """Measures every latent, and says what regime they are in.

    Raises:
        Diverged: a loss, mean or variance is not finite.
    """
    means, log_vars, loss = [], [], 0.0
    for images in torch.split(subset.images, BATCH):
        pixels = as_pixels(images)
        posterior = model.encode(pixels)
        logits = model.decode(posterior.mean)
        means.append(posterior.mean)
        log_vars.append(posterior.log_var)
        loss += F.binary_cross_entropy_with_logits(
            logits.double(), pixels.double(), reduction="sum"
        ).item()
    mean, log_var = torch.cat(means).cpu(), torch.cat(log_vars).cpu()  # (n, m)
    loss /= len(subset.images)
    if not (math.isfinite(loss) and mean.isfinite().all() and log_var.isfinite().all()):
        raise Diverged(f"the model is not finite any more at step {step}")
    sigma, tau = spec.diagnostics.sigma, spec.diagnostics.tau
    latents = measure_latents(
        mean, log_var, sigma=sigma, renyi_alpha=spec.diagnostics.renyi_alpha, tau=tau
    )
    explained = explained_part(loss, subset.mean_image_loss, subset.floor)
    return Evaluation(
        step=step,
        epoch=step / steps_per_epoch(spec),
        reconstruction_nats=loss,
        latents=latents,
        verdict=judge(latents, tau=tau, explained=explained),
    )


def _entropy(pixels: Float64[Tensor, "*shape"]) -> Float64[Tensor, "*shape"]:
    """Of a Bernoulli variable, in nats: the loss of a pixel against itself."""
    return -torch.xlogy(pixels, pixels) - torch.xlogy(1 - pixels, 1 - pixels)
