"""The fixed images that a run is evaluated on, and what their losses are compared with."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeAlias

import numpy as np
import torch
from jaxtyping import Float32, Float64, Int64, UInt8
from torch import Tensor

from polar.data.images import as_pixels
from polar.entropy import image_sigma
from polar.models.likelihood import constant_losses
from polar.spec import ExperimentSpec, IVAESpec, LikelihoodSpec
from polar.training import seeding
from polar.training.inputs import Inputs
from polar.training.u_groups import UGroups

#: Images encoded or decoded at once; more are no faster.
BATCH = 256
#: Samples of each posterior. Chosen by us, because the error of R is then that of the images.
DRAWS = 4
Pixels: TypeAlias = Float64[Tensor, "rows c side side"]


@dataclass(frozen=True)
class EvaluationSubset:
    """The images that a run is evaluated on, and what their measures are compared with."""

    inputs: Inputs
    #: The images with the same u, where the latents say u at no cost.
    groups: UGroups
    #: Loss of the mean image, for a learned prior mean of what the images with the same u say of
    #: each image, and loss of a perfect reconstruction; for each image in nats.
    mean_image: Float64[np.ndarray, " n"]
    floor: Float64[np.ndarray, " n"]
    #: Standard normal noise, the same at every evaluation of every model.
    noise: Float32[Tensor, "draws n m"]
    #: Kernel width of the images, for the information; none where that is not measured.
    image_sigma: float | None

    def first(self, at_most: int) -> "EvaluationSubset":
        """The first `at_most` images of the subset, or all if there are fewer."""
        return replace(
            self,
            inputs=self.inputs.first(at_most),
            groups=UGroups(self.groups.of_image[:at_most]),
            mean_image=self.mean_image[:at_most],
            floor=self.floor[:at_most],
            noise=self.noise[:, :at_most],
        )


def evaluation_subset(
    inputs: Inputs, spec: ExperimentSpec, training: Inputs | None = None
) -> EvaluationSubset:
    """The first images, in the dataset's fixed order.

    Args:
        inputs: The images to choose from.
        spec: The spec of the run.
        training: The images that training sees, if those of `inputs` are not among them: R then
            compares with the mean of these, or with what they say of each u.
    """
    subset = inputs.first(spec.diagnostics.images)
    likelihood = spec.model.likelihood
    groups = UGroups.of(_u_at_no_cost(subset, spec))
    if training is None:
        mean_image = mean_image_losses(subset, groups, likelihood)
    else:
        mean_image = _mean_image_losses_of_unseen(subset, training, spec)
    return EvaluationSubset(
        inputs=subset,
        groups=groups,
        mean_image=mean_image,
        floor=_losses(subset, likelihood, partial(_pixels, subset)),
        noise=seeding.evaluation_noise(
            (DRAWS, len(subset), spec.model.latent_dim), subset.images.device
        ),
        image_sigma=_image_sigma(subset.images[: spec.diagnostics.information_images]),
    )


def _u_at_no_cost(inputs: Inputs, spec: ExperimentSpec) -> UInt8[Tensor, "n k"]:
    """The u of each image; empty if it costs KL divergence that the means of latents say u.

    It costs nothing where the mean of the prior follows u, and as much as anything else where the
    mean of the prior is fixed.
    """
    model = spec.model
    is_fixed = isinstance(model, IVAESpec) and model.prior_mean == "fixed"
    return inputs.u[:, :0] if is_fixed else inputs.u


def batches(inputs: Inputs) -> Iterator[Int64[Tensor, " rows"]]:
    """The row numbers of each batch."""
    yield from torch.split(torch.arange(len(inputs), device=inputs.images.device), BATCH)


def mean_image_losses(
    inputs: Inputs, groups: UGroups, likelihood: LikelihoodSpec
) -> Float64[np.ndarray, " n"]:
    """The loss of each image if the mean image is drawn, shape (n,), nats.

    With u that is the guess by the images with the same u (see `GroupMeans`).

    Args:
        inputs: n images.
        groups: Which of them have the same u.
        likelihood: The likelihood of a pixel.
    """
    means = groups.means(inputs.images)

    def drawn(rows: Int64[Tensor, " rows"]) -> Pixels:
        return means.for_members(inputs.images[rows], groups.of_image[rows]) / 255

    return _losses(inputs, likelihood, drawn)


def _mean_image_losses_of_unseen(
    unseen: Inputs, training: Inputs, spec: ExperimentSpec
) -> Float64[np.ndarray, " n"]:
    """The same for images that are not among those of the means.

    A pixel that is black in every training image would cost infinitely much where it is not black,
    so that a grey image counts as one of the training images.
    """
    n = len(training)
    u = torch.cat([_u_at_no_cost(training, spec), _u_at_no_cost(unseen, spec)])
    groups = UGroups.of(u)
    means = groups.means(training.images)

    def drawn(rows: Int64[Tensor, " rows"]) -> Pixels:
        return (n * means.for_others(groups.of_image[n + rows]) / 255 + 0.5) / (n + 1)

    return _losses(unseen, spec.model.likelihood, drawn)


def _losses(
    inputs: Inputs, likelihood: LikelihoodSpec, drawn: Callable[[Int64[Tensor, " rows"]], Pixels]
) -> Float64[np.ndarray, " n"]:
    """The loss of each image, in nats, if `drawn` gives the image that is drawn for each row."""
    losses = [
        constant_losses(likelihood, drawn(rows), _pixels(inputs, rows)) for rows in batches(inputs)
    ]
    return torch.cat(losses).cpu().numpy()


def _pixels(inputs: Inputs, rows: Int64[Tensor, " rows"]) -> Pixels:
    return as_pixels(inputs.images.index_select(0, rows)).double()


def _image_sigma(images: UInt8[Tensor, "n c side side"]) -> float | None:
    """The kernel width of the images; none where no two images differ."""
    if len(images) < 2 or (images == images[:1]).all():
        return None
    return image_sigma(images)
