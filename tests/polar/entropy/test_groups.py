import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from polar.entropy import entropy_given_groups, renyi_entropy
from polar.errors import InvalidInput

Floats = NDArray[np.floating[Any]]

RNG = np.random.default_rng(31)
N = 200
X = np.stack([RNG.standard_normal(N), 0.1 * RNG.standard_normal(N), np.zeros(N)], axis=1)
GROUPS = RNG.choice(4, N, p=[0.1, 0.2, 0.3, 0.4])


@pytest.mark.parametrize("alpha", [0.9, 1.0, 1.01, 2.0, 7.0, math.inf])
def test_it_is_the_joint_entropy_with_the_kernel_of_equality_less_that_of_the_groups(
    alpha: float,
    gram_matrix: Callable[[Floats, float], Floats],
    entropy_of_matrix: Callable[[Floats, float], float],
) -> None:
    found = entropy_given_groups(X, GROUPS, alpha=alpha, tol=1e-5)

    same = (GROUPS[:, None] == GROUPS).astype(float)
    of_u = entropy_of_matrix(same, alpha)
    expected = [entropy_of_matrix(gram_matrix(x, 0.5) * same, alpha) - of_u for x in X.T]
    rounding = 1e-7 if alpha < 1 else 1e-12  # of the oracle's zero eigenvalues
    assert (np.abs(found.nats - expected) <= found.error_bound_nats + rounding).all()
    assert (found.error_bound_nats <= 1e-5).all()


def test_at_order_one_it_is_the_weighted_mean_within_the_groups() -> None:
    found = entropy_given_groups(X, GROUPS, alpha=1.0)

    within = [renyi_entropy(X[np.equal(GROUPS, g)], alpha=1.0).nats for g in range(4)]
    assert found.nats == pytest.approx(np.bincount(GROUPS) / N @ np.array(within), abs=1e-12)


@pytest.mark.parametrize("alpha", [1.0, 1.01, 2.0])
def test_a_latent_that_u_alone_moves_has_entropy_but_none_given_u(alpha: float) -> None:
    digit = np.repeat(np.arange(10), 20)
    mu = 100.0 * RNG.permutation(10)[digit]

    marginal = renyi_entropy(mu, alpha=alpha).nats[0]
    given_u = entropy_given_groups(mu, digit, alpha=alpha).nats[0]

    assert marginal == pytest.approx(math.log(10), abs=1e-6)
    assert given_u == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("alpha", [1.0, 1.01, 2.0, math.inf])
def test_one_group_changes_nothing(alpha: float) -> None:
    found = entropy_given_groups(X, np.full(N, 7), alpha=alpha)

    assert found.nats == pytest.approx(renyi_entropy(X, alpha=alpha).nats, abs=1e-12)


def test_factors_group_by_their_combinations() -> None:
    factors = np.stack([GROUPS % 2, GROUPS // 2], axis=1)

    assert entropy_given_groups(X, factors).nats.tolist() == pytest.approx(
        entropy_given_groups(X, GROUPS).nats.tolist(), abs=1e-12
    )


def test_a_group_for_each_sample_leaves_nothing() -> None:
    found = entropy_given_groups(X, np.arange(N))

    assert found.nats == pytest.approx([0, 0, 0], abs=1e-12)


@settings(deadline=None, max_examples=30)
@given(alpha=st.sampled_from([1.0, 1.01, 2.0, 5.0]), seed=st.integers(0, 1000))
def test_it_lies_between_nothing_and_the_largest_group_and_order_does_not_matter(
    alpha: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    x, u = rng.standard_cauchy(40), rng.integers(0, 5, 40)
    order = rng.permutation(40)

    nats = entropy_given_groups(x, u, alpha=alpha).nats[0]

    assert 0 <= nats <= math.log(np.bincount(u).max())
    assert entropy_given_groups(x[order], u[order], alpha=alpha).nats[0] == pytest.approx(
        nats, abs=2e-6
    )


def test_torch_gives_torch() -> None:
    found = entropy_given_groups(torch.from_numpy(X).float(), torch.from_numpy(GROUPS))

    assert isinstance(found.nats, torch.Tensor)
    assert found.nats.numpy() == pytest.approx(entropy_given_groups(X, GROUPS).nats, abs=1e-5)


@pytest.mark.parametrize(
    "groups", [GROUPS[1:], GROUPS / 2, np.zeros((N, 1, 1), int), np.array(["a"] * N)]
)
def test_groups_that_are_not_one_integer_a_sample_are_refused(groups: Floats) -> None:
    with pytest.raises(InvalidInput, match=r"groups are .*allowed: integers of shape \(200,\)"):
        entropy_given_groups(X, groups)


def test_a_sample_that_is_not_finite_is_refused() -> None:
    x = X.copy()
    x[3, 1] = math.nan

    with pytest.raises(InvalidInput, match="is nan"):
        entropy_given_groups(x, GROUPS)
