"""The terms of a trained model's loss on the images that it is evaluated on."""

import numpy as np
import torch
from jaxtyping import Float64

from polar.models import Autoencoder
from polar.records.certificates import LossTerms
from polar.regime.loss_terms import measure_loss_terms
from polar.spec import ExperimentSpec, LikelihoodSpec, shape_of
from polar.training.decoding import Decoder
from polar.training.evaluation import as_codes, encode, measured
from polar.training.subset import EvaluationSubset, mean_image_losses
from polar.training.u_groups import UGroups


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
        _mean_image_losses(subset, spec.model.likelihood),
        subset.floor,
        pixels=shape_of(spec.dataset).values,
    )


def _mean_image_losses(
    subset: EvaluationSubset, likelihood: LikelihoodSpec
) -> Float64[np.ndarray, " n"]:
    if subset.groups.is_one:
        return subset.mean_image
    one_group = UGroups(torch.zeros_like(subset.groups.of_image))
    return mean_image_losses(subset.inputs, one_group, likelihood)
