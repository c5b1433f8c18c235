from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polar.spec import DiagnosticsSpec, ExperimentSpec
from polar.training.schedule import evaluation_steps, steps_per_epoch


def spec(steps: int, **diagnostics: object) -> ExperimentSpec:
    return ExperimentSpec.model_validate(
        {
            "dataset": {"name": "digits", "images": 100},
            "model": {},
            "training": {"steps": steps, "batch_size": 30},
            "diagnostics": diagnostics,
        }
    )


def test_evaluations_are_log_spaced_from_the_first_step_to_the_end() -> None:
    steps = evaluation_steps(spec(1000, evaluations=4))

    assert steps == (1, 10, 100, 800, 900, 1000)


def test_the_last_partial_batch_is_no_step() -> None:
    assert steps_per_epoch(spec(10)) == 3


def test_named_epochs_replace_the_log_spacing_and_the_end_is_always_evaluated() -> None:
    steps = evaluation_steps(spec(100, epochs=(2, 1, 30)))

    # three batches an epoch
    assert steps == (3, 6, 80, 90, 100)


def test_one_step_is_one_evaluation() -> None:
    assert evaluation_steps(spec(1)) == (1,)


@given(st.integers(1, 100_000), st.integers(2, 1000))
def test_steps_ascend_to_the_end_and_cover_the_last_fifth(steps: int, evaluations: int) -> None:
    chosen = evaluation_steps(spec(steps, evaluations=evaluations))

    assert list(chosen) == sorted(set(chosen))
    assert chosen[0] >= 1
    assert chosen[-1] == steps
    # The last step at or before 0.8 of all, and one between there and the end.
    assert steps == 1 or any(4 * steps - 5 < 5 * step <= 4 * steps for step in chosen)
    assert steps < 10 or any(4 * steps < 5 * step < 5 * steps for step in chosen)


@given(st.integers(1, 100_000), st.integers(2, 1000))
def test_there_are_as_many_as_asked_for_and_at_most_two_more(steps: int, evaluations: int) -> None:
    chosen = evaluation_steps(spec(steps, evaluations=evaluations))

    assert min(steps, evaluations) <= len(chosen) <= evaluations + 2


@pytest.mark.parametrize("steps", [1000, 3000, 10_000_000])
def test_neighbours_are_a_constant_factor_apart_where_rounding_allows(steps: int) -> None:
    diagnostics = DiagnosticsSpec(evaluations=10)
    chosen = evaluation_steps(spec(steps, **diagnostics.model_dump(exclude={"epochs"})))

    log_spaced = [step for step in chosen if step not in (8 * steps // 10, 9 * steps // 10)]
    factor = steps ** (1 / 9)
    for before, after in pairwise(log_spaced[4:]):
        # A step is rounded by at most a half.
        assert after / before == pytest.approx(factor, rel=1 / before)
