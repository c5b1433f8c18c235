import math

import numpy as np
import pytest
import torch

from polar.entropy.bump_grid import Block, gram_blocks

RNG = np.random.default_rng(5)
SAMPLES = {
    "one wide piece": RNG.uniform(0, 200, 600),
    "two dense pieces": np.append(RNG.normal(0, 1, 300), RNG.normal(90, 1, 300)),
    "sparse pieces": RNG.uniform(0, 3000, 600),
    "a dense core with heavy tails": RNG.standard_cauchy(600),
    "few samples": RNG.normal(0, 1, 7),
    "compact": RNG.normal(0, 1, 600),
    "all at one end or the other": np.repeat([0.0, 1e-3], 300),
}


def sorted_spectrum(blocks: list[Block], size: int) -> np.ndarray:
    found = np.sort(np.concatenate([block.eigenvalues() for block in blocks]))[::-1]
    return np.append(found, np.zeros(size))[:size]


@pytest.mark.parametrize("budget", [1e-4, 1e-8, 1e-12])
@pytest.mark.parametrize("x", SAMPLES.values(), ids=SAMPLES.keys())
def test_eigenvalues_differ_by_no_more_than_budget_and_rounding(
    x: np.ndarray, budget: float
) -> None:
    n = len(x)
    exact = np.linalg.eigvalsh(np.exp(-((x[:, None] - x) ** 2) / 2) / n)[::-1]

    blocks = gram_blocks(torch.from_numpy(x), sigma=1.0, budget=budget)

    size = 3 * n + 1000
    difference = np.abs(sorted_spectrum(blocks, size) - np.append(exact, np.zeros(size - n)))
    oracle_rounding = n * np.finfo(float).eps  # n eigenvalues, each within eps |A|
    assert difference.sum() <= budget + sum(b.rounding for b in blocks) + oracle_rounding


@pytest.mark.parametrize("x", SAMPLES.values(), ids=SAMPLES.keys())
def test_traces_are_those_of_the_eigenvalues(x: np.ndarray) -> None:
    for block in gram_blocks(torch.from_numpy(x), sigma=1.0, budget=1e-10):
        eigenvalues = block.eigenvalues()

        # The clipped eigenvalues are off by what the densities' error makes negative.
        assert block.trace == pytest.approx(eigenvalues.sum(), abs=1e-10)
        assert block.square_trace == pytest.approx((eigenvalues**2).sum(), abs=1e-10)


def test_samples_far_apart_need_no_eigenproblem() -> None:
    x = torch.arange(5, dtype=torch.float64) * 1e6

    (block,) = gram_blocks(x, sigma=1.0, budget=1e-10)

    assert block.nodes == 0
    assert block.eigenvalues().tolist() == [0.2] * 5


def test_a_gap_is_cut_so_that_nodes_count_occupied_ranges_only() -> None:
    near = torch.linspace(-5, 5, 1000, dtype=torch.float64)
    both = torch.cat([near, near + 1e5])

    (alone,) = gram_blocks(near, sigma=1.0, budget=1e-8)
    blocks = gram_blocks(both, sigma=1.0, budget=1e-8)

    assert [block.nodes for block in blocks] == [alone.nodes] * 2


def test_a_few_samples_over_a_wide_range_keep_their_own_gram_matrix() -> None:
    x = torch.arange(50, dtype=torch.float64) * 4

    (block,) = gram_blocks(x, sigma=1.0, budget=1e-10)

    assert block.nodes == 50
    assert block.bands[:, 0] == pytest.approx(
        [math.exp(-8 * k * k) / 50 for k in range(len(block.bands))]
    )
