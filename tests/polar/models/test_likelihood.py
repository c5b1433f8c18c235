import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from polar.models.likelihood import loss_range, reconstruction_loss
from polar.spec import BernoulliSpec, GaussianSpec, LikelihoodSpec

BERNOULLI = BernoulliSpec()
PIXELS = 32 * 32
LIKELIHOODS = [BERNOULLI, GaussianSpec(std=0.1), GaussianSpec(std=2.0)]


def grey_images(seed: int = 0, n: int = 30) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (n, 1, 32, 32), generator=generator).to(torch.uint8)


def pixels(images: torch.Tensor) -> torch.Tensor:
    return images.double() / 255


def test_a_bernoulli_costs_the_cross_entropy_of_each_pixel() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(5, 1, 32, 32, generator=generator, dtype=torch.float64)
    logits = torch.randn(5, 1, 32, 32, generator=generator, dtype=torch.float64)

    loss = reconstruction_loss(BERNOULLI, logits, x)

    p = logits.sigmoid()
    expected = -(x * p.log() + (1 - x) * (1 - p).log()).sum((1, 2, 3)).mean()
    assert loss.item() == pytest.approx(expected.item(), rel=1e-12)  # rounding of float64


@pytest.mark.parametrize("std", [0.1, 1.0, 3.0])
def test_a_gaussian_costs_the_density_of_each_pixel(std: float) -> None:
    generator = torch.Generator().manual_seed(0)
    x, means = torch.rand(2, 5, 1, 32, 32, generator=generator, dtype=torch.float64)

    loss = reconstruction_loss(GaussianSpec(std=std), means, x)

    density = torch.exp(-((x - means) ** 2) / (2 * std**2)) / (std * math.sqrt(2 * math.pi))
    expected = -density.log().sum((1, 2, 3)).mean()
    assert loss.item() == pytest.approx(expected.item(), rel=1e-12)  # rounding of float64


def test_black_and_white_images_cost_nothing_at_best_and_ln_2_a_pixel_at_worst() -> None:
    images = (torch.arange(100) % 2 * 255).to(torch.uint8).view(100, 1, 1, 1).repeat(1, 1, 32, 32)

    losses = loss_range(BERNOULLI, images)

    assert losses.floor == 0
    assert losses.mean_image == pytest.approx(PIXELS * math.log(2), rel=1e-12)


def test_grey_images_have_the_entropy_of_their_pixels_as_floor() -> None:
    images = torch.full((7, 1, 32, 32), 51, dtype=torch.uint8)  # 51 / 255 = 0.2

    losses = loss_range(BERNOULLI, images)

    entropy = -0.2 * math.log(0.2) - 0.8 * math.log(0.8)
    assert losses.floor == pytest.approx(PIXELS * entropy, rel=1e-12)
    assert losses.mean_image == pytest.approx(losses.floor, rel=1e-12)


def test_a_gaussian_has_the_density_at_its_mean_as_floor() -> None:
    losses = loss_range(GaussianSpec(std=0.5), grey_images())

    expected = PIXELS * math.log(0.5 * math.sqrt(2 * math.pi))
    assert losses.floor == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_the_range_ends_at_the_images_themselves_and_at_the_mean_image(
    likelihood: LikelihoodSpec,
) -> None:
    x = pixels(grey_images()).clamp(1e-12, 1 - 1e-12)  # the logit of black is not finite
    mean = x.mean(0).expand_as(x)
    if isinstance(likelihood, BernoulliSpec):
        outputs, mean_outputs = x.logit(), mean.logit()
    else:
        outputs, mean_outputs = x, mean

    losses = loss_range(likelihood, grey_images())

    # black and white were moved by 1e-12
    at_best = reconstruction_loss(likelihood, outputs, x).item()
    assert losses.floor == pytest.approx(at_best, rel=1e-9)
    at_mean = reconstruction_loss(likelihood, mean_outputs, x).item()
    assert losses.mean_image == pytest.approx(at_mean, rel=1e-9)


@given(seed=st.integers(0, 2**32 - 1), likelihood=st.sampled_from(LIKELIHOODS))
def test_no_constant_image_is_better_than_the_mean_image(
    seed: int, likelihood: LikelihoodSpec
) -> None:
    images = grey_images(seed % 7, n=4)
    generator = torch.Generator().manual_seed(seed)
    other = torch.randn(1, 1, 32, 32, generator=generator, dtype=torch.float64)

    losses = loss_range(likelihood, images)

    drawn = reconstruction_loss(likelihood, other.expand(4, 1, 32, 32), pixels(images)).item()
    assert losses.floor <= losses.mean_image <= drawn
