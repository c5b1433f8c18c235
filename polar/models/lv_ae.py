"""The Least-Volume autoencoder, which minimises reconstruction / pixels + lambda * volume.

volume = exp(mean_j ln(std_j + eta)), the geometric mean of (std + eta) over the latents, where
std_j is the standard deviation of latent j over the mini-batch. The decoder is 1-Lipschitz;
otherwise it would make up for any shrinking of the codes.

lambda is relative to a loss averaged over pixels, as published. Relative to a sum over pixels, the
same lambda is worth 1,024 times less at 32x32.

Reference: Chen, Fuge (2024), https://openreview.net/forum?id=jFJPd9kIiF. There the decoder ends in
a sigmoid and starts at 4x4.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from polar.errors import InvalidInput
from polar.models import lipschitz, networks
from polar.models.autoencoder import Encoding, Losses
from polar.models.likelihood import reconstruction_loss
from polar.spec import ImageShape, LVAESpec

#: Slope of LeakyReLU, as published.
SLOPE = 0.2


class LVAE(nn.Module):
    """Deterministic convolutional encoder, and decoder whose layers are all 1-Lipschitz."""

    def __init__(self, spec: LVAESpec, shape: ImageShape, generator: torch.Generator) -> None:
        super().__init__()
        features = networks.feature_count(shape.side, spec.widths)
        self.spec = spec
        self.encoder = networks.encoder(shape.channels, spec.widths, generator, SLOPE)
        self.head = networks.head(features, spec.latent_dim, generator)
        self.decoder = networks.decoder(spec.latent_dim, shape, spec.widths, generator, SLOPE)
        lipschitz.constrain(self.decoder, spec.latent_dim, generator)

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
        """The losses of one batch, after one power iteration for each layer of the decoder.

        Raises:
            InvalidInput: the batch is a single image, which has no standard deviation.
        """
        lipschitz.iterate(self.decoder)
        codes = self.encode(images, u).mean
        outputs = self.decode(codes)
        reconstruction = reconstruction_loss(self.spec.likelihood, outputs, images)
        return Losses(reconstruction, penalty=volume(codes, self.spec.eta))


def volume(codes: Float[Tensor, "n m"], eta: float) -> Float[Tensor, ""]:
    """exp(mean_j ln(std_j + eta)), with unbiased standard deviations; eta if all codes are equal.

    Raises:
        InvalidInput: there are fewer than two codes.
    """
    if len(codes) < 2:
        raise InvalidInput(f"the batch size is {len(codes)}; allowed: at least 2")
    return (codes.std(0) + eta).log().mean().exp()
