import pytest
import torch

from polar.models import networks
from polar.models.transposed import Transposed


@pytest.mark.parametrize("side", [(1, 1), (2, 2), (1, 3), (5, 4), (8, 8)])
@pytest.mark.parametrize("c_out", [1, 2, 5])
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_a_layer_draws_the_same_without_gradients(
    side: tuple[int, int], c_out: int, memory_format: torch.memory_format
) -> None:
    layer = Transposed(3, c_out).double().to(memory_format=memory_format)
    x = torch.randn(2, 3, *side, dtype=torch.float64).contiguous(memory_format=memory_format)

    with torch.no_grad():
        drawn = layer(x)

    assert drawn.shape == (2, c_out, 2 * side[0], 2 * side[1])
    # rounding: sums of a few dozen products of numbers about 1, in whichever order
    torch.testing.assert_close(drawn, layer(x).detach(), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("side", [32, 64])
def test_a_decoder_in_its_own_precision_is_as_exact_as_float32_can_be(side: int) -> None:
    decoder = networks.decoder(7, side, (8, 8, 16, 16, 32), torch.Generator().manual_seed(0))
    latents = torch.randn(20, 7)

    with torch.no_grad():
        drawn = decoder(latents)
        exact = decoder.double()(latents.double())

    # Six layers, each of which rounds sums of up to 128 products to 24 bits.
    assert (drawn - exact).abs().max() <= 1e-6 * exact.abs().max()
