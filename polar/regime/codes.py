"""The codes of a set of images: the input of every criterion.

Notation:
    n, m: images, latents.
    prior: the model's own, N(prior_mean, prior_variance) for each image of an iVAE, else N(0, 1).
"""

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import torch
from jaxtyping import Float64
from numpy.typing import NDArray
from torch import Tensor

from polar.errors import InvalidInput

Array: TypeAlias = Tensor | NDArray[Any]

#: In units of the latent. Chosen by us, because squares of larger values, summed over images,
#: overflow float64; no trained encoder comes near.
LARGEST_VALUE = 1e150


@dataclass(frozen=True)
class Codes:
    """What an encoder says of each image, checked; `codes` makes them."""

    mean: Float64[np.ndarray, "n m"]
    #: None: a deterministic autoencoder.
    variance: Float64[np.ndarray, "n m"] | None
    #: Conditional prior of an iVAE, for each image; None: N(0, 1).
    prior_mean: Float64[np.ndarray, "n m"] | None
    prior_variance: Float64[np.ndarray, "n m"] | None

    def relative_to_prior(self) -> "Codes":
        """The same codes in units of the model's prior, which becomes N(0, 1).

        mean becomes (mean - prior_mean) / prior_std, variance becomes variance / prior_variance.
        The KL divergence from the prior stays as it is.
        """
        if self.variance is None or self.prior_mean is None or self.prior_variance is None:
            return self
        mean = (self.mean - self.prior_mean) / np.sqrt(self.prior_variance)
        return codes(mean, self.variance / self.prior_variance)


def codes(
    mean: Array,
    variance: Array | None = None,
    prior_mean: Array | None = None,
    prior_variance: Array | None = None,
) -> Codes:
    """Takes codes of any model, in NumPy or Torch, as float64.

    Args:
        mean: Mean representation, or the codes of a deterministic autoencoder, shape (n, m), in
            units of the latents.
        variance: Variances of the posteriors, positive, shape (n, m).
        prior_mean: Means of a conditional prior, shape (n, m).
        prior_variance: Variances of a conditional prior, positive, shape (n, m).

    Raises:
        InvalidInput: an array is not of real numbers, not of shape (n, m) with at least one image
            and one latent, not of the shape of `mean`, or has a value that is not finite, beyond
            LARGEST_VALUE, or a variance that is not positive; or one part of a conditional prior
            stands alone, or without a variance.
    """
    if (prior_mean is None) != (prior_variance is None):
        raise InvalidInput("half of a conditional prior; allowed: its mean and variance, or none")
    if prior_mean is not None and variance is None:
        raise InvalidInput("a conditional prior without a variance; allowed: both, or none")
    given = {
        "mean": mean,
        "variance": variance,
        "prior_mean": prior_mean,
        "prior_variance": prior_variance,
    }
    arrays = {name: _checked(name, values) for name, values in given.items()}
    shapes = {name: values.shape for name, values in arrays.items() if values is not None}
    if len(set(shapes.values())) > 1:
        raise InvalidInput(f"shapes {shapes}; allowed: one shape for all")
    return Codes(**arrays)  # type: ignore[arg-type]  # the mean is there


def _checked(name: str, values: Array | None) -> Float64[np.ndarray, "n m"] | None:
    if values is None:
        return None
    array = as_float64(name, values)
    if array.ndim != 2 or 0 in array.shape:
        raise InvalidInput(
            f"{name} of shape {array.shape}; allowed: (n, m), at least one image and one latent"
        )
    _refuse(
        name, array, ~(np.abs(array) <= LARGEST_VALUE), f"not finite, or beyond {LARGEST_VALUE:g},"
    )
    if "variance" in name:
        _refuse(name, array, array <= 0, "0 or negative")
    return array


def as_float64(name: str, values: Array) -> Float64[np.ndarray, "..."]:
    """A copy, which nobody else can change.

    Raises:
        InvalidInput: the values are not real numbers; the name is theirs in the message.
    """
    if isinstance(values, Tensor):
        real = not values.is_complex() and values.dtype != torch.bool
        numbers = values.detach().cpu().double().numpy() if real else None
    else:
        numbers = np.asarray(values)
        real = numbers.dtype.kind in "iuf"
    if not real:
        raise InvalidInput(f"{name} of {values.dtype}; allowed: real numbers")
    return np.array(numbers, dtype=np.float64)


def _refuse(
    name: str, array: Float64[np.ndarray, "n m"], wrong: NDArray[np.bool_], what: str
) -> None:
    if wrong.any():
        counts = wrong.sum(axis=0)
        latent = int(counts.argmax())
        row = int(wrong[:, latent].argmax())
        raise InvalidInput(
            f"{name} of latent {latent} is {what} in {counts[latent]} of {len(array)} images, "
            f"such as {array[row, latent]} in image {row} "
            f"(such latents: {(counts > 0).sum()} of {len(counts)})"
        )
