import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from polar.models.likelihood import constant_losses, image_losses, reconstruction_loss
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


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_the_loss_is_the_mean_of_the_losses_of_the_images(likelihood: LikelihoodSpec) -> None:
    x = pixels(grey_images())
    outputs = torch.randn(x.shape, generator=torch.Generator().manual_seed(0)).double()

    losses = image_losses(likelihood, outputs, x)

    assert losses.shape == (30,)
    # rounding of float64
    expected = reconstruction_loss(likelihood, outputs, x).item()
    assert losses.mean().item() == pytest.approx(expected, rel=1e-12)
    first = reconstruction_loss(likelihood, outputs[:1], x[:1]).item()
    assert losses[0].item() == pytest.approx(first, rel=1e-12)


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_losses_of_float32_outputs_are_as_good_as_their_pixels(likelihood: LikelihoodSpec) -> None:
    x = pixels(grey_images()).float()
    outputs = 10 * torch.randn(x.shape, generator=torch.Generator().manual_seed(0))

    losses = image_losses(likelihood, outputs, x)

    assert losses.dtype is torch.float64
    exact = image_losses(likelihood, outputs.double(), x.double())
    # A term of a pixel is off by 2^-24 of logits of up to 40, or of its square; signs vary.
    torch.testing.assert_close(losses, exact, rtol=1e-7, atol=1e-5)


def test_black_and_white_images_cost_nothing_at_best_and_ln_2_a_pixel_at_grey() -> None:
    x = (torch.arange(100) % 2).double().view(100, 1, 1, 1).repeat(1, 1, 32, 32)

    assert constant_losses(BERNOULLI, x, x).tolist() == [0.0] * 100
    at_grey = constant_losses(BERNOULLI, torch.full_like(x, 0.5), x)
    assert at_grey.tolist() == pytest.approx([PIXELS * math.log(2)] * 100, rel=1e-12)


def test_black_where_an_image_is_white_costs_infinitely_much() -> None:
    x = torch.ones(1, 1, 32, 32, dtype=torch.float64)

    assert constant_losses(BERNOULLI, 1 - x, x).item() == math.inf


def test_grey_images_have_the_entropy_of_their_pixels_as_floor() -> None:
    x = torch.full((7, 1, 32, 32), 0.2, dtype=torch.float64)

    entropy = -0.2 * math.log(0.2) - 0.8 * math.log(0.8)
    assert constant_losses(BERNOULLI, x, x).tolist() == pytest.approx([PIXELS * entropy] * 7)


def test_a_gaussian_has_the_density_at_its_mean_as_floor() -> None:
    x = pixels(grey_images())

    expected = PIXELS * math.log(0.5 * math.sqrt(2 * math.pi))
    assert constant_losses(GaussianSpec(std=0.5), x, x).tolist() == pytest.approx([expected] * 30)


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_a_drawn_image_costs_what_a_decoder_that_draws_it_costs(
    likelihood: LikelihoodSpec,
) -> None:
    x = pixels(grey_images()).clamp(1e-12, 1 - 1e-12)  # the logit of black is not finite
    drawn = x.mean(0).expand_as(x).contiguous()
    outputs = drawn.logit() if isinstance(likelihood, BernoulliSpec) else drawn

    found = constant_losses(likelihood, drawn, x)

    # rounding of logits
    assert found.tolist() == pytest.approx(image_losses(likelihood, outputs, x).tolist(), rel=1e-9)


@given(seed=st.integers(0, 2**32 - 1), likelihood=st.sampled_from(LIKELIHOODS))
def test_no_constant_image_is_better_than_the_mean_image(
    seed: int, likelihood: LikelihoodSpec
) -> None:
    x = pixels(grey_images(seed % 7, n=4))
    generator = torch.Generator().manual_seed(seed)
    other = torch.randn(1, 1, 32, 32, generator=generator, dtype=torch.float64)

    floor = constant_losses(likelihood, x, x).mean()
    at_mean = constant_losses(likelihood, x.mean(0).expand(x.shape), x).mean()

    drawn = reconstruction_loss(likelihood, other.expand(4, 1, 32, 32), x)
    assert floor <= at_mean <= drawn
