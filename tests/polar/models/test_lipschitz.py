"""Norms are checked with the linear map itself: the layer without its bias, on any input."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.sparse.linalg import LinearOperator, svds
from torch import Tensor, nn

from polar.models import lipschitz, networks
from polar.spec import ImageShape

#: A weight is divided by ||A v||, which is at most ||A||: only rounding in float32 can bring a
#: norm below 1.
LEAST = 1 - 1e-5


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def decoder(
    generator: torch.Generator,
    widths: tuple[int, ...] = (4, 4, 4, 8, 8),
    side: int = 32,
    latent_dim: int = 6,
) -> nn.Sequential:
    network = networks.decoder(latent_dim, ImageShape(1, side), widths, generator, slope=0.2)
    lipschitz.constrain(network, latent_dim, generator)
    return network


def dense(layer: nn.ConvTranspose2d, shape: tuple[int, ...]) -> Tensor:
    """The matrix of a layer without its bias, one row an input, in float64."""
    weight = layer.weight.detach().double()
    unit_vectors = torch.eye(math.prod(shape), dtype=torch.float64).view(-1, *shape)
    return F.conv_transpose2d(unit_vectors, weight, stride=2, padding=1).flatten(1)


def norms(network: nn.Sequential, latent_dim: int = 6) -> list[float]:
    """The largest singular value of each layer at its true shape."""
    found = []
    inputs = torch.zeros(1, latent_dim)
    for layer in network:
        if isinstance(layer, nn.Linear | nn.ConvTranspose2d):
            found.append(largest_singular_value(layer, inputs.shape))
        inputs = layer(inputs)
    return found


def largest_singular_value(layer: nn.Linear | nn.ConvTranspose2d, shape: torch.Size) -> float:
    """By ARPACK, to rounding; 300 power iterations would see up to 0.2 % less at 64x64."""
    weight = layer.weight.detach().double()

    def forward(v: Tensor) -> Tensor:
        if isinstance(layer, nn.Linear):
            return F.linear(v, weight)
        return F.conv_transpose2d(v, weight, stride=2, padding=1)

    def transposed(v: Tensor) -> Tensor:
        if isinstance(layer, nn.Linear):
            return F.linear(v, weight.T)
        return F.conv2d(v, weight, stride=2, padding=1)

    outputs = forward(torch.zeros(shape, dtype=torch.float64)).shape
    operator = LinearOperator(
        (outputs.numel(), shape.numel()),
        matvec=lambda x: forward(torch.from_numpy(x).reshape(shape)).flatten().numpy(),
        rmatvec=lambda y: transposed(torch.from_numpy(y).reshape(outputs)).flatten().numpy(),
        dtype=np.float64,
    )
    start = np.random.default_rng(9).standard_normal(min(operator.shape))
    return float(svds(operator, k=1, v0=start, return_singular_vectors=False)[0])


def train(network: nn.Sequential, steps: int, learning_rate: float) -> None:
    """Draws random images from random codes."""
    generator = torch.Generator().manual_seed(3)
    optimiser = torch.optim.Adam(network.parameters(), learning_rate)
    codes = 10 * torch.randn(16, 6, generator=generator)
    images = torch.randn(network(codes).shape, generator=generator)
    for _ in range(steps):
        lipschitz.iterate(network)
        optimiser.zero_grad()
        torch.autograd.backward(F.mse_loss(network(codes), images))
        optimiser.step()


@pytest.mark.parametrize("side", [32, 64])
def test_every_layer_starts_with_norm_one(side: int, generator: torch.Generator) -> None:
    found = norms(decoder(generator, side=side))

    assert len(found) == 6
    assert max(found) <= 1.001
    assert min(found) >= LEAST


@pytest.mark.parametrize("learning_rate", [1e-4, 1e-2])
def test_after_training_every_layer_is_measured_with_a_norm_of_at_most_one(
    learning_rate: float, generator: torch.Generator
) -> None:
    network = decoder(generator)
    train(network, 40, learning_rate)

    network.eval()

    assert max(norms(network)) <= 1.001
    assert min(norms(network)) >= LEAST


def test_in_training_the_norms_lag_behind_and_catch_up_when_the_weights_rest(
    generator: torch.Generator,
) -> None:
    network = decoder(generator)
    train(network, 40, learning_rate=1e-2)
    lagging = norms(network)

    for _ in range(1000):
        lipschitz.iterate(network)

    resting = norms(network)
    assert max(lagging) > 1.001
    # Power iteration never lowers ||A v||, by which the weight is divided, but for float32.
    assert all(now <= then + 1e-5 for now, then in zip(resting, lagging, strict=True))
    assert max(resting) <= 1.001


def test_a_decoder_brings_no_two_codes_further_apart(generator: torch.Generator) -> None:
    network = decoder(generator)
    train(network, 40, learning_rate=1e-2)
    network.eval()
    near = 20 * torch.randn(200, 6, generator=generator)
    far = near + torch.randn(200, 6, generator=generator) * torch.logspace(-3, 3, 200)[:, None]

    with torch.no_grad():
        apart = (network(near) - network(far)).flatten(1).norm(dim=1)

    # Images of codes that are 1e-3 apart differ in the last digits of float32.
    assert (apart <= (near - far).norm(dim=1) * (1 + 1e-4) + 1e-4).all()


def test_the_norm_is_that_of_the_operator_and_not_of_the_kernel(
    generator: torch.Generator,
) -> None:
    network = decoder(generator)
    shapes = [(8, 1, 1), (8, 2, 2), (4, 4, 4)]
    layers = [layer for layer in network if isinstance(layer, nn.ConvTranspose2d)]

    for layer, shape in zip(layers, shapes, strict=False):
        singular = torch.linalg.svdvals(dense(layer, shape))
        kernel = torch.linalg.matrix_norm(layer.weight.detach().flatten(1), 2)
        assert singular[0].item() == pytest.approx(1, abs=1e-5)  # float32
        if shape != (8, 1, 1):  # there no two outputs overlap
            assert abs(kernel.item() - 1) > 0.01


def test_biases_are_left_alone(generator: torch.Generator) -> None:
    network = decoder(generator)
    last = network[-1]
    assert isinstance(last, nn.ConvTranspose2d)
    assert last.bias is not None
    nn.init.constant_(last.bias, 7.0)

    drawn = network(torch.zeros(1, 6))

    assert (drawn == 7).all()


def test_a_layer_without_weights_stays_finite(generator: torch.Generator) -> None:
    network = decoder(generator)
    for parameter in network.parameters():
        nn.init.zeros_(parameter)

    for mode in (True, False):
        lipschitz.iterate(network)
        assert network.train(mode)(torch.ones(1, 6)).isfinite().all()


def test_the_vectors_are_part_of_the_state_and_measuring_does_not_move_them(
    generator: torch.Generator,
) -> None:
    network = decoder(generator)
    before = {name: value.clone() for name, value in network.state_dict().items()}

    network.eval()(torch.ones(2, 6))

    vectors = [name for name in before if name.endswith(".v")]
    assert len(vectors) == 6
    assert all(torch.equal(before[name], network.state_dict()[name]) for name in vectors)
    lipschitz.iterate(network.train())
    train(network, 1, 1e-2)
    assert not any(torch.equal(before[name], network.state_dict()[name]) for name in vectors)


def test_two_losses_may_come_before_their_gradients(generator: torch.Generator) -> None:
    network = decoder(generator)
    losses = []
    for _ in range(2):
        lipschitz.iterate(network)
        losses.append(network(torch.ones(2, 6)).square().sum())

    torch.autograd.backward(losses[0] + losses[1])

    assert all(parameter.grad is not None for parameter in network.parameters())


def test_the_gradient_is_that_of_a_weight_divided_by_its_norm(generator: torch.Generator) -> None:
    # The largest singular value of a matrix has the gradient u v^T; torch knows it exactly.
    linear = nn.Linear(6, 5, bias=False)
    nn.init.normal_(linear.weight, generator=generator)
    expected = linear.weight.detach().clone().requires_grad_()
    network = nn.Sequential(linear)
    lipschitz.constrain(network, 6, generator)
    inputs, outputs = torch.ones(1, 6), torch.arange(5.0)

    torch.autograd.backward(network(inputs) @ outputs)
    matrix = expected / torch.linalg.matrix_norm(expected, 2)
    torch.autograd.backward(F.linear(inputs, matrix) @ outputs)

    (found,) = network.parameters()
    assert found.grad is not None
    assert expected.grad is not None
    assert torch.allclose(found.grad, expected.grad, atol=1e-4)  # float32
