import math
from collections.abc import Callable

import pytest

from polar.ranges import Search, find_range
from polar.ranges.budgets import MOST_BUDGETS, by_steps
from polar.ranges.votes import trainings_of
from polar.records.latents import Regime
from polar.records.ranges import Action, Edge, Observation, Snapshot

Told = Callable[..., list[Observation]]
Train = Callable[..., Observation]
SEARCH = Search(low=0.01, high=100, steps=2000)
EVALUATIONS = (125, 250, 500, 1000)


def edge(low: float | None, high: float | None) -> Edge:
    return Edge(low=low, high=high, confidence=None)


def stopwatch(weight: float, steps: int) -> Regime:
    """A left edge that falls by 1/2.1 for each doubling, and a right edge that stands still."""
    if weight > 18:
        return Regime.COLLAPSED
    is_clean = weight >= 0.125 * 2.1 ** math.log2(2000 / steps)
    return Regime.CLEAN if is_clean else Regime.UNDER_REGULARISED


def history(train: Train, seeds: int = 1) -> list[Observation]:
    weights = [0.01 * 1.03**place for place in range(300)]
    actions = (
        Action(weight=weight, seed=seed, steps=2000) for weight in weights for seed in range(seeds)
    )
    return [train(action, stopwatch, EVALUATIONS) for action in actions]


def test_the_trainings_for_one_budget_show_the_edges_at_all_smaller_ones(train: Train) -> None:
    found = by_steps(trainings_of(history(train)), SEARCH)

    assert [at.steps for at in found] == [*EVALUATIONS, 2000]
    for at in found:
        assert at.trainings == 300
        assert at.envelope is not None
        assert at.envelope.left.low is not None
        assert at.envelope.left.high is not None
        truth = 0.125 * 2.1 ** math.log2(2000 / at.steps)
        assert at.envelope.left.low < truth <= at.envelope.left.high
        assert at.envelope.right == edge(*(0.01 * 1.03**place for place in (253, 254)))


@pytest.mark.parametrize("seeds", [1, 3])
def test_a_left_edge_that_falls_is_moving_and_a_right_edge_that_stands_is_settled(
    train: Train, seeds: int
) -> None:
    search = SEARCH.model_copy(update={"seeds": tuple(range(seeds))})

    report = find_range(history(train, seeds), search)

    assert report.envelope is not None
    left, right = report.envelope.left.movement, report.envelope.right.movement
    assert left is not None
    assert left.is_settled is False
    assert left.factor == pytest.approx(1 / 2.1, rel=0.03)  # a step of the weights
    assert left.low is not None
    assert left.high is not None
    assert left.low <= 1 / 2.1 <= left.high < 1
    assert right is not None
    assert right.is_settled is True
    assert f"at 2,000 steps, {left.words()}; right edge" in report.headline
    assert report.headline.endswith("at 2,000 steps, settled.")
    assert any("may have no limit" in remark for remark in report.remarks)


def test_without_an_earlier_evaluation_nothing_is_said_of_movement(told: Told) -> None:
    report = find_range(told("0.3 u, 0.32 i, 7 i, 7.5 c"), SEARCH)

    assert report.envelope is not None
    assert report.envelope.left.movement is None
    assert [at.steps for at in report.by_steps] == [2000]


def test_a_band_that_was_absent_at_half_the_budget_is_not_known_to_be_settled(
    train: Train,
) -> None:
    def late(weight: float, steps: int) -> Regime:
        return stopwatch(weight, steps) if steps > 1000 else Regime.UNTRAINED

    actions = (Action(weight=0.05 * 1.5**place, seed=0, steps=2000) for place in range(18))
    seen = [train(action, late, EVALUATIONS) for action in actions]

    report = find_range(seen, SEARCH)

    assert [at.envelope is None for at in report.by_steps] == [True] * 4 + [False]
    assert report.envelope is not None
    assert report.envelope.left.movement is not None
    assert report.envelope.left.movement.words() == "not known to be settled"


def test_a_training_that_went_on_shows_more_budgets(train: Train) -> None:
    longer = train(Action(weight=1.0, seed=0, steps=8000), stopwatch, (*EVALUATIONS, 4000))
    others = [train(Action(weight=at, seed=0, steps=2000), stopwatch, ()) for at in (0.1, 30)]

    found = by_steps(
        trainings_of([longer, *others]), Search(low=0.01, high=100, steps=2000, max_steps=8000)
    )

    assert {at.steps: at.trainings for at in found} == {
        125: 1, 250: 1, 500: 1, 1000: 1, 2000: 2, 4000: 1, 8000: 1
    }  # fmt: skip


def test_there_are_at_most_so_many_budgets() -> None:
    course = tuple(Snapshot(steps=at, regime=Regime.CLEAN) for at in range(1, 500))
    seen = Observation(weight=1.0, seed=0, steps=500, regime=Regime.CLEAN, trajectory=course)

    search = Search(low=0.01, high=100, steps=258, max_steps=516)
    found = [at.steps for at in by_steps(trainings_of([seen]), search)]

    assert len(found) == MOST_BUDGETS + 1
    assert (found[0], found[-1]) == (1, 500)
    assert 258 in found
