from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polar.records.events import Evaluation
from polar.records.latents import Verdict
from polar.spec import ExperimentSpec
from polar.training.schedule import (
    end,
    evaluation_steps,
    measures_information,
    steps_per_epoch,
    weight,
)


def spec(
    steps: int,
    *,
    training: Mapping[str, object] | None = None,
    **diagnostics: Any,  # noqa: ANN401
) -> ExperimentSpec:
    return ExperimentSpec.model_validate(
        {
            "dataset": {"name": "digits", "images": 100},
            "model": {"beta": 4.0},
            "training": {"steps": steps, "batch_size": 25, **(training or {})},
            "diagnostics": diagnostics,
        }
    )


def test_evaluations_are_at_powers_of_two_and_from_32_on_at_powers_of_its_root() -> None:
    steps = evaluation_steps(spec(100, evaluations_per_doubling=3))

    # the cube root of two, multiplied by itself: 1, 1.26, 1.59
    assert steps == (1, 2, 4, 8, 16, 32, 40, 51, 64, 81, 100)


def test_held_out_images_and_the_last_partial_batch_are_no_step() -> None:
    # 80 images in batches of 25
    assert steps_per_epoch(spec(10)) == 3


def test_named_epochs_replace_the_fine_steps() -> None:
    steps = evaluation_steps(spec(100, epochs=(2, 1, 30)))

    # three batches an epoch
    assert steps == (1, 2, 3, 4, 6, 8, 16, 32, 64, 90, 100)


def test_the_information_is_measured_at_powers_of_four_named_epochs_and_the_end() -> None:
    default, named = spec(3000), spec(3000, epochs=(3, 100))

    at, at_named = (
        [step for step in range(1, 3001) if measures_information(each, step, has_settled=False)]
        for each in (default, named)
    )

    assert at == [256, 1024, 3000]
    assert at_named == [9, 256, 300, 1024, 3000]  # three batches an epoch


def test_one_step_is_one_evaluation() -> None:
    assert evaluation_steps(spec(1)) == (1,)


@given(st.integers(2, 10_000_000), st.integers(1, 100))
def test_steps_ascend_to_the_end_and_cover_its_last_parts(steps: int, per_doubling: int) -> None:
    chosen = evaluation_steps(spec(steps, evaluations_per_doubling=per_doubling))

    assert list(chosen) == sorted(set(chosen))
    assert chosen[-1] == steps
    # Whether training has settled is judged from these evaluations on; they are no older than
    # half of the part that they begin.
    for part in (0.6, 0.8):
        begin = max(step for step in chosen if step <= max(part * steps, 1))
        assert begin >= part * steps / 2


@given(st.integers(1, 100_000), st.integers(0, 100_000), st.integers(1, 100), st.booleans())
def test_a_longer_training_has_all_evaluations_of_a_shorter_one_but_its_end(
    steps: int, more: int, per_doubling: int, names_epochs: bool
) -> None:
    how: dict[str, Any] = {"evaluations_per_doubling": per_doubling}
    if names_epochs and steps >= 6:
        how = {"epochs": (1, 2)}

    short, long = (evaluation_steps(spec(n, **how)) for n in (steps, steps + more))

    assert set(short) - {steps} == {step for step in long if step < steps}


@pytest.mark.parametrize("per_doubling", [1, 3, 10])
def test_neighbours_are_a_constant_factor_apart_as_far_as_rounding_allows(
    per_doubling: int,
) -> None:
    *chosen, _ = evaluation_steps(spec(1000, evaluations_per_doubling=per_doubling))

    for before, after in pairwise(step for step in chosen if step >= 32):
        # Both are rounded by at most a half, and equal steps are one.
        assert after / before == pytest.approx(2 ** (1 / per_doubling), rel=1 / before)


WARM_UPS = st.fixed_dictionaries(
    {"fraction": st.floats(1e-3, 1), "scale": st.sampled_from(["linear", "logarithmic"])}
)


def test_without_a_warm_up_the_weight_is_that_of_the_model() -> None:
    assert {weight(spec(100), step) for step in range(100)} == {4.0}


def test_a_linear_warm_up_starts_at_0_and_rises_by_equal_steps() -> None:
    rising = spec(100, training={"weight_warm_up": {"fraction": 0.04}})

    assert [weight(rising, step) for step in (0, 1, 2, 3, 4, 5, 99)] == [0, 1, 2, 3, 4, 4, 4]


def test_a_logarithmic_warm_up_starts_at_a_thousandth_and_rises_by_equal_factors() -> None:
    warm_up = {"fraction": 0.03, "scale": "logarithmic"}
    rising = spec(100, training={"weight_warm_up": warm_up})

    found = [weight(rising, step) for step in (0, 1, 2, 3, 99)]

    assert found == pytest.approx([0.004, 0.04, 0.4, 4, 4], rel=1e-12)
    assert found[3:] == [4, 4]


@given(st.integers(1, 1000), WARM_UPS)
def test_the_weight_never_falls_and_is_whole_after_the_warm_up(
    steps: int, warm_up: dict[str, object]
) -> None:
    rising = spec(steps, training={"weight_warm_up": warm_up})
    n = round(float(str(warm_up["fraction"])) * steps)

    weights = [weight(rising, step) for step in range(steps + 1)]

    assert weights == sorted(weights)
    assert weights[n:] == [4.0] * (steps + 1 - n)
    assert all(value < 4 for value in weights[:n])
    if n:
        assert weights[0] == pytest.approx(0 if warm_up["scale"] == "linear" else 0.004)


def test_after_a_warm_start_the_weight_does_not_rise_again() -> None:
    stages = {"warm_start": [{"weight": 1, "steps": 10}], "weight_warm_up": {"fraction": 1}}

    assert weight(spec(100, training=stages), 0) == 4


def test_a_model_without_a_weight_has_weight_0() -> None:
    plain = ExperimentSpec.model_validate({"dataset": {"name": "digits"}, "model": {"name": "ae"}})

    assert weight(plain, 0) == 0


def evaluated(step: int, *, settled: bool) -> Evaluation:
    """The only parts of an evaluation that count here."""
    verdict: Any = Verdict.model_construct
    evaluation: Any = Evaluation.model_construct
    return evaluation(step=step, verdict=verdict(settled=settled))


@pytest.mark.parametrize(("until", "ends_at"), [("steps", None), ("settled", 16)])
def test_a_training_ends_where_it_first_has_settled(until: str, ends_at: int | None) -> None:
    asked = spec(100, training={"until": until})
    evaluations = [evaluated(step, settled=step in (16, 32, 64)) for step in (8, 16, 20, 32, 64)]

    assert end(asked, evaluations) == ends_at
    assert end(asked, evaluations[:1]) is None
