"""Our Adam beside torch's."""

from collections.abc import Iterable
from typing import Any

import pytest
import torch
from torch import Tensor

from polar.training.adam import Adam

SHAPES = ((3, 4), (5,), (), (2, 1, 3, 3))
LEARNING_RATE = 4e-3


def parameters() -> list[Tensor]:
    source = torch.Generator().manual_seed(1)
    return [torch.randn(shape, generator=source).requires_grad_() for shape in SHAPES]


def of_torch(changed: Iterable[Tensor]) -> torch.optim.Adam:
    return torch.optim.Adam(changed, LEARNING_RATE, fused=True)


def take_steps(optimiser: Adam | torch.optim.Adam, changed: list[Tensor], steps: range) -> None:
    """Every third step has no gradient of the first parameter."""
    for step in steps:
        optimiser.zero_grad()
        source = torch.Generator().manual_seed(step)
        for parameter in changed[0 if step % 3 else 1 :]:
            parameter.grad = torch.randn(parameter.shape, generator=source)
        optimiser.step()


def bits(changed: list[Tensor]) -> list[Any]:
    return [parameter.tolist() for parameter in changed]


def test_its_numbers_are_those_of_torch_to_the_bit() -> None:
    ours, theirs = parameters(), parameters()

    take_steps(Adam(ours, LEARNING_RATE), ours, range(20))
    take_steps(of_torch(theirs), theirs, range(20))

    assert bits(ours) == bits(theirs)
    assert all(now != then for now, then in zip(bits(ours), bits(parameters()), strict=True))


def test_a_parameter_that_never_has_a_gradient_stays_as_it_is() -> None:
    changed = parameters()

    take_steps(Adam(changed, LEARNING_RATE), changed[:-1], range(3))

    assert bits(changed)[-1] == bits(parameters())[-1]


def test_it_goes_on_from_what_torch_has_written() -> None:
    # Runs of earlier versions were trained by torch's class, and can be made longer.
    theirs = parameters()
    before = of_torch(theirs)
    take_steps(before, theirs, range(9))
    ours = [parameter.detach().clone().requires_grad_() for parameter in theirs]

    after = Adam(ours, LEARNING_RATE)
    after.load_state_dict(before.state_dict())
    take_steps(after, ours, range(9, 20))
    take_steps(before, theirs, range(9, 20))

    assert bits(ours) == bits(theirs)


def with_moments() -> dict[str, Any]:
    changed = parameters()
    optimiser = Adam(changed, LEARNING_RATE)
    take_steps(optimiser, changed, range(3))
    return optimiser.state_dict()


def test_it_goes_on_from_what_torch_writes_before_the_first_step() -> None:
    ours, theirs = parameters(), parameters()
    before, after = of_torch(theirs), Adam(ours, LEARNING_RATE)
    # A newer checkpoint may have failed after its moments were taken.
    after.load_state_dict(with_moments())

    after.load_state_dict(before.state_dict())
    take_steps(after, ours, range(5))
    take_steps(before, theirs, range(5))

    assert bits(ours) == bits(theirs)


@pytest.mark.parametrize("saved", [3, torch.zeros(1), torch.zeros(5, 1)])
def test_moments_of_another_shape_are_refused(saved: object) -> None:
    optimiser = Adam(parameters(), LEARNING_RATE)
    content = optimiser.state_dict()
    content["state"][1] = {**content["state"][1], "exp_avg": saved}

    with pytest.raises(ValueError, match=r"exp_avg of parameter 1 is no tensor of shape \(5,\)"):
        Adam(parameters(), LEARNING_RATE).load_state_dict(content)


def test_missing_moments_are_refused() -> None:
    optimiser = Adam(parameters(), LEARNING_RATE)

    with pytest.raises(KeyError):
        optimiser.load_state_dict({"state": {}})
