import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from polar.models.posterior import conditional_kl_per_latent, kl_per_latent, sample

#: float32 keeps seven digits.
ROUNDING = 1e-6


def one(value: float) -> torch.Tensor:
    return torch.tensor([[float(value)]])


def log(variance: float) -> torch.Tensor:
    return one(math.log(variance))


@pytest.mark.parametrize(
    ("mean", "variance", "kl"),
    [
        (0, 1, 0),
        (1, 1, 0.5),
        (2, 1, 2),
        (0, 0.5, 0.0965735903),
        (0, 0.01, 1.8075850930),
        (1, 0.01, 2.3075850930),
        (0, 2, 0.1534264097),
    ],
)
def test_the_kl_has_its_known_values(mean: float, variance: float, kl: float) -> None:
    measured = kl_per_latent(one(mean), log(variance))

    assert measured.item() == pytest.approx(kl, abs=ROUNDING)


def test_the_kl_of_an_image_is_the_sum_over_its_latents() -> None:
    measured = kl_per_latent(torch.tensor([[2.0, -1.0]]), torch.zeros(1, 2))

    assert measured.sum().item() == pytest.approx(2.5, abs=ROUNDING)


@given(st.floats(-5, 5), st.floats(-10, 5))
def test_the_gradient_of_the_kl_is_the_mean_and_half_the_excess_variance(
    mean: float, log_var: float
) -> None:
    mean_ = torch.tensor([[mean]], requires_grad=True)
    log_var_ = torch.tensor([[log_var]], requires_grad=True)

    torch.autograd.backward(kl_per_latent(mean_, log_var_).sum())

    assert mean_.grad is not None
    assert log_var_.grad is not None
    assert mean_.grad.item() == pytest.approx(mean, rel=ROUNDING)
    expected = (math.exp(log_var) - 1) / 2
    assert log_var_.grad.item() == pytest.approx(expected, rel=1e-5, abs=ROUNDING)


@pytest.mark.parametrize(
    ("mean", "variance", "prior_variance", "kl"),
    [(0, 1, 2, 0.0965735903), (1, 0.5, 2, 0.5681471806)],
)
def test_the_kl_from_a_conditional_prior_has_its_known_values(
    mean: float, variance: float, prior_variance: float, kl: float
) -> None:
    measured = conditional_kl_per_latent(one(mean), log(variance), one(0), log(prior_variance))

    assert measured.item() == pytest.approx(kl, abs=ROUNDING)


@given(mean=st.floats(-5, 5), log_var=st.floats(-10, 5))
def test_a_posterior_that_is_its_prior_has_no_kl(mean: float, log_var: float) -> None:
    measured = conditional_kl_per_latent(one(mean), one(log_var), one(mean), one(log_var))

    assert measured.item() == 0


@given(
    mean=st.floats(-3, 3),
    log_var=st.floats(-5, 3),
    prior_mean=st.floats(-3, 3),
    prior_log_var=st.floats(-5, 3),
)
def test_the_conditional_kl_is_that_of_torch(
    mean: float, log_var: float, prior_mean: float, prior_log_var: float
) -> None:
    posterior = torch.distributions.Normal(mean, math.exp(log_var / 2))
    prior = torch.distributions.Normal(prior_mean, math.exp(prior_log_var / 2))

    measured = conditional_kl_per_latent(
        one(mean), one(log_var), one(prior_mean), one(prior_log_var)
    )

    # both are in float32, with a cancellation where posterior and prior are nearly the same
    expected = torch.distributions.kl_divergence(posterior, prior).item()
    assert measured.item() == pytest.approx(expected, rel=1e-5, abs=1e-6)


def test_without_a_conditional_prior_it_is_that_of_a_standard_one() -> None:
    mean, log_var = torch.randn(2, 7, 3, generator=torch.Generator().manual_seed(0))
    zeros = torch.zeros(7, 3)

    measured = conditional_kl_per_latent(mean, log_var, zeros, zeros)

    assert torch.equal(measured, kl_per_latent(mean, log_var))


def test_samples_have_the_moments_of_the_posterior() -> None:
    n = 100_000
    generator = torch.Generator().manual_seed(0)

    samples = sample(torch.full((n, 1), 3.0), torch.full((n, 1), math.log(4.0)), generator)

    # Five standard errors: 2 / sqrt(n) for the mean, 2 / sqrt(2 n) for the deviation.
    assert samples.mean().item() == pytest.approx(3, abs=10 / math.sqrt(n))
    assert samples.std().item() == pytest.approx(2, abs=10 / math.sqrt(2 * n))
