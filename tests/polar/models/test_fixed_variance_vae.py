import math

import pytest
import torch

from polar.models.fixed_variance_vae import FixedVarianceVAE
from polar.spec import FixedVarianceVAESpec, ImageShape

SPEC = FixedVarianceVAESpec(latent_dim=3, widths=(4, 4, 4, 4, 4), variance=0.1, beta=2.0)


@pytest.fixture
def model() -> FixedVarianceVAE:
    return FixedVarianceVAE(SPEC, ImageShape(1, 32), torch.Generator().manual_seed(0))


def test_every_posterior_has_the_variance_asked_for(model: FixedVarianceVAE) -> None:
    log_var = model.encode(torch.rand(5, 1, 32, 32), torch.empty(5, 0)).log_var

    assert log_var is not None
    assert torch.equal(log_var, torch.full((5, 3), math.log(0.1)))


def test_the_kl_stays_large_when_every_mean_has_collapsed(model: FixedVarianceVAE) -> None:
    torch.nn.init.zeros_(model.mean_head.weight)

    losses = model.losses(torch.rand(5, 1, 32, 32), torch.empty(5, 0), torch.Generator())

    assert losses.penalty.item() == pytest.approx(3 * (0.1 - math.log(0.1) - 1) / 2, rel=1e-5)
