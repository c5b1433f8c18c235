import pytest
import torch

from polar.models.l2_ae import L2AE
from polar.spec import ImageShape, L2AESpec


def test_the_penalty_is_the_squared_code_summed_over_latents_and_averaged_over_images() -> None:
    generator = torch.Generator().manual_seed(0)
    model = L2AE(L2AESpec(latent_dim=3, widths=(4, 4, 4, 4, 4)), ImageShape(1, 32), generator)
    images, nothing = torch.rand(5, 1, 32, 32, generator=generator), torch.empty(5, 0)

    losses = model.losses(images, nothing, generator)

    codes = model.encode(images, nothing).mean.detach()
    expected = sum(float(z @ z) for z in codes) / 5
    assert losses.penalty.item() == pytest.approx(expected, rel=1e-5)  # float32
