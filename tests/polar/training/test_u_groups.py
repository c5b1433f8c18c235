import pytest
import torch

from polar.training import u_groups
from polar.training.u_groups import UGroups


def one_hot(*values: int) -> torch.Tensor:
    return torch.eye(10).byte()[list(values)]


def test_without_u_the_guess_is_the_mean_over_all_images() -> None:
    groups = UGroups.of(torch.empty(4, 0).byte())

    assert groups.guesses(torch.tensor([1.0, 2.0, 3.0, 6.0])).tolist() == [3.0] * 4
    assert groups.means(torch.tensor([1.0, 5.0])).for_others(groups.of_image).tolist() == [3.0] * 4


def test_a_guess_is_the_mean_over_the_others_of_the_group_and_once_over_all() -> None:
    groups = UGroups.of(one_hot(3, 7, 3, 7, 3))

    guesses = groups.guesses(torch.tensor([0.0, 10.0, 3.0, 20.0, 12.0]))  # mean 9

    assert guesses.tolist() == [8, 14.5, 7, 9.5, 4]


def test_an_image_alone_in_its_group_is_guessed_to_be_like_all_images() -> None:
    groups = UGroups.of(one_hot(1, 1, 2))

    assert groups.guesses(torch.tensor([1.0, 2.0, 9.0]))[2] == 4


def test_a_guess_knows_nothing_of_what_it_guesses() -> None:
    # Groups of 5 random numbers: u says nothing of them, so that no guess can be better than that
    # by the mean over all, while the groups' own means are better by a fifth of the variance.
    values = torch.randn(5000, generator=torch.Generator().manual_seed(0)).double()
    u = torch.nn.functional.one_hot(torch.arange(5000) // 5).byte()

    groups = UGroups.of(u)
    error = (groups.guesses(values) - values).square().mean()
    own = (groups.means(values).means[groups.of_image] - values).square().mean()

    assert own < 0.83 < 1 < error / values.var() < 1.25


def test_values_beside_those_of_the_means_are_guessed_by_all_of_their_group() -> None:
    groups = UGroups.of(one_hot(1, 1, 2, 1, 2, 5))

    means = groups.means(torch.tensor([2.0, 4.0, 6.0]))  # mean 4

    guesses = means.for_others(groups.of_image[3:])
    assert guesses.tolist() == [(2 + 4 + 4) / 3, (6 + 4) / 2, 4]  # none of 5 has been seen


def test_a_u_of_two_factors_is_one_group_for_each_pair() -> None:
    first, second = one_hot(*[0] * 10, *[1] * 10), one_hot(*[0, 1] * 10)
    groups = UGroups.of(torch.cat([first, second], dim=1))

    means = groups.means(torch.arange(20.0))

    assert means.means[groups.of_image].tolist() == [4.0, 5.0] * 5 + [14.0, 15.0] * 5


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_means_of_bytes_and_floats_of_any_shape_are_in_double_precision(
    dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(u_groups, "AT_ONCE", 7)
    values = torch.randint(0, 256, (50, 1, 4, 4), generator=torch.Generator().manual_seed(0))
    groups = UGroups.of(one_hot(*[0, 1, 2, 3, 4] * 10))

    guesses = groups.guesses(values.to(dtype))

    every = values.double().mean(0)
    for image in range(50):
        others = values[image % 5 :: 5].double().sum(0) - values[image]
        torch.testing.assert_close(guesses[image], (others + every) / 10)
    assert guesses.dtype == torch.float64
