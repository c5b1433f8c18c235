import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from polar.errors import InvalidInput
from polar.models.lv_ae import LVAE, volume
from polar.spec import ImageShape, LVAESpec


def codes(*stds: float) -> torch.Tensor:
    """Two codes with these unbiased deviations, and means that are of no account."""
    half = torch.tensor(stds, dtype=torch.float64) / math.sqrt(2)
    return torch.stack([half, -half]) + torch.arange(len(stds))


@pytest.mark.parametrize(
    ("stds", "eta", "expected"),
    [
        ((1.0, 4.0), 0.0, 2.0),
        ((1.0, 4.0), 1.0, 3.16228),
        ((0.0, 0.0), 1.0, 1.0),
        ((0.0, 0.0, 0.0), 0.25, 0.25),
        ((3.0,), 0.0, 3.0),
    ],
)
def test_the_volume_has_its_known_values(
    stds: tuple[float, ...], eta: float, expected: float
) -> None:
    assert volume(codes(*stds), eta).item() == pytest.approx(expected, abs=1e-5)  # digits given


@given(st.lists(st.floats(0, 100), min_size=1, max_size=8), st.floats(0.01, 10))
def test_the_volume_lies_between_eta_and_the_mean_deviation_plus_eta(
    stds: list[float], eta: float
) -> None:
    found = volume(codes(*stds), eta).item()

    rounding = 1e-9
    assert eta * (1 - rounding) <= found
    assert found <= (sum(stds) / len(stds) + eta) * (1 + rounding)


def test_with_a_large_eta_the_volume_rises_like_the_mean_deviation() -> None:
    eta = 1e6

    found = volume(codes(1.0, 4.0), eta).item() - eta

    assert found == pytest.approx(2.5, abs=1e-4)  # of order std^2 / eta


@pytest.mark.parametrize("eta", [0.1, 1.0])
def test_the_gradient_pulls_each_latent_by_one_over_its_deviation(eta: float) -> None:
    stds = torch.tensor([0.5, 2.0, 8.0], dtype=torch.float64)
    scale = torch.ones(3, dtype=torch.float64, requires_grad=True)

    found = volume(codes(*stds.tolist()) * scale, eta)
    torch.autograd.backward(found)

    assert scale.grad is not None
    expected = found.detach() / 3 * stds / (stds + eta)
    assert torch.allclose(scale.grad, expected)


def test_a_latent_without_spread_has_a_finite_gradient() -> None:
    alike = torch.zeros(4, 3, requires_grad=True)

    torch.autograd.backward(volume(alike, eta=1.0))

    assert alike.grad is not None
    assert alike.grad.isfinite().all()


def test_a_single_code_has_no_volume() -> None:
    with pytest.raises(InvalidInput, match="batch size is 1; allowed: at least 2"):
        volume(torch.zeros(1, 3), eta=1.0)


def test_the_penalty_is_the_volume_of_the_batch() -> None:
    generator = torch.Generator().manual_seed(0)
    model = LVAE(
        LVAESpec(latent_dim=3, widths=(4, 4, 4, 4, 4), eta=0.5), ImageShape(1, 32), generator
    )
    images = torch.rand(5, 1, 32, 32, generator=generator)

    losses = model.losses(images, torch.empty(5, 0), generator)

    found = model.encode(images, torch.empty(5, 0)).mean
    expected = torch.exp((found.std(0, correction=1) + 0.5).log().mean())
    assert losses.penalty.item() == pytest.approx(expected.item(), rel=1e-6)  # float32
