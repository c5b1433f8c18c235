r"""Entropy of latents conditional on a discrete variable, such as the u of an iVAE.

The kernel of u is 1 for equal and 0 for different values, so the spectrum of A_u is the groups'
shares p_g, and n A_mu o A_u is block diagonal: its spectrum is that of each group times p_g. Hence

    S(mu | u) = S(mu, u) - S(u) = ln(sum_g w_g exp((1 - alpha) S_g)) / (1 - alpha),
    w_g = p_g^alpha / sum p^alpha,

where S_g is the entropy within group g. This is an average of the S_g with escort weights; at
order 1 it is the plain weighted mean sum p_g S_g. At other orders the plain mean would not be
S(mu, u) - S(u).

Reference: Jizba and Arimitsu (2004), https://doi.org/10.1016/j.aop.2004.01.002
"""

import math

import numpy as np
from jaxtyping import Float
from scipy.special import logsumexp
from torch import Tensor

from polar.entropy.renyi import RenyiEntropy, renyi_entropy
from polar.entropy.samples import Array, ArrayT, in_kind_of
from polar.errors import InvalidInput
from polar.spec.training import DEFAULT_RENYI_ALPHA, DEFAULT_SIGMA


def entropy_given_groups(
    x: ArrayT,
    groups: Tensor | Array,
    *,
    alpha: float = DEFAULT_RENYI_ALPHA,
    sigma: float = DEFAULT_SIGMA,
    tol: float = 1e-6,
) -> RenyiEntropy[ArrayT]:
    """S(mu_j | u) of each column, in nats; O(n), like renyi_entropy.

    Args:
        x: Samples, shape (n, d), or (n,) for d = 1; finite real numbers.
        groups: Value of u for each sample: integers of shape (n,), or (n, f) for f factors whose
            combinations are the groups.
        alpha: Order, positive; infinity is allowed.
        sigma: Width of the kernel exp(-d^2 / (2 sigma^2)), positive, in the unit of x.
        tol: Upper limit of the error bound, nats, positive.

    Returns:
        Entropies, error bounds and nodes as from renyi_entropy; the entropies are from 0 (u
        determines the latent) to ln of the largest group's size.

    Raises:
        InvalidInput: groups are not integers, or not as many as samples; or as in renyi_entropy.
        ToleranceNotReached: as in renyi_entropy.
    """
    members = _rows_of_groups(groups, len(x) if x.ndim else 0)
    entropies = [renyi_entropy(x[rows], alpha=alpha, sigma=sigma, tol=tol) for rows in members]
    within = np.array([_to_numpy(entropy.nats) for entropy in entropies])  # (groups, d)
    bounds = np.array([_to_numpy(entropy.error_bound_nats) for entropy in entropies])
    nodes = np.array([_to_numpy(entropy.nodes) for entropy in entropies])
    log_p = np.log([len(rows) for rows in members]) - math.log(len(x))
    return RenyiEntropy(
        in_kind_of(x, _average(within, log_p, alpha)),
        in_kind_of(x, bounds.max(0)),  # an average is off by no more than its terms
        in_kind_of(x, nodes.max(0)),
    )


def _average(
    nats: Float[np.ndarray, "groups d"], log_p: Float[np.ndarray, " groups"], alpha: float
) -> Float[np.ndarray, " d"]:
    """The average of the groups' entropies that equals S(mu, u) - S(u)."""
    if alpha == 1:
        return np.exp(log_p) @ nats
    if alpha == math.inf:
        return log_p.max() - (log_p[:, None] - nats).max(0)
    log_w = alpha * log_p - logsumexp(alpha * log_p)
    average = logsumexp(log_w[:, None] + (1 - alpha) * nats, axis=0) / (1 - alpha)
    return np.clip(average, nats.min(0), nats.max(0))


def _rows_of_groups(groups: Tensor | Array, n: int) -> list[np.ndarray]:
    values = _to_numpy(groups)
    if values.dtype.kind not in "biu" or values.ndim not in (1, 2) or len(values) != n:
        raise InvalidInput(
            f"groups are {values.dtype} of shape {values.shape}; allowed: integers of shape "
            f"({n},) or ({n}, f), one value of u for each sample"
        )
    rows = values.reshape(n, -1)
    _, group, sizes = np.unique(rows, axis=0, return_inverse=True, return_counts=True)
    return np.split(np.argsort(group.reshape(-1), kind="stable"), np.cumsum(sizes)[:-1])


def _to_numpy(x: Tensor | Array) -> np.ndarray:
    return x.cpu().numpy() if isinstance(x, Tensor) else np.asarray(x)
