import math
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from polar.entropy import points as module
from polar.entropy.points import points
from polar.errors import InvalidInput

RNG = np.random.default_rng(3)
EVERYTHING = slice(None)


def exact_squares(x: NDArray[Any]) -> NDArray[np.int64]:
    flat = x.reshape(len(x), -1).astype(np.int64)
    return ((flat[:, None] - flat) ** 2).sum(-1)


@pytest.mark.parametrize("shape", [(7, 5), (7, 32, 32), (7, 3, 40, 31)])
def test_distances_of_pixels_are_the_integers_they_are(shape: tuple[int, ...]) -> None:
    x = RNG.integers(0, 256, shape, dtype=np.uint8)

    squares = points(x).squared_distances(EVERYTHING, EVERYTHING) * 255**2

    assert squares.round().long().tolist() == exact_squares(x).tolist()
    assert squares.numpy() == pytest.approx(
        exact_squares(x), rel=1e-15
    )  # of the division by 255^2


def test_black_and_white_images_are_as_far_apart_as_pixels_can_be() -> None:
    x = np.zeros((2, 4096), np.uint8)
    x[1] = 255

    squares = points(x).squared_distances(EVERYTHING, EVERYTHING)

    assert squares.tolist() == [[0, 4096], [4096, 0]]


@pytest.mark.parametrize("size", [5, 1024, 1025, 3000])
def test_both_products_of_pixels_are_the_same_integers(size: int) -> None:
    if not hasattr(torch, "_int_mm"):
        pytest.skip("this torch has no product of int8 matrices")
    extreme = torch.tensor([[127], [-128]] * 16, dtype=torch.int8).expand(-1, size)
    a = torch.cat([extreme, torch.from_numpy(RNG.integers(-128, 128, (8, size), dtype=np.int8))])

    in_float32 = module._float32_products(a, a)

    assert in_float32.tolist() == (a.long() @ a.long().T).tolist()
    if module._int8_is_faster():
        assert torch._int_mm(a, a.T).tolist() == in_float32.tolist()


@pytest.mark.parametrize("faster", [True, False])
def test_the_result_does_not_depend_on_which_product_is_faster(
    monkeypatch: pytest.MonkeyPatch, faster: bool
) -> None:
    x = RNG.integers(0, 256, (40, 100), dtype=np.uint8)
    monkeypatch.setattr(module, "_int8_is_faster", lambda: faster)

    squares = points(x).squared_distances(slice(0, 20), slice(20, 40))

    assert (squares * 255**2).round().long().tolist() == exact_squares(x)[:20, 20:].tolist()


def test_a_torch_without_the_private_product_goes_on_with_float32(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("not implemented for this processor")

    monkeypatch.setattr(torch, "_int_mm", refuse)

    assert not module._int8_is_faster.__wrapped__()


def test_a_product_that_saturates_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    def saturated(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return (a.int() @ b.int()).clamp(-(2**23), 2**23)

    monkeypatch.setattr(torch, "_int_mm", saturated)

    assert not module._int8_is_faster.__wrapped__()


@pytest.mark.parametrize("shift", [0.0, 1e6])
def test_distances_of_floats_survive_a_large_mean(shift: float) -> None:
    x = RNG.standard_normal((30, 4))

    squares = points(x + shift).squared_distances(EVERYTHING, EVERYTHING)

    expected = ((x[:, None] - x) ** 2).sum(-1)
    assert squares.numpy() == pytest.approx(expected, abs=1e-8)  # adding 1e6 rounds by 1e-10


def test_points_that_are_alike_have_no_distance() -> None:
    x = np.full((5, 3), 0.1)

    squares = points(x).squared_distances(EVERYTHING, EVERYTHING)

    assert squares.abs().max() == 0


@pytest.mark.parametrize("bad", [math.nan, math.inf, -1e101])
def test_a_coordinate_that_cannot_be_used_is_refused_with_its_place(bad: float) -> None:
    x = np.zeros((5, 2, 3))
    x[3, 1, 0] = bad

    with pytest.raises(InvalidInput, match=rf"x\[3\] is {bad} at place 3".replace("+", r"\+")):
        points(x)


@pytest.mark.parametrize("shape", [(), (4,), (0, 3), (3, 0), (2, 0, 2)])
def test_a_wrong_shape_is_refused_with_the_shape(shape: tuple[int, ...]) -> None:
    with pytest.raises(InvalidInput, match=r"x has shape \(" + str(shape)[1:-1]):
        points(np.zeros(shape))


def test_complex_numbers_are_refused() -> None:
    with pytest.raises(InvalidInput, match="type is complex128; allowed: real numbers"):
        points(np.zeros((3, 2), complex))
