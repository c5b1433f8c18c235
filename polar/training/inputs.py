"""What a model takes from a dataset: the images, and u for an iVAE."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float32, Int64, UInt8
from torch import Tensor

from polar.data.images import ImageDataset, as_pixels
from polar.spec import ExperimentSpec


@dataclass(frozen=True)
class Inputs:
    """Images and u, kept as bytes and converted to floats batch by batch."""

    images: UInt8[Tensor, "n c side side"]
    #: The one-hot vectors of u's factors, side by side; no columns for a model without u.
    u: UInt8[Tensor, "n k"]

    def __len__(self) -> int:
        return len(self.images)

    def first(self, at_most: int) -> "Inputs":
        """The first `at_most` images and their u, or all if there are fewer."""
        return Inputs(self.images[:at_most], self.u[:at_most])

    def after(self, n: int) -> "Inputs":
        """The images after the first n, and their u."""
        return Inputs(self.images[n:], self.u[n:])

    def batch(
        self, rows: Int64[Tensor, " b"]
    ) -> tuple[Float32[Tensor, "b c side side"], Float32[Tensor, "b k"]]:
        """Pixels in [0, 1], and u, of the images in `rows`, as models take them."""
        return as_pixels(self.images.index_select(0, rows)), self.u.index_select(0, rows).float()


@dataclass(frozen=True)
class Split:
    """The images of a dataset by whether training sees them."""

    #: The first images, in the order that belongs to the dataset's digest.
    training: Inputs
    #: The other images; there may be none.
    held_out: Inputs


def inputs(dataset: ImageDataset, spec: ExperimentSpec, device: torch.device) -> Split:
    """The images of a dataset, with the u of the spec, on a device."""
    names = list(spec.dataset.factors)
    vectors = [
        F.one_hot(dataset.factors[:, names.index(name)], size).to(torch.uint8)
        for name, size in zip(spec.u, u_sizes(spec), strict=True)
    ]
    no_columns = torch.empty(len(dataset.images), 0, dtype=torch.uint8)
    every = Inputs(dataset.images.to(device), torch.cat([no_columns, *vectors], dim=1).to(device))
    return Split(every.first(spec.training_images), every.after(spec.training_images))


def u_sizes(spec: ExperimentSpec) -> tuple[int, ...]:
    """How many values each factor of u has; empty for a model without u."""
    return tuple(spec.dataset.factors[name] for name in spec.u)
