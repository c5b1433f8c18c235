r"""Joint matrix-based Renyi entropy of images, or other vectors, with each latent.

With A = K_x / n for the samples X and B_j = K_y / n for a latent mu_j, both from Gaussian kernels,

    S(X, mu_j) = S(n A o B_j),    S(X | mu_j) = S(X, mu_j) - S(mu_j),    S(mu_j | X) likewise,
    I(X; mu_j) = S(X) + S(mu_j) - S(X, mu_j),

where o is the entry-by-entry product. Order 2 needs only sums over pairs (`pairs`). Other orders
need the spectrum of an n x n matrix, in O(n^2) memory: it is exact up to 4,000 samples, and
estimated from random vectors above (`lanczos`).

S(X, mu_j) is at least S(X) and S(mu_j) at every order. At order 1 it is at most their sum. At
other orders it usually is, but contrary to a common claim this is no theorem: points at (0, j) and
(i, 0), far apart, have S_2(X, Y) above S_2(X) + S_2(Y), and so a negative I.

Reference: Sanchez Giraldo et al. (2015), https://arxiv.org/abs/1211.2459
"""

import math
from dataclasses import dataclass
from typing import Final, Generic

import torch
from jaxtyping import Float
from torch import Tensor

from polar.entropy.image_width import sigma_of
from polar.entropy.lanczos import Estimate, stochastic_entropy
from polar.entropy.pairs import PairSums, pair_sums
from polar.entropy.points import Points, points
from polar.entropy.renyi import renyi_entropy
from polar.entropy.samples import Array, ArrayT, check_positive, columns, in_kind_of
from polar.entropy.spectrum import spectral_entropy
from polar.errors import InvalidInput
from polar.spec.training import DEFAULT_SIGMA

_MOST_EXACT: Final = 4000  # samples; their eigenproblem takes 2 s, a time that grows as n^3
_MOST_STOCHASTIC: Final = 20_000  # samples; their two float32 matrices take 3.2 GB
_ROWS: Final = 1024


@dataclass(frozen=True)
class JointEntropy(Generic[ArrayT]):
    """Entropies of X, of d latents, and of X with each latent; one order, in nats."""

    x_nats: float  #: S(X), from 0 to ln n
    x_standard_error_nats: float  #: 0 where S(X) is exact
    latent_nats: ArrayT  #: (d,) float64, S(mu_j)
    nats: ArrayT  #: (d,) float64, S(X, mu_j), at least S(X) and S(mu_j), at most ln n
    standard_error_nats: ArrayT  #: (d,) float64, standard error of S(X, mu_j); 0 where exact

    @property
    def x_given_latent_nats(self) -> ArrayT:
        """S(X | mu_j), shape (d,), not negative."""
        return self.nats - self.latent_nats

    @property
    def latent_given_x_nats(self) -> ArrayT:
        """S(mu_j | X), shape (d,), not negative."""
        return self.nats - self.x_nats

    @property
    def information_nats(self) -> ArrayT:
        """I(X; mu_j), shape (d,), at most S(mu_j) and S(X)."""
        return self.latent_nats - self.latent_given_x_nats


@dataclass(frozen=True)
class Samples:
    """Points and latents that have been checked, with their kernels' widths and the order."""

    x: Points
    mu: Float[Tensor, "d n"]
    sigma_x: float
    sigma: float
    alpha: float


def joint_entropy(
    x: Tensor | Array,
    mu: ArrayT,
    *,
    sigma_x: float | None = None,
    sigma: float = DEFAULT_SIGMA,
    alpha: float = 2.0,
    seed: int = 0,
) -> JointEntropy[ArrayT]:
    """Joint matrix-based Renyi entropy of X and each latent, in nats.

    Order 2 is exact to 1e-5 nats, mostly to 1e-7, and never forms an n x n matrix. Other orders
    are exact up to 4,000 samples; above, they have a standard error of about 0.01 nats and take
    O(n^2) memory and several seconds for each latent. No gradient flows through.

    Args:
        x: Samples of X, shape (n, ...); uint8 for pixels, which are divided by 255, or other real
            numbers in their own unit.
        mu: Latents, shape (n, d), or (n,) for d = 1; real numbers.
        sigma_x: Width of X's kernel, positive; None for `image_sigma(x)`. Numbers are comparable
            only at the same width, so compute it once for an evaluation subset.
        sigma: Width of the latents' kernel exp(-d^2 / (2 sigma^2)), positive.
        alpha: Order, from 1 up, finite.
        seed: Seed of the random vectors where n is above 4,000 and the order is not 2.

    Returns:
        Entropies in mu's kind of array.

    Raises:
        InvalidInput: shapes differ in n, a value is not a finite real number, or an argument is
            out of its range; or the order is not 2 and n is above 20,000.

    Reference: Sanchez Giraldo et al. (2015), https://arxiv.org/abs/1211.2459
    """
    samples = checked(x, mu, sigma_x, sigma, alpha)
    if alpha == 2:
        return from_pairs(samples, sums_of(samples), mu)
    generator = torch.Generator().manual_seed(seed)
    gram = gram_of(samples)
    return from_spectra(samples, gram, entropy_of_gram(gram, alpha, generator), mu, generator)


def checked(
    x: Tensor | Array, mu: Tensor | Array, sigma_x: float | None, sigma: float, alpha: float
) -> Samples:
    """The arguments of joint_entropy, checked; raises what joint_entropy raises."""
    if not 1 <= alpha < math.inf:
        raise InvalidInput(f"alpha is {alpha}; allowed: at least 1 and finite")
    check_positive("sigma", sigma)
    cloud = points(x)
    latents = torch.stack(list(columns(mu))).to(cloud.squares.device)
    n = len(cloud)
    if latents.shape[1] != n:
        raise InvalidInput(
            f"x has {n} samples, mu {latents.shape[1]}; allowed: the same number in both"
        )
    if alpha != 2 and n > _MOST_STOCHASTIC:
        raise InvalidInput(
            f"alpha is {alpha} with {n} samples; "
            f"allowed: alpha = 2, or at most {_MOST_STOCHASTIC} samples"
        )
    if sigma_x is None:
        sigma_x = sigma_of(cloud)
    check_positive("sigma_x", sigma_x)
    return Samples(cloud, latents, sigma_x, sigma, alpha)


def sums_of(samples: Samples) -> PairSums:
    """The sums over pairs that order 2 needs."""
    return pair_sums(samples.x, samples.mu, sigma_x=samples.sigma_x, sigma=samples.sigma)


def from_pairs(samples: Samples, sums: PairSums, kind: ArrayT) -> JointEntropy[ArrayT]:
    """Entropies of order 2, from sums over pairs."""
    n = len(samples.x)
    x_nats = -math.log(float(sums.x_rows.sum()) / n**2)
    exact = Estimate(max(0.0, x_nats), 0.0)
    joint = [Estimate(-math.log(float(total) / n**2), 0.0) for total in sums.joint]
    return _assembled(samples, exact, joint, kind)


def gram_of(samples: Samples) -> Float[Tensor, "n n"]:
    """K_x, in float32 where it only multiplies random vectors, which are far less exact."""
    x, n = samples.x, len(samples.x)
    dtype = torch.float64 if n <= _MOST_EXACT else torch.float32
    gram = torch.empty(n, n, dtype=dtype, device=x.squares.device)
    for row in range(0, n, _ROWS):
        rows = slice(row, row + _ROWS)
        gram[rows] = x.kernel(rows, slice(0, n), samples.sigma_x)
    return gram


def from_spectra(
    samples: Samples,
    gram: Float[Tensor, "n n"],
    x: Estimate,
    kind: ArrayT,
    generator: torch.Generator,
) -> JointEntropy[ArrayT]:
    """Entropies of any order, from spectra; S(X) is already known."""
    joint = [
        entropy_of_gram(_product(gram, y, samples.sigma), samples.alpha, generator)
        for y in samples.mu
    ]
    return _assembled(samples, x, joint, kind)


def entropy_of_gram(
    gram: Float[Tensor, "n n"], alpha: float, generator: torch.Generator
) -> Estimate:
    """Entropy of K / n for a Gram matrix K with ones on the diagonal; leaves K unchanged."""
    n = len(gram)
    if n > _MOST_EXACT:
        return stochastic_entropy(gram / n, alpha, generator)
    p = torch.linalg.eigvalsh(gram / n).clamp_min(0).cpu().numpy()
    return Estimate(min(max(0.0, spectral_entropy(p / p.sum(), alpha)), math.log(n)), 0.0)


def _product(
    gram: Float[Tensor, "n n"], y: Float[Tensor, " n"], sigma: float
) -> Float[Tensor, "n n"]:
    """K_x o K_y, the entry-by-entry product."""
    product = torch.empty_like(gram)
    for row in range(0, len(y), _ROWS):
        rows = slice(row, row + _ROWS)
        kernel = ((y[rows, None] - y) / sigma).square_().div_(-2).exp_()
        product[rows] = gram[rows] * kernel
    return product


def _assembled(
    samples: Samples, x: Estimate, joint: list[Estimate], kind: ArrayT
) -> JointEntropy[ArrayT]:
    latent = renyi_entropy(samples.mu.T, alpha=samples.alpha, sigma=samples.sigma).nats
    least = latent.clamp_min(x.nats).cpu()  # S(X, mu_j) is below this only by rounding or chance
    nats = torch.tensor([e.nats for e in joint], dtype=torch.float64)
    errors = torch.tensor([e.standard_error_nats for e in joint], dtype=torch.float64)
    return JointEntropy(
        x.nats,
        x.standard_error_nats,
        in_kind_of(kind, latent),
        in_kind_of(kind, nats.maximum(least).clamp_max(math.log(len(samples.x)))),
        in_kind_of(kind, errors),
    )
