"""The course of a training, and the trainings that have it in common."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polar.errors import InvalidInput
from polar.spec import ExperimentSpec
from polar.spec.course import course, trainings, warm_started, warm_up_steps, with_steps

LINEAR = {"fraction": 0.5, "scale": "linear"}


def spec(model: dict[str, Any] | None = None, **training: object) -> ExperimentSpec:
    return ExperimentSpec.model_validate(
        {
            "dataset": {"name": "digits", "images": 100},
            "model": model or {"beta": 2.0},
            "training": {"steps": 100, "batch_size": 10, **training},
        }
    )


@pytest.mark.parametrize(
    "changed",
    [
        {"name": "other"},
        {"device": "cpu"},
        {"downstream": {}},
        {"training": {"steps": 1000}},
        {"training": {"until": "settled"}},
        {"training": {"checkpoint_every": 7}},
    ],
)
def test_where_a_training_ends_is_not_part_of_its_course(changed: dict[str, Any]) -> None:
    content = spec().model_dump()
    training = {**content["training"], **changed.pop("training", {})}

    other = ExperimentSpec.model_validate({**content, **changed, "training": training})

    assert other != spec()
    assert course(other) == course(spec())


@pytest.mark.parametrize(
    "changed",
    [
        {"model": {"beta": 2.5}},
        {"model": {"latent_dim": 3}},
        {"dataset": {"name": "digits", "images": 101}},
        {"seeds": [1]},
        {"training": {"batch_size": 11}},
        {"training": {"learning_rate": 0.5}},
        {"training": {"held_out": 0.0}},
        {"training": {"weight_warm_up": LINEAR}},
        {"training": {"warm_start": [{"weight": 1, "steps": 1}]}},
        {"diagnostics": {"sigma": 0.25}},
    ],
)
def test_whatever_changes_a_number_changes_the_course(changed: dict[str, Any]) -> None:
    content = spec().model_dump()
    merged = {
        key: {**content[key], **value} if isinstance(value, dict) else value
        for key, value in changed.items()
    }

    assert course(ExperimentSpec.model_validate({**content, **merged})) != course(spec())


@given(st.integers(1, 100_000), st.floats(1e-6, 1), st.integers(0, 100_000))
def test_more_steps_stay_on_the_course_and_the_weight_rises_as_long(
    steps: int, fraction: float, more: int
) -> None:
    short = spec(steps=steps, weight_warm_up={"fraction": fraction})

    long = with_steps(short, steps + more)

    assert long.training.steps == steps + more
    assert warm_up_steps(long.training) == warm_up_steps(short.training)
    assert course(long) == course(short)
    assert with_steps(long, steps + more) == long


def test_a_training_that_ended_when_it_had_settled_makes_all_the_steps_asked_for() -> None:
    assert with_steps(spec(until="settled"), 300) == spec(steps=300)


@pytest.mark.parametrize(
    ("steps", "allowed"), [(49, "at least 50, because the weight rises so long"), (0, "10000000")]
)
def test_a_number_of_steps_that_no_training_of_the_course_has_is_refused(
    steps: int, allowed: str
) -> None:
    short = spec(weight_warm_up=LINEAR) if steps else spec()

    with pytest.raises(InvalidInput, match=allowed):
        with_steps(short, steps)


def test_stages_are_trainings_of_their_own() -> None:
    stages = [{"weight": 8, "steps": 30}, {"weight": 4, "steps": 20}]

    first, second, last = trainings(spec(warm_start=stages))

    assert first == spec({"beta": 8.0}, steps=30)
    assert second == spec({"beta": 4.0}, steps=20, warm_start=stages[:1])
    assert last == spec(warm_start=stages)


def test_a_training_without_a_warm_start_is_alone() -> None:
    assert trainings(spec()) == (spec(),)


def test_the_weight_rises_in_the_first_stage_only() -> None:
    warm = spec(warm_start=[{"weight": 8, "steps": 30}], weight_warm_up=LINEAR)

    stage, last = trainings(warm)

    assert stage == spec({"beta": 8.0}, steps=30, weight_warm_up=LINEAR)
    assert (warm_up_steps(stage.training), warm_up_steps(last.training)) == (15, 0)
    assert with_steps(last, 3000).training.weight_warm_up == last.training.weight_warm_up


@pytest.mark.parametrize(
    ("name", "weight_name"),
    [("beta_vae", "beta"), ("ivae", "alpha"), ("lv_ae", "lambda"), ("l2_ae", "gamma")],
)
def test_a_finished_training_becomes_the_stage_of_another(name: str, weight_name: str) -> None:
    cold = spec({"name": name, weight_name: 3.0}, until="settled")

    warm = warm_started(with_steps(cold, 70), weight=5.0, steps=40)
    warmer = warm_started(warm, weight=6.0)

    assert warm.model.weight == 5
    assert warm.training.steps == warmer.training.steps == 40
    stage, *_ = trainings(warm)
    assert course(stage) == course(cold)
    assert [course(spec) for spec in trainings(warmer)][:2] == [course(cold), course(warm)]


def test_a_model_without_a_weight_cannot_start_at_another() -> None:
    with pytest.raises(InvalidInput, match="the model is ae; allowed: a model with a weight"):
        warm_started(spec({"name": "ae"}), weight=1.0)


@pytest.mark.parametrize(
    ("field", "value"),
    [("weight_warm_up", LINEAR), ("warm_start", [{"weight": 1, "steps": 1}])],
)
def test_a_model_without_a_weight_has_none_to_raise(field: str, value: object) -> None:
    with pytest.raises(InvalidInput, match=f"/training/{field}.*no weight that could change"):
        ExperimentSpec.from_content(
            {
                "dataset": {"name": "digits"},
                "model": {"name": "ae"},
                "training": {field: value},
            }
        )
