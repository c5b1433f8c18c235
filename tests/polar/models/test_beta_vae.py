import math
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from polar.models import Autoencoder, Posterior, build
from polar.models.beta_vae import BetaVAE, kl_per_latent, sample
from polar.spec import BetaVAESpec

#: float32 keeps seven digits.
ROUNDING = 1e-6


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@pytest.fixture
def images(generator: torch.Generator) -> torch.Tensor:
    return torch.rand(5, 1, 32, 32, generator=generator)


def small(beta: float = 1.0) -> BetaVAESpec:
    return BetaVAESpec(beta=beta, latent_dim=3, widths=(4, 4, 4, 4, 4))


def posterior(mean: float, variance: float) -> Posterior:
    return Posterior(torch.tensor([[float(mean)]]), torch.tensor([[math.log(variance)]]))


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
    measured = kl_per_latent(posterior(mean, variance))

    assert measured.item() == pytest.approx(kl, abs=ROUNDING)


@given(st.floats(-5, 5), st.floats(-10, 5))
def test_the_gradient_of_the_kl_is_the_mean_and_half_the_excess_variance(
    mean: float, log_var: float
) -> None:
    mean_ = torch.tensor([[mean]], requires_grad=True)
    log_var_ = torch.tensor([[log_var]], requires_grad=True)

    torch.autograd.backward(kl_per_latent(Posterior(mean_, log_var_)).sum())

    assert mean_.grad is not None
    assert log_var_.grad is not None
    assert mean_.grad.item() == pytest.approx(mean, rel=ROUNDING)
    expected = (math.exp(log_var) - 1) / 2
    assert log_var_.grad.item() == pytest.approx(expected, rel=1e-5, abs=ROUNDING)


def test_losses_are_summed_over_pixels_and_latents_and_averaged_over_images(
    generator: torch.Generator, images: torch.Tensor
) -> None:
    model = BetaVAE(small(beta=3.0), generator)
    noise_state = generator.get_state()

    losses = model.losses(images, generator)

    encoded = model.encode(images)
    p = model.decode(sample(encoded, generator.set_state(noise_state))).sigmoid()
    reconstruction = -(images * p.log() + (1 - images) * (1 - p).log()).sum((1, 2, 3)).mean()
    kl = kl_per_latent(encoded).sum(1).mean()
    # Sums of 1,024 pixels in float32.
    assert losses.reconstruction.item() == pytest.approx(reconstruction.item(), rel=1e-5)
    assert losses.kl.item() == pytest.approx(kl.item(), rel=1e-5)
    assert losses.total.item() == pytest.approx((reconstruction + 3 * kl).item(), rel=1e-5)


def test_without_a_weight_the_loss_is_the_reconstruction(
    generator: torch.Generator, images: torch.Tensor
) -> None:
    losses = BetaVAE(small(beta=0.0), generator).losses(images, generator)

    assert losses.total == losses.reconstruction
    assert losses.kl > 0


def test_a_fresh_decoder_draws_grey(generator: torch.Generator) -> None:
    logits = BetaVAE(small(), generator).decode(torch.zeros(2, 3))

    # All biases are zero, so nothing comes out of nothing.
    assert logits.shape == (2, 1, 32, 32)
    assert (logits == 0).all()


def test_every_parameter_gets_a_gradient(generator: torch.Generator, images: torch.Tensor) -> None:
    model = BetaVAE(small(), generator)

    torch.autograd.backward(model.losses(images, generator).total)

    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize("value", [-1e6, 1e6])
def test_the_log_variance_is_clamped(
    value: float, generator: torch.Generator, images: torch.Tensor
) -> None:
    model = BetaVAE(small(), generator)
    torch.nn.init.constant_(model.log_var_head.bias, value)

    losses = model.losses(images, generator)

    log_var = model.encode(images).log_var
    assert (log_var == (-20 if value < 0 else 10)).all()
    assert losses.total.isfinite()


def test_samples_have_the_moments_of_the_posterior(generator: torch.Generator) -> None:
    n = 100_000
    wanted = Posterior(torch.full((n, 1), 3.0), torch.full((n, 1), math.log(4.0)))

    samples = sample(wanted, generator)

    # Five standard errors: 2 / sqrt(n) for the mean, 2 / sqrt(2 n) for the deviation.
    assert samples.mean().item() == pytest.approx(3, abs=10 / math.sqrt(n))
    assert samples.std().item() == pytest.approx(2, abs=10 / math.sqrt(2 * n))


def test_the_default_model_has_the_number_of_parameters_of_its_layers(
    generator: torch.Generator,
) -> None:
    model = build(BetaVAESpec(latent_dim=16), generator)

    channels = [1, 32, 32, 64, 64, 128]
    pairs = list(pairwise(channels))
    encoder = sum(16 * a * b + b for a, b in pairs)
    decoder = sum(16 * a * b + a for a, b in pairs) + (16 * 128 + 128)
    heads = 2 * (128 * 16 + 16)
    assert sum(p.numel() for p in model.parameters()) == encoder + decoder + heads == 499_361


def test_what_is_built_is_an_autoencoder_laid_out_for_fast_convolutions(
    generator: torch.Generator,
) -> None:
    model = build(small(), generator)

    assert isinstance(model, Autoencoder)
    kernels = [p for p in model.parameters() if p.dim() == 4]
    assert len(kernels) == 10
    assert all(kernel.is_contiguous(memory_format=torch.channels_last) for kernel in kernels)
