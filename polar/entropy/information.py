r"""Mutual information of images and latents, compared with that of shuffled pairs.

With n samples, I(X; mu_j) is not 0 even for unrelated X and mu_j; shuffling the pairs shows how
much of it is chance. Order 2 needs no shuffles: the joint sum of squared kernels under a random
permutation is Mantel's statistic, whose mean and variance over all n! permutations are known. For
symmetric a and b with zero diagonals, centred off the diagonal, the mean is 0 and

    Var = 2 a2 b2 / (n)_2 + 4 (a1 - a2)(b1 - b2) / (n)_3 + 4 (2 a1 - a2)(2 b1 - b2) / (n)_4

with a2 = sum_ij a_ij^2, a1 = sum_i (sum_j a_ij)^2 and (n)_k = n (n - 1) ... (n - k + 1).

Notation:
    n, d    samples, latents
    rows    sum_j K_ij^2 over j != i, shape (n,)
    P       tr A^2 of the shuffled joint matrix

Reference: Mantel (1967), Cancer Research 27(2), 209-220
"""

import math
from dataclasses import dataclass
from typing import Generic

import torch
from jaxtyping import Float
from torch import Tensor

from polar.entropy.joint import (
    JointEntropy,
    Samples,
    checked,
    entropy_of_gram,
    from_pairs,
    from_spectra,
    gram_of,
    sums_of,
)
from polar.entropy.pairs import PairSums
from polar.entropy.renyi import renyi_entropy
from polar.entropy.samples import Array, ArrayT, in_kind_of
from polar.errors import InvalidInput
from polar.spec.training import DEFAULT_SIGMA


@dataclass(frozen=True)
class MutualInformation(Generic[ArrayT]):
    """Information of d latents about X, and that of shuffled pairs; one order, in nats."""

    entropy_nats: ArrayT  #: (d,) float64, S(mu_j)
    nats: ArrayT  #: (d,) float64, I(X; mu_j), at most S(mu_j)
    standard_error_nats: ArrayT  #: (d,) float64, standard error of I; 0 where I is exact
    baseline_nats: ArrayT  #: (d,) float64, mean of I over shuffles
    baseline_std_nats: ArrayT  #: (d,) float64, standard deviation of I over shuffles

    @property
    def residual_nats(self) -> ArrayT:
        """S(mu_j | X) = S(mu_j) - I, shape (d,), not negative; ln(2) / 2 for a wide X = mu_j."""
        return self.entropy_nats - self.nats


@dataclass(frozen=True)
class _Moments:
    """Mean, and centred moments, of the squared kernel's entries off the diagonal."""

    mean: float
    squares: float  # a2
    row_squares: float  # a1


def mutual_information(
    x: Tensor | Array,
    mu: ArrayT,
    *,
    sigma_x: float | None = None,
    sigma: float = DEFAULT_SIGMA,
    alpha: float = 2.0,
    permutations: int = 3,
    seed: int = 0,
) -> MutualInformation[ArrayT]:
    """I(X; mu_j) = S(X) + S(mu_j) - S(X, mu_j) of every latent, and its baseline, in nats.

    Args:
        x: Samples of X, shape (n, ...); uint8 for pixels, which are divided by 255, or other real
            numbers in their own unit.
        mu: Latents, shape (n, d), or (n,) for d = 1; real numbers.
        sigma_x: Width of X's kernel, positive; None for `image_sigma(x)`.
        sigma: Width of the latents' kernel exp(-d^2 / (2 sigma^2)), positive.
        alpha: Order, from 1 up, finite.
        permutations: Shuffles for the baseline, at least 2. Order 2 ignores the number: its
            baseline covers all permutations, at no cost, through their moments.
        seed: Seed of the shuffles, and of the random vectors above 4,000 samples.

    Returns:
        Information, baseline and entropy of the latents in mu's kind of array.

    Raises:
        InvalidInput: as in joint_entropy, or there are fewer than two permutations.
    """
    if permutations < 2:
        raise InvalidInput(f"permutations is {permutations}; allowed: at least 2")
    samples = checked(x, mu, sigma_x, sigma, alpha)
    if alpha == 2:
        return _of_order_two(samples, mu)
    generator = torch.Generator().manual_seed(seed)
    gram = gram_of(samples)
    s_x = entropy_of_gram(gram, alpha, generator)
    joint = from_spectra(samples, gram, s_x, mu, generator)
    shuffled = []
    for _ in range(permutations):
        order = torch.randperm(len(samples.x), generator=generator)
        pairs = Samples(samples.x, samples.mu[:, order], samples.sigma_x, sigma, alpha)
        information = from_spectra(pairs, gram, s_x, mu, generator).information_nats
        shuffled.append(torch.as_tensor(information))
    baseline = torch.stack(shuffled)
    return _assembled(joint, baseline.mean(0), baseline.std(0), mu)


def _of_order_two(samples: Samples, kind: ArrayT) -> MutualInformation[ArrayT]:
    sums = sums_of(samples)
    joint = from_pairs(samples, sums, kind)
    mean, variance = shuffled_purity(samples, sums)
    # The mean of -ln P, to second order in the spread of P.
    shuffled_joint = variance / (2 * mean**2) - mean.log()
    separate = joint.x_nats + torch.as_tensor(joint.latent_nats).to(mean)
    return _assembled(joint, separate - shuffled_joint, variance.sqrt() / mean, kind)


def shuffled_purity(
    samples: Samples, sums: PairSums
) -> tuple[Float[Tensor, " d"], Float[Tensor, " d"]]:
    """Mean and variance of P over all permutations of the latents' samples, shape (d,) each."""
    n = len(samples.x)
    # Squaring a Gaussian kernel once more divides its width by sqrt 2.
    fourth = renyi_entropy(samples.mu.T, alpha=2.0, sigma=samples.sigma / 2**0.5).nats
    x = _moments(sums.x_rows, sums.x_squares)
    latents = [
        _moments(rows, n**2 * math.exp(-float(nats)))
        for rows, nats in zip(sums.latent_rows, fourth, strict=True)
    ]
    mean = [1 / n + (1 - 1 / n) * x.mean * y.mean for y in latents]
    variance = [_mantel_variance(x, y, n) / n**4 for y in latents]
    return sums.joint.new_tensor(mean), sums.joint.new_tensor(variance)


def _moments(rows: Float[Tensor, " n"], squares: float) -> _Moments:
    n = len(rows)
    off_diagonal = rows - 1
    mean = float(off_diagonal.sum()) / max(n * (n - 1), 1)
    a2 = squares - n - n * (n - 1) * mean**2
    a1 = float((off_diagonal - (n - 1) * mean).square().sum())
    return _Moments(mean, max(a2, 0.0), a1)


def _mantel_variance(a: _Moments, b: _Moments, n: int) -> float:
    two, three, four = (max(math.perm(n, k), 1) for k in (2, 3, 4))  # avoids 0 / 0 at small n
    alike = 2 * a.squares * b.squares / two
    one_shared = (a.row_squares - a.squares) * (b.row_squares - b.squares) * 4 / three
    none_shared = (2 * a.row_squares - a.squares) * (2 * b.row_squares - b.squares) * 4 / four
    return max(alike + one_shared + none_shared, 0.0)


def _assembled(
    joint: JointEntropy[ArrayT],
    baseline: Float[Tensor, " d"],
    baseline_std: Float[Tensor, " d"],
    kind: ArrayT,
) -> MutualInformation[ArrayT]:
    error = torch.as_tensor(joint.standard_error_nats).square() + joint.x_standard_error_nats**2
    return MutualInformation(
        joint.latent_nats,
        joint.information_nats,
        in_kind_of(kind, error.sqrt()),
        in_kind_of(kind, baseline),
        in_kind_of(kind, baseline_std),
    )
