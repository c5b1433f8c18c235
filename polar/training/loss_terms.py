"""The terms of a trained model's loss on the images that it is evaluated on."""

import numpy as np
import torch
from jaxtyping import Float64

from polar.data.images import as_pixels
from polar.models import Autoencoder
from polar.models.likelihood import constant_losses
from polar.records.certificates import LossTerms
from polar.regime.loss_terms import measure_loss_terms
from polar.spec import ExperimentSpec
from polar.training.decoding import Decoder
from polar.training.evaluation import as_codes, encode, measured
from polar.training.subset import EvaluationSubset, batches


def loss_terms(
    model: Autoencoder, subset: EvaluationSubset, spec: ExperimentSpec
) -> LossTerms | None:
    """What a trained model pays at any weight; None for a model without a weight.

    Total collapse draws the mean of all images, for an iVAE too: its decoder may learn the mean
    image of each u at no cost, but need not be able to.

    Args:
        model: The model after its last step.
        subset: Images that the model was trained on.
        spec: The spec of the run.

    Raises:
        Diverged: a loss is not finite.
        InvalidInput: a mean or variance is not finite, or there are fewer than two images.
    """
    with measured(model):
        encoding = encode(model, subset.inputs)
        every = len(subset.inputs)
        decoder = Decoder.of(model, encoding, subset, spec.model.likelihood, at_most=every)
        losses = decoder.losses(decoder.samples)
    return measure_loss_terms(
        spec.model,
        as_codes(encoding),
        losses,
        _mean_image_losses(subset, spec),
        subset.floor,
        pixels=spec.dataset.side**2,
    )


def _mean_image_losses(
    subset: EvaluationSubset, spec: ExperimentSpec
) -> Float64[np.ndarray, " n"]:
    if not spec.u:
        return subset.mean_image
    images = subset.inputs.images
    mean_image = images.sum(0, dtype=torch.float64) / (255 * len(images))
    losses = []
    for rows in batches(subset.inputs):
        pixels = as_pixels(images.index_select(0, rows)).double()
        drawn = mean_image.expand_as(pixels)
        losses.append(constant_losses(spec.model.likelihood, drawn, pixels))
    return torch.cat(losses).cpu().numpy()
