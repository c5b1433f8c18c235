"""Studies that ask how far their band is held."""

from typing import Any

import pytest
from pydantic import ValidationError

from polar.spec import StudySpec
from polar.spec.course import course, trainings, warm_up_steps

BASE = {
    "dataset": {"name": "digits"},
    "model": {"name": "beta_vae"},
    "training": {"steps": 2000},
    "seeds": [0, 1, 2],
}
BETA = {"model.beta": {"log_uniform": [0.01, 100]}}
HELD = {"held": True}
POINT = {"model.beta": 22.0, "seed": 1, "training.steps": 4000, "training.warm_start.weight": 18.0}


def study(**changes: Any) -> StudySpec:  # noqa: ANN401
    return StudySpec.model_validate({"base": BASE, "search": BETA, "range": HELD, **changes})


def based_on(**parts: object) -> dict[str, object]:
    return {"base": {**BASE, **parts}}


def test_a_band_is_not_held_unless_that_is_asked_for() -> None:
    spec = study(range={})

    assert spec.range.held is False
    assert list(spec.axes) == ["model.beta", "seed", "training.steps"]


def test_a_training_that_goes_on_has_a_stage_of_its_own_seed_and_steps() -> None:
    spec = study()

    experiment = spec.experiment(POINT)

    (stage,) = experiment.training.warm_start
    assert (stage.weight, stage.steps) == (18.0, 4000)
    assert (experiment.model.weight, experiment.seeds) == (22.0, (1,))
    assert experiment.training.steps == 4000
    assert spec.axes["training.warm_start.weight"] == spec.axes["model.beta"]


@pytest.mark.parametrize("training", [{}, {"weight_warm_up": {}}])
def test_its_stage_is_the_training_from_scratch_whose_last_state_it_takes(
    training: dict[str, Any],
) -> None:
    spec = study(**based_on(training={"steps": 2000, **training}))
    donor = {**POINT, "model.beta": 18.0}
    del donor["training.warm_start.weight"]

    stage, last = trainings(spec.experiment(POINT))

    assert course(stage) == course(spec.experiment(donor))
    assert warm_up_steps(last.training) == 0


@pytest.mark.parametrize(
    ("changes", "type", "allowed"),
    [
        ({"sampler": "tpe"}, "not_a_range", "sampler: range, or held: false"),
        (
            {"search": {"training.learning_rate": {"log_uniform": [1e-4, 1e-2]}}},
            "not_the_weight",
            "a search of model.beta, or held: false",
        ),
        (
            based_on(model={"name": "ae"})
            | {"search": {"training.learning_rate": {"log_uniform": [1e-4, 1e-2]}}},
            "not_the_weight",
            "held: false",
        ),
        (
            based_on(training={"warm_start": [{"weight": 1.0, "steps": 10}]}),
            "two_warm_starts",
            "held: false, or no warm start",
        ),
        (
            based_on(training={"until": "settled"}),
            "not_all_steps",
            "held: false, or until: steps",
        ),
        (
            {"search": {**BETA, "training.until": {"fixed": "settled"}}},
            "not_all_steps",
            "held: false, or until: steps",
        ),
    ],
)
def test_bands_that_cannot_be_held_are_refused(
    changes: dict[str, Any], type: str, allowed: str
) -> None:
    with pytest.raises(ValidationError) as refusal:
        study(**changes)

    (fault,) = StudySpec.faults_of(refusal.value)
    assert (fault.type, fault.pointer, fault.allowed) == (type, "/range/held", allowed)


def test_a_search_may_say_that_all_steps_are_made() -> None:
    search = {**BETA, "training.until": {"fixed": "steps"}}

    spec = study(**based_on(training={"until": "settled"}), search=search)

    assert [stage.training.until for stage in trainings(spec.experiment(POINT))] == ["steps"] * 2


@pytest.mark.parametrize("held", [1, "yes", None])
def test_held_is_true_or_false(held: object) -> None:
    with pytest.raises(ValidationError) as refusal:
        study(range={"held": held})

    assert [fault.pointer for fault in StudySpec.faults_of(refusal.value)] == ["/range/held"]
