import pytest
import torch

from polar.models.beta_vae import BetaVAE
from polar.models.posterior import kl_per_latent, sample
from polar.spec import BetaVAESpec, ImageShape

#: No factors.
NOTHING = torch.empty(5, 0)
SMALL = BetaVAESpec(latent_dim=3, widths=(4, 4, 4, 4, 4))


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@pytest.fixture
def images(generator: torch.Generator) -> torch.Tensor:
    return torch.rand(5, 1, 32, 32, generator=generator)


def test_losses_are_summed_over_pixels_and_latents_and_averaged_over_images(
    generator: torch.Generator, images: torch.Tensor
) -> None:
    model = BetaVAE(SMALL, ImageShape(1, 32), generator)
    noise_state = generator.get_state()

    losses = model.losses(images, NOTHING, generator)

    encoded = model.encode(images, NOTHING)
    assert encoded.log_var is not None
    samples = sample(encoded.mean, encoded.log_var, generator.set_state(noise_state))
    p = model.decode(samples).sigmoid()
    reconstruction = -(images * p.log() + (1 - images) * (1 - p).log()).sum((1, 2, 3)).mean()
    kl = kl_per_latent(encoded.mean, encoded.log_var).sum(1).mean()
    # Sums of 1,024 pixels in float32.
    assert losses.reconstruction.item() == pytest.approx(reconstruction.item(), rel=1e-5)
    assert losses.penalty.item() == pytest.approx(kl.item(), rel=1e-5)


@pytest.mark.parametrize("value", [-1e6, 1e6])
def test_the_log_variance_is_clamped(
    value: float, generator: torch.Generator, images: torch.Tensor
) -> None:
    model = BetaVAE(SMALL, ImageShape(1, 32), generator)
    torch.nn.init.constant_(model.log_var_head.bias, value)

    losses = model.losses(images, NOTHING, generator)

    log_var = model.encode(images, NOTHING).log_var
    assert log_var is not None
    assert (log_var == (-20 if value < 0 else 10)).all()
    assert losses.reconstruction.isfinite()
    assert losses.penalty.isfinite()
