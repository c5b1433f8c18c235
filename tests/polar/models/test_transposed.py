import pytest
import torch
from torch import Tensor, nn

from polar.errors import InvalidInput
from polar.models import networks
from polar.models.transposed import KERNEL, PADDING, STRIDE, Transposed
from polar.spec import ImageShape


@pytest.mark.parametrize("side", [(1, 1), (2, 2), (1, 3), (5, 4), (8, 8)])
@pytest.mark.parametrize("c_out", [1, 2, 5])
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_a_layer_and_its_gradients_are_those_of_torch(
    side: tuple[int, int], c_out: int, memory_format: torch.memory_format
) -> None:
    ours = Transposed(3, c_out).double().to(memory_format=memory_format)
    of_torch = nn.ConvTranspose2d(3, c_out, KERNEL, STRIDE, PADDING).double()
    of_torch.load_state_dict(ours.state_dict())
    x = torch.randn(2, 3, *side, dtype=torch.float64).contiguous(memory_format=memory_format)
    towards = torch.randn(2, c_out, 2 * side[0], 2 * side[1], dtype=torch.float64)

    def drawn_with_gradients(layer: nn.Module) -> list[Tensor]:
        leaf = x.clone().requires_grad_()
        drawn = layer(leaf)
        return [drawn, *torch.autograd.grad(drawn, [leaf, *layer.parameters()], towards)]

    # rounding: sums of a few dozen products of numbers about 1, in whichever order
    torch.testing.assert_close(
        drawn_with_gradients(ours), drawn_with_gradients(of_torch), rtol=1e-12, atol=1e-12
    )
    with torch.no_grad():
        torch.testing.assert_close(ours(x), of_torch(x), rtol=1e-12, atol=1e-12)


def test_under_autocast_a_layer_has_the_lower_precision_and_its_weights_keep_theirs() -> None:
    layer, x = Transposed(3, 2), torch.randn(2, 3, 4, 4)

    with torch.autocast("cpu", dtype=torch.bfloat16):
        drawn = layer(x)
    drawn.float().sum().backward()

    assert drawn.dtype == torch.bfloat16
    # 8 bits of 48 products of numbers about 1
    torch.testing.assert_close(drawn.float(), layer(x), rtol=0.02, atol=0.02)
    assert layer.weight.grad is not None
    assert layer.weight.grad.dtype == torch.float32


def test_another_size_of_the_output_is_refused() -> None:
    with pytest.raises(InvalidInput, match=r"output_size is \[9, 9\]; allowed: None"):
        Transposed(3, 2)(torch.randn(2, 3, 4, 4), output_size=[9, 9])


def test_only_gradients_that_are_wanted_are_computed() -> None:
    layer = Transposed(3, 2)
    x = torch.randn(2, 3, 4, 4)

    layer.requires_grad_(False)
    assert not layer(x).requires_grad

    layer.bias.requires_grad_()
    layer(x).sum().backward()
    assert layer.weight.grad is None
    torch.testing.assert_close(layer.bias.grad, torch.full([2], 2.0 * 8 * 8))


@pytest.mark.parametrize("side", [32, 64])
def test_a_decoder_in_its_own_precision_is_as_exact_as_float32_can_be(side: int) -> None:
    decoder = networks.decoder(
        7, ImageShape(1, side), (8, 8, 16, 16, 32), torch.Generator().manual_seed(0)
    )
    latents = torch.randn(20, 7)

    with torch.no_grad():
        drawn = decoder(latents)
        exact = decoder.double()(latents.double())

    # Six layers, each of which rounds sums of up to 128 products to 24 bits.
    assert (drawn - exact).abs().max() <= 1e-6 * exact.abs().max()
