"""The L2-regularised autoencoder, which minimises reconstruction / pixels + gamma * mean ||z||^2.

The penalty is summed over latents. An unconstrained decoder can evade it, because codes that are c
times smaller and weights that are c times larger draw the same images. During training the codes
of all latents therefore shrink together.

Reference: Clapham, Bonheme, Grzes (2026), Eq. 15, https://arxiv.org/abs/2605.15965
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from polar.models import networks
from polar.models.autoencoder import Encoding, Losses
from polar.models.likelihood import reconstruction_loss
from polar.spec import ImageShape, L2AESpec


class L2AE(nn.Module):
    """Deterministic convolutional encoder and decoder."""

    def __init__(self, spec: L2AESpec, shape: ImageShape, generator: torch.Generator) -> None:
        super().__init__()
        features = networks.feature_count(shape.side, spec.widths)
        self.spec = spec
        self.encoder = networks.encoder(shape.channels, spec.widths, generator)
        self.head = networks.head(features, spec.latent_dim, generator)
        self.decoder = networks.decoder(spec.latent_dim, shape, spec.widths, generator)

    def encode(self, images: Float[Tensor, "n c side side"], _u: Float[Tensor, "n k"]) -> Encoding:
        """The codes of images with pixels in [0, 1]."""
        return Encoding(self.head(self.encoder(images)))

    def decode(self, latents: Float[Tensor, "n m"]) -> Float[Tensor, "n c side side"]:
        """The likelihood's parameter for each pixel."""
        return self.decoder(latents)

    def losses(
        self,
        images: Float[Tensor, "n c side side"],
        u: Float[Tensor, "n k"],
        _noise: torch.Generator,
    ) -> Losses:
        """The losses of one batch."""
        codes = self.encode(images, u).mean
        outputs = self.decode(codes)
        reconstruction = reconstruction_loss(self.spec.likelihood, outputs, images)
        return Losses(reconstruction, penalty=codes.square().sum(1).mean())
