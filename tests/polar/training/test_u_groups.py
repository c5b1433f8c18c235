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


def test_a_guess_is_halfway_between_the_means_with_and_without_the_member() -> None:
    groups = UGroups.of(one_hot(3, 7, 3, 7, 3))

    guesses = groups.guesses(torch.tensor([0.0, 10.0, 3.0, 20.0, 12.0]))  # mean 9

    # with itself 5, 15, 5, 15, 5, and without it 8, 14.5, 7, 9.5, 4
    assert guesses.tolist() == [6.5, 14.75, 6, 12.25, 4.5]


def test_an_image_alone_in_its_group_is_guessed_halfway_to_the_mean_of_all() -> None:
    groups = UGroups.of(one_hot(1, 1, 2))

    assert groups.guesses(torch.tensor([1.0, 2.0, 9.0]))[2] == 6.5


@pytest.mark.parametrize(("members", "within"), [(2, 0.25), (5, 0.045), (20, 0.005)])
def test_guesses_err_like_the_true_means_of_the_groups(members: int, within: float) -> None:
    # The true means of u are random with variance 1, and the members' around them, too.
    generator = torch.Generator().manual_seed(0)
    groups = 20_000 // members
    true = torch.randn(groups, generator=generator).double().repeat_interleave(members)
    values = true + torch.randn(len(true), generator=generator).double()
    u_groups = UGroups(torch.arange(groups).repeat_interleave(members) + 1)

    error = (u_groups.guesses(values) - values).square().mean()

    # 1 - 1 / n^2 from the members, 1 / 4 n^2 from the mean over all; twice the standard error
    assert error / (true - values).square().mean() == pytest.approx(1, abs=within + 0.02)


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
        own = values[image % 5 :: 5].double().sum(0)
        torch.testing.assert_close(guesses[image], (own + others + every) / 20)
    assert guesses.dtype == torch.float64
