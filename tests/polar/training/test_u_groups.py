import pytest
import torch

from polar.training import u_groups
from polar.training.u_groups import UGroups


def one_hot(*values: int) -> torch.Tensor:
    return torch.eye(10).byte()[list(values)]


def test_without_u_all_images_are_one_group() -> None:
    groups = UGroups.of(torch.empty(4, 0).byte())

    assert groups.means(torch.tensor([1.0, 2.0, 3.0, 6.0])).tolist() == [3.0] * 4


def test_images_with_the_same_u_have_the_mean_of_their_group() -> None:
    groups = UGroups.of(one_hot(*[3, 7] * 5))

    values = torch.arange(10.0)
    assert groups.means(values).tolist() == [4.0, 5.0] * 5


def test_small_groups_take_the_mean_over_all_images() -> None:
    groups = UGroups.of(one_hot(*[1] * 5, *[2] * 4))

    values = torch.tensor([1.0] * 5 + [10.0] * 4)
    assert groups.means(values).tolist() == [1.0] * 5 + [5.0] * 4


def test_a_u_of_two_factors_is_one_group_for_each_pair() -> None:
    first, second = one_hot(*[0] * 10, *[1] * 10), one_hot(*[0, 1] * 10)
    groups = UGroups.of(torch.cat([first, second], dim=1))

    assert groups.means(torch.arange(20.0)).tolist() == [4.0, 5.0] * 5 + [14.0, 15.0] * 5


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_means_of_bytes_and_floats_of_any_shape_are_in_double_precision(
    dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(u_groups, "AT_ONCE", 7)
    values = torch.randint(0, 256, (50, 1, 4, 4), generator=torch.Generator().manual_seed(0))
    u = one_hot(*[0, 1, 2, 3, 4] * 10)

    means = UGroups.of(u).means(values.to(dtype))

    for group in range(5):
        expected = values[group::5].double().mean(0)
        # sums of integers are exact
        assert torch.equal(means[group], expected)
        assert torch.equal(means[45 + group], expected)
    assert means.dtype == torch.float64
