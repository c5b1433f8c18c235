"""A trained model: an encoder of images and a decoder of latents, as NumPy arrays."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float32
from torch import Tensor

from polar import models
from polar.data.images import as_pixels
from polar.entropy.samples import Array
from polar.errors import InvalidInput
from polar.models import Autoencoder
from polar.models.likelihood import pixel_means
from polar.regime.arrays import as_array, as_float64
from polar.regime.codes import Codes
from polar.spec import ExperimentSpec, shape_of
from polar.training import seeding
from polar.training.evaluation import as_codes, encode_batches, measured
from polar.training.inputs import u_sizes
from polar.training.subset import BATCH


def network_of(spec: ExperimentSpec, weights: Mapping[str, Tensor]) -> Autoencoder:
    """The network of a run on the CPU, with these weights.

    Args:
        spec: The spec of the run, with one seed.
        weights: Its parameters and buffers by name.

    Raises:
        RuntimeError or TypeError: the weights are not those of the spec's model.
    """
    (seed,) = spec.seeds
    network = models.build(
        spec.model, shape_of(spec.dataset), u_sizes(spec), seeding.weights(seed)
    )
    network.load_state_dict(weights)
    return network


@dataclass(frozen=True)
class TrainedModel:
    """The model of a run after its last step; `polar.load` loads it."""

    #: The spec of the run, with one seed.
    spec: ExperimentSpec
    #: SHA-256 (hex) of the dataset that the model was trained on.
    dataset_digest: str
    #: The science version that trained the model. The codes of an earlier version's model may
    #: differ from those of its run.
    science_version: int
    #: The network itself, an `nn.Module` on the CPU that is not being trained.
    network: Autoencoder

    def encode(self, images: Tensor | Array, u: Tensor | Array | None = None) -> Codes:
        """The codes of images: `mean` and `variance`, as `polar.measure` takes them.

        The run's own images give the codes that its verdict is about.

        Args:
            images: Shape (n, c, side, side), and for grey images (n, side, side) too, at least
                one; uint8 from 0 to 255, or floats from 0 to 1.
            u: The values of the factors that the spec's model is conditioned on, from 0, shape
                (n, factors) or for one factor (n,); none for other models.

        Returns:
            `mean` of shape (n, m), `variance` too, which a deterministic model does not have, and
            `prior_mean` and `prior_variance` of a model with u, all as float64.

        Raises:
            InvalidInput: an array has another shape, type or range, or u is missing.
        """
        pixels = self._pixels(images)
        conditions = self._conditions(u, len(pixels))
        with measured(self.network):
            pairs = zip(torch.split(pixels, BATCH), torch.split(conditions, BATCH), strict=True)
            return as_codes(encode_batches(self.network, pairs))

    def decode(self, latents: Tensor | Array) -> Float32[np.ndarray, "n c side side"]:
        """The images that the decoder draws: the mean of each pixel, 0 for black and 1 for white.

        Args:
            latents: Shape (n, m), finite, at least one row.

        Raises:
            InvalidInput: they have another shape or are not finite.
        """
        rows, m = as_float64("latents", latents), self.spec.model.latent_dim
        if rows.ndim != 2 or rows.shape[1] != m or len(rows) == 0:
            raise InvalidInput(f"latents of shape {rows.shape}; allowed: (n, {m}), n at least 1")
        if not np.isfinite(rows).all():
            raise InvalidInput("latents hold values that are not finite; allowed: finite numbers")
        with measured(self.network):
            batches = torch.split(torch.from_numpy(rows).float(), BATCH)
            outputs = torch.cat([self.network.decode(batch) for batch in batches])
        drawn: Float32[np.ndarray, "n c side side"]
        drawn = pixel_means(self.spec.model.likelihood, outputs).contiguous().numpy()
        return drawn

    def _pixels(self, images: Tensor | Array) -> Float32[Tensor, "n c side side"]:
        given, (channels, side) = as_array("images", images), shape_of(self.spec.dataset)
        array = given[:, None] if channels == 1 and given.ndim == 3 else given
        if array.shape[1:] != (channels, side, side) or len(array) == 0:
            grey = f"(n, {side}, {side}) or " if channels == 1 else ""
            raise InvalidInput(
                f"images of shape {given.shape}; allowed: {grey}"
                f"(n, {channels}, {side}, {side}), n at least 1"
            )
        if array.dtype == np.uint8:
            return as_pixels(torch.from_numpy(np.ascontiguousarray(array)))
        if array.dtype.kind != "f" or not ((array >= 0) & (array <= 1)).all():
            raise InvalidInput(
                f"images of {array.dtype} from {array.min()} to {array.max()}; allowed: uint8, or "
                "floats from 0 to 1"
            )
        floats = torch.from_numpy(array.astype(np.float32))
        return floats.to(memory_format=torch.channels_last)

    def _conditions(self, u: Tensor | Array | None, n: int) -> Float32[Tensor, "n k"]:
        """The one-hot vectors of u side by side, without columns for a model without u."""
        names, sizes = self.spec.u, u_sizes(self.spec)
        if u is None:
            if names:
                raise InvalidInput(f"u is missing; this model needs {', '.join(names)}")
            return torch.empty(n, 0)
        given = as_array("u", u)
        values = given[:, None] if given.ndim == 1 else given
        if values.shape != (n, len(names)) or values.dtype.kind not in "iu":
            raise InvalidInput(
                f"u of {given.dtype} and shape {given.shape}; allowed: integers of shape "
                f"({n}, {len(names)})"
            )
        columns = []
        for column, name, size in zip(values.T, names, sizes, strict=True):
            if not 0 <= column.min() <= column.max() < size:
                least, most = column.min(), column.max()
                raise InvalidInput(f"{name} from {least} to {most}; allowed: 0 to {size - 1}")
            columns.append(F.one_hot(torch.from_numpy(column.astype(np.int64)), size))
        return torch.cat([torch.empty(n, 0), *columns], dim=1)
