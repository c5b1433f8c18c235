"""What the downstream task takes and what it refuses."""

from typing import Any

import numpy as np
import pytest

from polar.downstream.task import default_grid
from polar.errors import InvalidInput
from tests.polar.downstream.tasks import Labelled, run


@pytest.mark.parametrize(
    ("m", "grid"),
    [
        (1, (1,)),
        (5, (1, 2, 3, 4, 5)),
        (16, (1, 2, 3, 4, 5, 6, 7, 9, 11, 13, 15, 16)),
        (32, (1, 2, 3, 4, 5, 6, 7, 9, 11, 13, 15, 18, 21, 25, 29, 32)),
    ],
)
def test_the_grid_is_thinned_above_6(m: int, grid: tuple[int, ...]) -> None:
    assert default_grid(m) == grid


def test_a_grid_of_ones_own_keeps_what_the_gain_needs(
    small: Labelled,
) -> None:
    task = run(*small, [2, 1, 0.2, 0.1], ks=[1])

    assert sorted(set(task.table["k"])) == [1, 2, 4]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"entropies": [2, 1, 1]}, r"entropies of shape \(3,\).*each of 4 latents"),
        ({"entropies": [2, 1, 1, np.nan]}, "3 of them finite"),
        ({"n_active": -1}, "n_active is -1; allowed: 0 to 4"),
        ({"n_active": 5}, "n_active is 5; allowed: 0 to 4"),
        ({"ks": [5]}, "k = 5 of 4 latents; allowed: 1 to 4"),
        ({"ks": [0]}, "k = 0 of 4 latents"),
        ({"seeds": ()}, r"seeds \[\]; allowed: at least one"),
        ({"seeds": (1, 1)}, r"seeds \[1, 1\]; allowed: at least one, distinct"),
        ({"seeds": (-1,)}, r"seeds \[-1\]"),
        ({"sizes": {"class": 2}}, "class has values from 0 to 2; allowed: 0 to 1"),
        ({"sizes": {}}, r"named \[\]; allowed: .* at least one factor"),
        ({"sizes": {"a": 3, "b": 3}}, r"factors of shape \(140, 1\)"),
    ],
)
def test_what_cannot_be_used_is_refused(
    small: Labelled, changes: dict[str, Any], message: str
) -> None:
    mean, factors = small
    given = {"entropies": [2, 1, 0.2, 0.1]} | changes

    with pytest.raises(InvalidInput, match=message):
        run(mean, factors, **given)


def test_codes_that_are_not_finite_are_refused(small: Labelled) -> None:
    mean, factors = small
    broken = mean.copy()
    broken[7, 2] = np.nan

    with pytest.raises(InvalidInput, match=r"latent 2 is not finite.*such as nan in image 7"):
        run(broken, factors, [2, 1, 0.2, 0.1])


def test_factors_of_other_images_are_refused(small: Labelled) -> None:
    mean, factors = small

    with pytest.raises(InvalidInput, match=r"shape \(139, 1\).*for 140 images"):
        run(mean, factors[1:], [2, 1, 0.2, 0.1])


def test_a_negative_value_is_refused(small: Labelled) -> None:
    mean, factors = small

    with pytest.raises(InvalidInput, match="values from -1 to 1; allowed: 0 to 2"):
        run(mean, factors - 1, [2, 1, 0.2, 0.1])


def test_a_factor_with_one_value_is_refused(small: Labelled) -> None:
    mean, _ = small
    constant = np.full((140, 1), 2)

    with pytest.raises(
        InvalidInput,
        match=r"factor class has one value, 2, in all 100 train images .* seed 0; allowed",
    ):
        run(mean, constant, [2, 1, 0.2, 0.1])


def test_a_single_image_is_refused() -> None:
    with pytest.raises(InvalidInput, match="1 image; allowed: at least 2"):
        run(np.ones((1, 1)), np.zeros((1, 1), dtype=np.int64), [2])
