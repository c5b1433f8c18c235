"""Each layer keeps the second moment of its input, up to the padding.

A layer sees pixels outside of the image as zeros. Of the taps of all outputs, the part that falls
inside is (s - 1) / s along each side for a convolution of an image of side s, and (2s - 1) / 2s
for a transposed one.
"""

import pytest
import torch
from torch import nn

from polar.models import networks
from polar.spec import ImageShape

WIDTHS = (64, 64, 64, 64, 64)


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def second_moment(values: torch.Tensor) -> float:
    return values.square().mean().item()


SIDES = pytest.mark.parametrize("side", [32, 64])


def layers(network: nn.Sequential, kind: type[nn.Module]) -> list[nn.Module]:
    return [layer for layer in network if isinstance(layer, kind)]


def test_an_encoder_halves_the_side_five_times(generator: torch.Generator) -> None:
    encoder = networks.encoder(1, (2, 3, 4, 5, 6), generator)
    sizes = []
    activations = torch.rand(7, 1, 32, 32)
    for layer in encoder:
        activations = layer(activations)
        if isinstance(layer, nn.Conv2d):
            sizes.append(tuple(activations.shape[1:]))

    assert sizes == [(2, 16, 16), (3, 8, 8), (4, 4, 4), (5, 2, 2), (6, 1, 1)]
    assert activations.shape == (7, 6)


def test_at_twice_the_side_four_pixels_are_left(generator: torch.Generator) -> None:
    features = networks.encoder(1, (2, 3, 4, 5, 6), generator)(torch.rand(7, 1, 64, 64))

    assert networks.smallest_side(64) == 2
    assert features.shape == (7, networks.feature_count(64, (2, 3, 4, 5, 6))) == (7, 6 * 4)


def test_a_decoder_mirrors_the_encoder(generator: torch.Generator) -> None:
    decoder = networks.decoder(9, ImageShape(1, 32), (2, 3, 4, 5, 6), generator)
    sizes = []
    activations = torch.rand(7, 9)
    for layer in decoder:
        activations = layer(activations)
        if isinstance(layer, nn.ConvTranspose2d):
            sizes.append(tuple(activations.shape[1:]))

    assert sizes == [(5, 2, 2), (4, 4, 4), (3, 8, 8), (2, 16, 16), (1, 32, 32)]


def test_a_decoder_ends_at_the_side_of_the_images(generator: torch.Generator) -> None:
    decoder = networks.decoder(9, ImageShape(1, 64), (2, 3, 4, 5, 6), generator)

    assert decoder(torch.rand(7, 9)).shape == (7, 1, 64, 64)


def test_relu_stands_between_layers_and_not_after_the_logits(generator: torch.Generator) -> None:
    encoder = networks.encoder(1, WIDTHS, generator)
    decoder = networks.decoder(3, ImageShape(1, 32), WIDTHS, generator)

    assert len(layers(encoder, nn.ReLU)) == 5
    assert len(layers(decoder, nn.ReLU)) == 5
    assert isinstance(decoder[-1], nn.ConvTranspose2d)


def test_the_activation_has_the_slope_asked_for(generator: torch.Generator) -> None:
    encoder = networks.encoder(1, WIDTHS, generator, slope=0.2)
    decoder = networks.decoder(3, ImageShape(1, 32), WIDTHS, generator, slope=0.2)

    activations = [*layers(encoder, nn.LeakyReLU), *layers(decoder, nn.LeakyReLU)]
    assert [activation.negative_slope for activation in activations] == [0.2] * 10


@SIDES
@pytest.mark.parametrize("index", range(5))
def test_a_convolution_and_relu_keep_the_second_moment(
    index: int, side: int, generator: torch.Generator
) -> None:
    layer = layers(networks.encoder(1, WIDTHS, generator), nn.Conv2d)[index]
    side //= 2**index
    inputs = torch.randn(512 // side, 1 if index == 0 else 64, side, side, generator=generator)

    outputs = layer(inputs).relu()

    ratio = second_moment(outputs) / second_moment(inputs) / ((side - 1) / side) ** 2
    # The mean square of the first layer's 1,024 weights scatters by 4 %; a wrong fan-in is a
    # factor of 4.
    assert ratio == pytest.approx(1, abs=0.2)


@pytest.mark.parametrize("slope", [0.1, 0.2, 0.5])
def test_a_leaky_layer_keeps_the_second_moment_too(
    slope: float, generator: torch.Generator
) -> None:
    convolution, activation = networks.encoder(1, WIDTHS, generator, slope)[2:4]
    inputs = torch.randn(32, 64, 16, 16, generator=generator)

    outputs = activation(convolution(inputs))

    ratio = second_moment(outputs) / second_moment(inputs) / (15 / 16) ** 2
    # 65,536 weights: their mean square scatters by 0.6 %; without the slope it would be 25 % off
    # at 0.5, and 1 % at 0.1.
    assert ratio == pytest.approx(1, abs=0.03)


@SIDES
@pytest.mark.parametrize("index", range(5))
def test_a_transposed_convolution_and_relu_keep_the_second_moment(
    index: int, side: int, generator: torch.Generator
) -> None:
    layer = layers(
        networks.decoder(3, ImageShape(1, side), WIDTHS, generator), nn.ConvTranspose2d
    )[index]
    side = networks.smallest_side(side) * 2**index
    inputs = torch.randn(512 // side, 64, side, side, generator=generator)

    outputs = layer(inputs)

    # Half of it is what ReLU leaves; of the last layer's one channel it could leave anything.
    ratio = second_moment(outputs) / 2 / second_moment(inputs) / ((2 * side - 1) / (2 * side)) ** 2
    # As above; kaiming_normal_ takes a fan-in of 16 * 64 or, for the last layer, of 16.
    assert ratio == pytest.approx(1, abs=0.2)


def test_inside_the_image_no_tap_is_lost(generator: torch.Generator) -> None:
    layer = layers(networks.decoder(3, ImageShape(1, 32), WIDTHS, generator), nn.ConvTranspose2d)[
        3
    ]
    inputs = torch.randn(64, 64, 8, 8, generator=generator)

    inside = layer(inputs)[..., 1:-1, 1:-1]

    # 65,536 weights: their mean square scatters by 0.6 %.
    assert second_moment(inside) / 2 == pytest.approx(second_moment(inputs), rel=0.05)


def test_heads_start_small_and_biases_at_zero(generator: torch.Generator) -> None:
    head = networks.head(500, 100, generator)
    everything = nn.ModuleList(
        [
            head,
            networks.encoder(1, WIDTHS, generator),
            networks.decoder(3, ImageShape(1, 32), WIDTHS, generator),
        ]
    )

    # 50,000 weights: the standard error of their deviation is 0.3 %.
    assert head.weight.std().item() == pytest.approx(0.01, rel=0.02)
    biases = [p for name, p in everything.named_parameters() if name.endswith("bias")]
    assert len(biases) == 12
    assert all((bias == 0).all() for bias in biases)


def test_weights_depend_on_the_generator_alone() -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    one = networks.encoder(1, WIDTHS, torch.Generator().manual_seed(5))
    again = networks.encoder(1, WIDTHS, torch.Generator().manual_seed(5))
    other = networks.encoder(1, WIDTHS, torch.Generator().manual_seed(6))

    assert torch.equal(torch.get_rng_state(), before)
    for p, q, r in zip(one.parameters(), again.parameters(), other.parameters(), strict=True):
        assert torch.equal(p, q)
        assert p.dim() == 1 or not torch.equal(p, r)
