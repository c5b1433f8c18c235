"""What the decoder does with each latent."""

import math
from dataclasses import dataclass

from polar.errors import Diverged
from polar.models import Autoencoder
from polar.spec import ExperimentSpec
from polar.training.evaluation import EvaluationSubset, decoding_loss, encode, measured

#: Images on which usage is measured. Chosen by us, because each latent costs a decoding of all.
MOST_IMAGES = 1000


@dataclass(frozen=True)
class Usage:
    """Rises of the reconstruction loss when latents are set to their mean over the images."""

    #: The rise for each latent alone, in nats per image; below 0 where the decoder does better
    #: without the latent.
    rise_nats: tuple[float, ...]
    #: The rise for all latents at once, in nats per image.
    all_rise_nats: float

    @property
    def relative(self) -> tuple[float, ...] | None:
        """The rise for each latent alone / the rise for all; none where that is not positive.

        Reference: Chen, Fuge (2024), https://openreview.net/forum?id=jFJPd9kIiF
        """
        if self.all_rise_nats <= 0:
            return None
        return tuple(rise / self.all_rise_nats for rise in self.rise_nats)


def measure_usage(model: Autoencoder, subset: EvaluationSubset, spec: ExperimentSpec) -> Usage:
    """Sets each latent to its mean and decodes, on the first 1,000 images of the subset.

    The latents are the means of the posteriors; nothing is drawn by chance.

    Raises:
        Diverged: a loss is not finite.
    """
    inputs = subset.inputs.first(MOST_IMAGES)
    with measured(model):
        latents = encode(model, inputs).mean
        means = latents.double().mean(0).to(latents.dtype)
        loss, all_at_mean = (
            decoding_loss(model, codes, inputs, spec.model.likelihood)
            for codes in (latents, means.expand_as(latents))
        )
        losses = []
        for j in range(latents.shape[1]):
            without = latents.clone()
            without[:, j] = means[j]
            losses.append(decoding_loss(model, without, inputs, spec.model.likelihood))
    if not all(math.isfinite(value) for value in (loss, all_at_mean, *losses)):
        raise Diverged(f"usage cannot be measured: the losses are {loss}, {all_at_mean}, {losses}")
    return Usage(tuple(value - loss for value in losses), all_at_mean - loss)
