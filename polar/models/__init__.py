"""The models: an encoder with a Gaussian posterior, a decoder, a loss."""

import torch

from polar.models.autoencoder import Autoencoder as Autoencoder
from polar.models.autoencoder import Losses as Losses
from polar.models.autoencoder import Posterior as Posterior
from polar.models.beta_vae import BetaVAE
from polar.spec import BetaVAESpec


def build(
    spec: BetaVAESpec, generator: torch.Generator, device: torch.device | None = None
) -> Autoencoder:
    """A new model, its weights drawn from the generator, so that every device starts alike.

    Args:
        spec: Which model, and its sizes.
        generator: Source of the weights; of the CPU.
        device: Where the model is to live; the CPU by default.
    """
    model = BetaVAE(spec, generator).to(memory_format=torch.channels_last)
    return model.to(device)
