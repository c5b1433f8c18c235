"""How many trainings a study may have, and how long they are."""

from typing import Any

import pytest
from pydantic import ValidationError

from polar.spec import StudySpec

BASE = {
    "dataset": {"name": "digits"},
    "model": {"name": "beta_vae"},
    "training": {"steps": 2000},
    "seeds": [0, 1, 2],
}
BETA = {"model.beta": {"log_uniform": [0.01, 100]}}


def study(**changes: Any) -> StudySpec:  # noqa: ANN401
    return StudySpec.model_validate({"base": BASE, "search": BETA, **changes})


def test_a_trial_of_a_range_is_one_training() -> None:
    spec = study()

    experiment = spec.experiment({"model.beta": 4.0, "seed": 7, "training.steps": 4000})

    assert (experiment.model.weight, experiment.seeds, experiment.training.steps) == (
        4.0,
        (7,),
        4000,
    )
    assert list(spec.axes) == ["model.beta", "seed", "training.steps"]
    assert spec.seeds_of({"model.beta": 4.0, "seed": 7, "training.steps": 4000}) == (7,)


def test_a_trial_of_other_samplers_has_all_seeds() -> None:
    spec = study(sampler="random")

    assert spec.experiment({"model.beta": 4.0}).seeds == (0, 1, 2)
    assert list(spec.axes) == ["model.beta"]
    assert spec.seeds_of({"model.beta": 4.0}) == (0, 1, 2)


@pytest.mark.parametrize(
    ("changes", "trials", "runs"),
    [
        ({"sampler": "range", "budget": {"steps": 60_000}}, 30, 30),
        ({"sampler": "range", "budget": {"steps": 60_001}}, 31, 31),
        ({"sampler": "range", "budget": {"steps": 60_000, "trials": 4}}, 4, 4),
        ({"sampler": "random", "budget": {"steps": 60_000}}, 10, 30),
        ({"sampler": "random", "budget": {"trials": 5}}, 5, 15),
        (
            {
                "sampler": "random",
                "search": {"training.steps": {"choices": [500, 1000]}},
                "budget": {"steps": 60_000},
            },
            40,
            120,
        ),
    ],
)
def test_a_budget_of_steps_limits_the_trials(
    changes: dict[str, Any], trials: int, runs: int
) -> None:
    spec = study(**changes)

    assert (spec.trials, spec.runs) == (trials, runs)


@pytest.mark.parametrize("most", [2000, 4000, 32_000])
def test_trainings_of_a_range_may_double(most: int) -> None:
    assert study(range={"max_steps": most}).range.max_steps == most


@pytest.mark.parametrize("most", [1000, 3000, 6000])
def test_other_numbers_of_steps_are_refused(most: int) -> None:
    with pytest.raises(ValidationError) as refusal:
        study(range={"max_steps": most})

    (fault,) = StudySpec.faults_of(refusal.value)
    assert fault.pointer == "/range/max_steps"
    assert fault.allowed == "2000, 4000, 8000, 16000, and so on"


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"sampler": "tpe", "range": {"max_steps": 4000}}, "/range/max_steps"),
        ({"aggregate": "confidence_bound"}, "/aggregate"),
        ({"range": {"of": "converged"}}, "/range/of"),
        ({"budget": {"steps": 0}}, "/budget/steps"),
    ],
)
def test_what_a_range_cannot_be_is_refused(changes: dict[str, Any], pointer: str) -> None:
    with pytest.raises(ValidationError) as refusal:
        study(**changes)

    assert [fault.pointer for fault in StudySpec.faults_of(refusal.value)] == [pointer]
