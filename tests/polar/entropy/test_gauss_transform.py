import math

import numpy as np
import pytest
import torch

from polar.entropy.gauss_transform import gaussian_means

STEP = 0.2


@pytest.mark.parametrize("error", [1e-4, 1e-8, 1e-12, 1e-16])
@pytest.mark.parametrize("span", [0.0, 0.1, 3.0, 40.0])
def test_means_agree_with_the_sum_over_all_samples(error: float, span: float) -> None:
    x = torch.rand(500, generator=torch.Generator().manual_seed(1), dtype=torch.float64) * span
    lead = 15
    points = lead + math.ceil(span / STEP) + 16
    grid = (np.arange(points) - lead) * STEP

    means = gaussian_means(x, lead=lead, step=STEP, points=points, error=error)

    exact = np.exp(-2 * (x.numpy() - grid[:, None]) ** 2).mean(1)
    rounding = 1e-15  # of means below 1, over positions below 50
    assert np.abs(means.numpy() - exact).max() <= error + rounding


def test_samples_on_the_ends_of_the_grid_are_counted() -> None:
    x = torch.tensor([0.0, 1.0], dtype=torch.float64)

    means = gaussian_means(x, lead=0, step=0.25, points=5, error=1e-12)

    expected = [(math.exp(-2 * u * u) + math.exp(-2 * (1 - u) ** 2)) / 2 for u in np.arange(5) / 4]
    assert means.tolist() == pytest.approx(expected, abs=1e-12)


def test_more_samples_than_one_pass_takes_have_the_same_means() -> None:
    few = torch.linspace(0, 2, 7, dtype=torch.float64)
    many = few.repeat(20_001)

    means = gaussian_means(many, lead=5, step=STEP, points=20, error=1e-12)

    assert means.tolist() == pytest.approx(
        gaussian_means(few, lead=5, step=STEP, points=20, error=1e-12).tolist(), rel=1e-12
    )
