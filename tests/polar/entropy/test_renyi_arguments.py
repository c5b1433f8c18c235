import math
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from polar.entropy import renyi_entropy
from polar.errors import InvalidInput, ToleranceNotReached

Floats = NDArray[np.floating[Any]]
READ_ONLY = np.broadcast_to(np.arange(12.0)[:, None], (12, 1))


@pytest.mark.parametrize(
    "x",
    [
        np.arange(12.0),
        np.arange(12.0)[::-1],
        np.arange(12.0, dtype=">f8"),
        np.arange(12, dtype=np.int16),
        np.arange(12, dtype=np.float32),
        np.repeat(np.arange(12.0), 2)[::2],
        READ_ONLY,
        torch.arange(12),
        torch.arange(12.0, dtype=torch.bfloat16),
        torch.arange(12.0, requires_grad=True),
    ],
    ids=lambda x: f"{type(x).__name__} {x.dtype} {tuple(x.shape)}",
)
def test_every_kind_of_real_array_is_taken_as_float64(x: Floats) -> None:
    result = renyi_entropy(x)

    assert result.nats.tolist() == renyi_entropy(np.arange(12.0)).nats.tolist()


def test_masked_samples_are_refused_with_the_place_of_the_first() -> None:
    x = np.ma.masked_array(np.arange(12.0).reshape(6, 2))
    whole = renyi_entropy(x)
    x[4, 1] = np.ma.masked

    assert whole.nats.tolist() == renyi_entropy(x.data).nats.tolist()
    with pytest.raises(InvalidInput, match=r"x\[4, 1\] is masked \(1 of 12 values are\); allowed"):
        renyi_entropy(x)


def test_numpy_gives_numpy_and_torch_gives_torch() -> None:
    x = np.random.default_rng(0).standard_normal((20, 4))

    from_numpy, from_torch = renyi_entropy(x), renyi_entropy(torch.from_numpy(x))

    assert [a.dtype for a in vars(from_numpy).values()] == [np.float64, np.float64, np.int64]
    assert [t.dtype for t in vars(from_torch).values()] == [torch.double, torch.double, torch.long]
    assert all(a.shape == (4,) for a in [*vars(from_numpy).values(), *vars(from_torch).values()])


def test_the_samples_are_left_as_they_were() -> None:
    x = np.random.default_rng(0).standard_cauchy(100)
    before = x.copy()

    renyi_entropy(x)
    renyi_entropy(torch.from_numpy(x))

    assert np.array_equal(x, before)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_sample_that_is_not_finite_is_refused_with_its_place(bad: float) -> None:
    x = np.zeros((5, 3))
    x[4, 1] = bad

    with pytest.raises(InvalidInput, match=rf"x\[4, 1\] is {bad}"):
        renyi_entropy(x)
    with pytest.raises(InvalidInput, match=rf"x\[4, 1\] is {bad}"):
        renyi_entropy(torch.from_numpy(x))


@pytest.mark.parametrize("shape", [(), (0,), (0, 3), (3, 0), (2, 2, 2)])
def test_a_wrong_shape_is_refused_with_the_shape(shape: tuple[int, ...]) -> None:
    with pytest.raises(InvalidInput, match=r"x has shape \(" + str(shape)[1:-1]):
        renyi_entropy(np.zeros(shape))


@pytest.mark.parametrize(
    "x", [np.zeros(3, complex), np.array(["a"]), np.zeros(3, object), torch.zeros(3) * 1j]
)
def test_samples_that_are_not_real_numbers_are_refused(x: Floats) -> None:
    with pytest.raises(InvalidInput, match="real numbers"):
        renyi_entropy(x)


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("alpha", 0.0), ("alpha", -1.0), ("alpha", math.nan),
        ("sigma", 0.0), ("sigma", -0.5), ("sigma", math.inf), ("sigma", math.nan),
        ("tol", 0.0), ("tol", -1e-6), ("tol", math.inf), ("tol", math.nan),
    ],
)  # fmt: skip
def test_an_argument_out_of_its_range_is_refused_with_its_value(
    argument: str, value: float
) -> None:
    with pytest.raises(InvalidInput, match=f"{argument} is {value}.*; allowed: positive"):
        renyi_entropy(np.arange(3.0), **{argument: value})


@pytest.mark.parametrize(("alpha", "tol"), [(0.5, 1e-6), (0.1, 1e-2), (1.01, 1e-12), (5.0, 1e-14)])
def test_a_tolerance_that_cannot_be_kept_is_refused_with_one_that_can(
    alpha: float, tol: float
) -> None:
    x = np.stack([np.zeros(1000), np.random.default_rng(0).standard_t(2, 1000)], axis=1)

    with pytest.raises(ToleranceNotReached, match=r"column 1 .*; allowed") as refusal:
        renyi_entropy(x, alpha=alpha, tol=tol)

    possible = float(str(refusal.value).split()[-1])
    assert renyi_entropy(x, alpha=alpha, tol=possible).error_bound_nats[1] <= possible
