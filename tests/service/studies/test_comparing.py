"""Who is worse than others: Optuna's pruners, of one objective and of several."""

import math
from typing import TYPE_CHECKING, Any

import pytest

from service.studies.comparing import FEWEST_COMPLETED, Comparison

if TYPE_CHECKING:
    from tests.service.studies.conftest import SpecOf

BASE = {"dataset": {"name": "digits"}, "model": {}, "training": {"steps": 100}}


def _comparison(spec_of: "SpecOf", **fields: Any) -> Comparison:  # noqa: ANN401
    return Comparison(spec_of(base=BASE, **fields))


@pytest.mark.parametrize(
    ("objective", "good", "bad"), [("polarisation", 0.9, 0.1), ("reconstruction", 10.0, 90.0)]
)
def test_worse_than_the_median_is_meant_in_the_direction_of_the_objective(
    spec_of: "SpecOf", objective: str, good: float, bad: float
) -> None:
    comparison = _comparison(spec_of, pruner="median", objectives=[objective])
    middle = (good + bad) / 2
    for number in range(FEWEST_COMPLETED):
        assert not comparison.report(number, 50, [middle])
        comparison.end(number, [middle])

    assert not comparison.report(90, 50, [good])
    assert comparison.report(91, 50, [bad])


def test_nothing_is_stopped_before_the_warm_up_or_with_too_few_completed(
    spec_of: "SpecOf",
) -> None:
    comparison = _comparison(spec_of, pruner={"name": "median", "warm_up": 0.5})
    for number in range(FEWEST_COMPLETED):
        comparison.report(number, 40, [0.9])
        comparison.report(number, 60, [0.9])
        if number < FEWEST_COMPLETED - 1:
            comparison.end(number, [0.9])
    few = comparison.report(90, 60, [0.1])
    comparison.end(FEWEST_COMPLETED - 1, [0.9])

    early, late = comparison.report(91, 40, [0.1]), comparison.report(91, 60, [0.1])

    assert (few, early, late) == (False, False, True)


def test_the_warm_up_is_a_part_of_the_steps_to_which_the_study_fixes_its_trainings(
    spec_of: "SpecOf",
) -> None:
    beta = {"model.beta": {"log_uniform": [0.01, 100]}}
    fixed = {**beta, "training.steps": {"fixed": 1000}}
    pruner = {"name": "median", "warm_up": 0.5}
    comparison = _comparison(spec_of, pruner=pruner, search=fixed)  # the base has 100 steps
    for number in range(FEWEST_COMPLETED):
        for step in (60, 600):
            comparison.report(number, step, [0.9])
        comparison.end(number, [0.9])

    early, late = comparison.report(90, 60, [0.1]), comparison.report(91, 600, [0.1])

    assert (early, late) == (False, True)


def test_stopped_trials_do_not_count_as_completed(spec_of: "SpecOf") -> None:
    comparison = _comparison(spec_of, pruner="median")
    for number in range(FEWEST_COMPLETED):
        comparison.report(number, 50, [0.9])
        comparison.end(number, None)

    assert not comparison.report(90, 50, [0.1])


def test_of_those_at_a_rung_the_better_half_goes_on(spec_of: "SpecOf") -> None:
    comparison = _comparison(spec_of, pruner="successive_halving")
    best_first = [0.9, 0.8, 0.7, 0.6]

    stopped = [comparison.report(number, 25, [value]) for number, value in enumerate(best_first)]

    assert stopped == [False, True, True, True]
    assert not comparison.report(9, 25, [0.95])


def test_hyperband_stops_the_worse_ones_of_a_bracket(spec_of: "SpecOf") -> None:
    comparison = _comparison(spec_of, pruner="hyperband")
    numbers = range(40)

    for number in numbers:
        comparison.report(number, 25, [0.9 if number % 2 else 0.1])
    stopped = {
        number: comparison.report(number, 50, [0.9 if number % 2 else 0.1]) for number in numbers
    }

    worse = [number for number in numbers if stopped[number]]
    assert worse
    assert not [number for number in worse if number % 2]


def test_with_two_objectives_both_must_be_worse(spec_of: "SpecOf") -> None:
    both = ["polarisation", "reconstruction"]
    comparison = _comparison(spec_of, pruner="median", objectives=both)
    for number in range(FEWEST_COMPLETED):
        comparison.report(number, 50, [0.5, 50.0])
        comparison.end(number, [0.5, 50.0])

    assert comparison.report(90, 50, [0.1, 90.0])
    assert not comparison.report(91, 50, [0.1, 10.0])
    assert not comparison.report(92, 50, [0.9, 90.0])


def test_another_comparison_that_hears_the_same_says_the_same(spec_of: "SpecOf") -> None:
    comparisons = [_comparison(spec_of, pruner="hyperband") for _ in range(3)]

    stopped = [
        [
            (number, step)
            for number in range(24)
            for step in (25, 50)
            if comparison.report(number, step, [math.sin(number)])
        ]
        for comparison in comparisons
    ]

    assert stopped[0]
    assert stopped[0] == stopped[1] == stopped[2]
