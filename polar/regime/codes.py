"""The codes of a set of images: the input of every criterion.

Notation:
    n, m: images, latents.
    prior: the prior of the model, which for an iVAE is N(prior_mean, prior_variance) for each
        image, else N(0, 1).
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64
from numpy.typing import NDArray
from torch import Tensor

from polar.entropy.samples import Array
from polar.errors import InvalidInput
from polar.regime.arrays import as_float64
from polar.spec.training import Ruler

#: Largest value of a code, in units of the latent. Chosen by us, because the squares of larger
#: values, summed over images, overflow float64; no trained encoder comes near.
LARGEST_VALUE = 1e150
#: Smaller variances have lost digits, and so have their reciprocals and logarithms.
LEAST_VARIANCE = float(np.finfo(np.float64).tiny)
#: Largest value of a code, in units of sigma. Beyond it neighbouring floats are farther apart than
#: the kernel is wide, so that an entropy only says which codes are equal to the last bit.
MOST_SIGMAS = 1e15
#: A latent without a variance whose codes differ by at most this part of the largest is constant
#: but for rounding. Chosen by us: 16 times the distance of neighbouring 32-bit floats, in which
#: encoders compute, because their sums round several times.
ROUNDING = 16 * float(np.finfo(np.float32).eps)


@dataclass(frozen=True)
class Codes:
    """The codes of each image, checked; `codes` makes them."""

    mean: Float64[np.ndarray, "n m"]
    #: None for a deterministic autoencoder.
    variance: Float64[np.ndarray, "n m"] | None
    #: The conditional prior of an iVAE, for each image; None where the prior is N(0, 1).
    prior_mean: Float64[np.ndarray, "n m"] | None
    prior_variance: Float64[np.ndarray, "n m"] | None

    @property
    def is_constant(self) -> Bool[np.ndarray, " m"]:
        """Whether each latent is the same for all images, but for rounding."""
        within = ROUNDING * np.abs(self.mean).max(axis=0)
        is_constant: Bool[np.ndarray, " m"] = np.ptp(self.mean, axis=0) <= within
        return is_constant

    def first(self, images: int) -> "Codes":
        """The codes of the first images."""
        return Codes(
            self.mean[:images],
            None if self.variance is None else self.variance[:images],
            None if self.prior_mean is None else self.prior_mean[:images],
            None if self.prior_variance is None else self.prior_variance[:images],
        )

    def relative_to_prior(self) -> "Codes":
        """The same codes in units of the model's prior, which becomes N(0, 1).

        mean becomes (mean - prior_mean) / prior_std, variance becomes variance / prior_variance.
        The KL divergence from the prior stays as it is.

        Raises:
            InvalidInput: a value leaves the range that `codes` allows.
        """
        if self.variance is None or self.prior_mean is None or self.prior_variance is None:
            return self
        with np.errstate(over="ignore", under="ignore"):  # both are refused below
            mean = (self.mean - self.prior_mean) / np.sqrt(self.prior_variance)
            variance = self.variance / self.prior_variance
        _refuse_values("mean in units of the prior", mean)
        _refuse_values("variance in units of the prior", variance)
        return Codes(mean, variance, None, None)

    def in_units_of(self, ruler: Ruler, like: "Codes | None" = None) -> "Codes":
        """The same codes in units of a ruler; the verdict goes by their mean.

        The scaled ruler takes a variational model's codes relative to its prior. A model without a
        prior has no scale of its own, because its decoder can undo any: its codes are divided by
        the largest standard deviation of a latent. They are also moved, so that the first image
        has the code 0; no entropy sees that. A latent that is constant but for rounding is made
        exactly constant: where all are, rounding would be the unit, and would look active.

        Args:
            ruler: The ruler.
            like: The codes whose largest standard deviation is the unit; by default these.

        Raises:
            InvalidInput: a value in units of the ruler leaves the range that `codes` allows.
        """
        if ruler == "absolute":
            return self
        if self.variance is not None:
            return self.relative_to_prior()
        return self._in_units_of_the_widest(like or self)

    def _in_units_of_the_widest(self, like: "Codes") -> "Codes":
        own, others = self._without_rounding(), like._without_rounding()
        first = others[0]
        spread = others - first  # exactly 0 for a constant latent, whose std rounding would see
        # A power of two changes no digit; without it, squares would leave the range of floats.
        exponent = -int(np.frexp(np.abs(spread).max())[1])
        std = float(np.ldexp(spread, exponent).std(axis=0).max()) or 1.0
        with np.errstate(over="ignore"):  # refused below
            mean = np.ldexp(own - first, exponent) / std
        _refuse_values("mean in units of the largest std", mean)
        return Codes(mean, None, None, None)

    def _without_rounding(self) -> Float64[np.ndarray, "n m"]:
        return np.where(self.is_constant, self.mean[0], self.mean)


def codes(
    mean: Tensor | Array,
    variance: Tensor | Array | None = None,
    prior_mean: Tensor | Array | None = None,
    prior_variance: Tensor | Array | None = None,
) -> Codes:
    """Takes codes of any model, in NumPy or Torch, as float64.

    Args:
        mean: Mean representation, or the codes of a deterministic autoencoder, shape (n, m), in
            units of the latents.
        variance: Variances of the posteriors, positive, shape (n, m).
        prior_mean: Means of a conditional prior, shape (n, m).
        prior_variance: Variances of a conditional prior, positive, shape (n, m).

    Raises:
        InvalidInput: an array does not hold real numbers; has another shape than (n, m), with at
            least one image and one latent, or than `mean`; or has a value that is masked, not
            finite or beyond LARGEST_VALUE, or a variance that is not positive or is below
            LEAST_VARIANCE. Or there is half of a conditional prior, or a prior without a variance.
    """
    if (prior_mean is None) != (prior_variance is None):
        raise InvalidInput("half of a conditional prior; allowed: its mean and variance, or none")
    if prior_mean is not None and variance is None:
        raise InvalidInput("a conditional prior without a variance; allowed: both, or none")
    named = {
        "mean": mean,
        "variance": variance,
        "prior_mean": prior_mean,
        "prior_variance": prior_variance,
    }
    arrays = {name: _checked(name, values) for name, values in named.items()}
    shapes = {name: values.shape for name, values in arrays.items() if values is not None}
    if len(set(shapes.values())) > 1:
        raise InvalidInput(f"shapes {shapes}; allowed: one shape for all")
    return Codes(**arrays)  # type: ignore[arg-type]  # only the mean must not be None


def _checked(name: str, values: Tensor | Array | None) -> Float64[np.ndarray, "n m"] | None:
    if values is None:
        return None
    array = as_float64(name, values)
    if array.ndim != 2 or 0 in array.shape:
        raise InvalidInput(
            f"{name} of shape {array.shape}; allowed: (n, m), at least one image and one latent"
        )
    _refuse_values(name, array)
    return array


def refuse_beyond(sigma: float, name: str, values: Float64[np.ndarray, "n m"]) -> None:
    """Refuses values that a kernel of this width cannot tell apart.

    Raises:
        InvalidInput: a value is beyond MOST_SIGMAS; the message says which one.
    """
    limit = MOST_SIGMAS * sigma
    _refuse(name, values, np.abs(values) > limit, f"beyond {MOST_SIGMAS:g} sigma = {limit:g}")


def _refuse_values(name: str, array: Float64[np.ndarray, "n m"]) -> None:
    _refuse(
        name, array, ~(np.abs(array) <= LARGEST_VALUE), f"not finite, or beyond {LARGEST_VALUE:g},"
    )
    if "variance" in name:
        _refuse(name, array, array <= 0, "0 or negative")
        too_small = f"below {LEAST_VARIANCE:.3g}, where floats underflow,"
        _refuse(name, array, array < LEAST_VARIANCE, too_small)


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
