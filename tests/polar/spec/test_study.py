import json
from typing import Any

import pytest
from pydantic import ValidationError

from polar.errors import InvalidInput
from polar.spec import ExperimentSpec, StudySpec

BASE = {"dataset": {"name": "digits"}, "model": {"name": "beta_vae"}, "seeds": [0, 1, 2]}
LV_AE = {"dataset": {"name": "digits"}, "model": {"name": "lv_ae"}}
BETA = {"model.beta": {"log_uniform": [0.01, 100]}}
LAMBDA = {"model.lambda": {"log_uniform": [1e-5, 1e-2]}}


def study(**changes: Any) -> StudySpec:  # noqa: ANN401
    return StudySpec.model_validate({"base": BASE, "search": BETA, **changes})


def test_a_study_needs_a_base_and_a_search_and_the_rest_is_filled_in() -> None:
    spec = study()

    assert (spec.sampler, spec.aggregate) == ("range", "mean")
    assert [one.measure for one in spec.objectives] == ["clean_polarisation"]
    assert (spec.trials, spec.runs, spec.concurrency) == (16, 16, 4)
    assert study(sampler="random").runs == 48


def test_a_study_comes_back_from_its_json() -> None:
    spec = study(
        objectives=["explained", {"measure": "n_active", "target": 8}],
        sampler="nsga2",
        constraints=[{"measure": "explained", "at_least": 0.2}],
    )

    assert StudySpec.from_yaml(spec.model_dump_json()) == spec


def test_a_trial_is_the_base_with_its_point() -> None:
    spec = study(search={**BETA, "training.steps": {"fixed": 50}})

    experiment = spec.experiment({"model.beta": 4.0})

    assert experiment.model.weight == 4.0
    assert experiment.training.steps == 50
    assert experiment.seeds == (0, 1, 2)
    assert experiment.training.batch_size == spec.base.training.batch_size == 64


def test_lambda_is_searched_by_the_name_that_users_write() -> None:
    spec = study(base=LV_AE, search=LAMBDA)

    assert spec.experiment({"model.lambda": 1e-4}).model.weight == 1e-4


def test_a_pruner_may_be_given_by_its_name() -> None:
    spec = study(pruner="collapse")

    assert spec == study(pruner={"name": "collapse"})
    assert study().pruner.name == "none"
    assert [
        study(pruner=name, sampler="tpe").pruner.compares for name in ("collapse", "median")
    ] == [
        False,
        True,
    ]


def test_a_field_of_one_value_is_not_swept() -> None:
    spec = study(search={**BETA, "training.steps": {"choices": [50]}})

    assert list(spec.swept) == ["model.beta"]
    assert spec.experiment({"model.beta": 1.0}).training.steps == 50


def test_names_can_be_searched_too() -> None:
    ivae = {"dataset": {"name": "digits"}, "model": {"name": "ivae"}}
    priors = {"model.prior_mean": {"choices": ["learned", "fixed"]}}

    spec = study(base=ivae, search=priors, sampler="grid")

    assert spec.trials == 2
    assert spec.experiment({"model.prior_mean": "fixed"}) != spec.base


def test_a_grid_has_the_ends_and_even_steps_between() -> None:
    axes = {
        "model.beta": {"log_uniform": [0.01, 100], "points": 5},
        "training.learning_rate": {"uniform": [0.25, 0.75], "points": 3},
        "model.latent_dim": {"integer": [3, 5]},
        "training.steps": {"choices": [9, 7]},
    }

    spec = study(search=axes, sampler="grid", budget={"trials": 1000})

    assert spec.search["model.beta"].grid == pytest.approx((0.01, 0.1, 1, 10, 100), rel=1e-12)
    assert spec.search["training.learning_rate"].grid == (0.25, 0.5, 0.75)
    assert spec.search["model.latent_dim"].grid == (3, 4, 5)
    assert spec.search["training.steps"].grid == (9, 7)
    assert (spec.trials, spec.runs) == (90, 270)


@pytest.mark.parametrize(
    ("changes", "pointer", "words"),
    [
        ({"search": {"model.beta": {"log_uniform": [0, 100]}}},
         "/search/model.beta/log_uniform", "cannot include 0.0"),
        ({"search": {"model.beta": {"log_uniform": [100, 1]}}},
         "/search/model.beta/log_uniform", "the first end must be below the second"),
        ({"search": {"model.beta": {"log_uniform": [1, 1e9]}}},
         "/search/model.beta", "from 0 to 1000000"),
        ({"search": {"model.bet": {"log_uniform": [1, 2]}}},
         "/search/model.bet", "model.latent_dim, model.beta"),
        ({"search": {"diagnostics.tau": {"log_uniform": [0.1, 1]}}},
         "/search/diagnostics.tau", "tune the ruler"),
        ({"search": {"dataset.images": {"integer": [10, 20]}}},
         "/search/dataset.images", "only the model and its training"),
        ({"search": {"model.name": {"choices": ["ivae"]}}},
         "/search/model.name", "no field of this name can be searched"),
        ({"search": {"model.beta": {"choices": [1.0, "x"]}}, "sampler": "tpe"},
         "/search/model.beta", "not a number"),
        ({"search": {"model.beta": {"choices": [1, 1.0]}}, "sampler": "tpe"},
         "/search/model.beta/choices", "listed twice"),
        ({"search": {"model.beta": {"fixed": 1, "choices": [1]}}},
         "/search/model.beta", "here: choices, fixed"),
        ({"search": {"model.beta": {}}}, "/search/model.beta", "here: none"),
        ({"search": {"model.beta": {"choices": [1, 2], "points": 3}}},
         "/search/model.beta", "points are of"),
        ({"search": {"model.beta": {"fixed": 1.0}}}, "/search", "nothing to search"),
        ({"search": {}}, "/search", "1 to 8 fields"),
        ({"search": {**BETA, "training.steps": {"integer": [1, 9]}}},
         "/sampler", "a range takes exactly one swept field"),
        ({"search": {"training.batch_size": {"integer": [1, 1798]}}, "sampler": "tpe"},
         "/search/training.batch_size", "from 1 to 1438"),
        ({"objectives": ["explained", "polarisation"]}, "/sampler", "cannot weigh several"),
        ({"objectives": ["explained", "explained"], "sampler": "tpe"},
         "/objectives/1", "listed twice"),
        ({"objectives": ["beauty"]}, "/objectives/0/measure", "n_active"),
        ({"objectives": [{"measure": "explained", "target": 3}]},
         "/objectives/0", "a target belongs to n_active"),
        ({"base": LV_AE, "search": LAMBDA, "objectives": ["kl"]},
         "/objectives/0", "a lv_ae is deterministic"),
        ({"constraints": [{"measure": "explained"}]}, "/constraints/0", "at_least, at_most"),
        ({"base": LV_AE, "search": LAMBDA, "constraints": [{"measure": "kl", "at_most": 1}]},
         "/constraints/0", "a lv_ae is deterministic"),
        ({"name": "two\nlines"}, "/name", "one line of printable characters"),
        ({"name": "nul\0"}, "/name", "one line of printable characters"),
        ({"search": {"model.beta": {"log_uniform": [1e-12, 1e5]}}},
         "/search/model.beta", "at most 1e+15"),
        ({"constraints": [{"measure": "explained", "at_least": 1, "at_most": 0}]},
         "/constraints/0", "nothing is at least 1 and at most 0"),
        ({"sampler": "grid"}, "/search/model.beta", "how many points"),
        ({"sampler": "anneal"}, "/sampler", "range, tpe"),
        ({"pruner": "median"}, "/pruner/name", "none, collapse"),
        ({"pruner": "patience"}, "/pruner/name", "none"),
        ({"pruner": {"name": "collapse", "warm_up": 1.0}}, "/pruner/warm_up", "below 1"),
        ({"budget": {"trials": 0}}, "/budget/trials", "from 1 to 10000"),
        ({"base": {**BASE, "model": {"name": "lv_ae"}, "training": {"batch_size": 1}}},
         "/base/training/batch_size", "from 2"),
        ({"base": {**BASE, "model": {"betta": 1}}}, "/base/model/betta", "beta"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_with_its_place(
    changes: dict[str, Any], pointer: str, words: str
) -> None:
    with pytest.raises(ValidationError) as caught:
        study(**changes)

    faults = {fault.pointer: str(fault) for fault in StudySpec.faults_of(caught.value)}
    assert words in faults[pointer]


def test_a_grid_of_a_thousand_million_points_is_refused() -> None:
    axes = {
        "model.beta": {"log_uniform": [0.01, 100], "points": 1000},
        "training.learning_rate": {"uniform": [0.001, 0.01], "points": 1000},
        "training.steps": {"integer": [1, 1000]},
    }

    with pytest.raises(InvalidInput, match="the grid has 1,000,000,000 points"):
        StudySpec.from_yaml(json.dumps({"base": BASE, "search": axes, "sampler": "grid"}))


def test_every_fault_is_told_at_once() -> None:
    with pytest.raises(ValidationError) as caught:
        study(
            search={"model.bet": {"choices": [1]}, "diagnostics.sigma": {"uniform": [0.1, 1]}},
            objectives=["explained", "explained"],
        )

    assert [fault.pointer for fault in StudySpec.faults_of(caught.value)] == [
        "/search/model.bet",
        "/search/diagnostics.sigma",
        "/objectives/1",
        "/sampler",
        "/sampler",
    ]


def test_a_spec_of_the_other_kind_is_said_to_be_one() -> None:
    experiment = "{dataset: {name: digits}, model: {}}"
    spec_of_study = (
        "{base: {dataset: {name: digits}, model: {}}, search: {model.beta: {fixed: 1}}}"
    )

    with pytest.raises(InvalidInput, match="this is the spec of an experiment; submit it with"):
        StudySpec.from_yaml(experiment)
    with pytest.raises(InvalidInput, match="this is the spec of a study; submit it with"):
        ExperimentSpec.from_yaml(spec_of_study)


@pytest.mark.parametrize(
    ("objective", "direction"),
    [
        ("clean_polarisation", "maximize"),
        ("n_active", "maximize"),
        ({"measure": "n_active", "target": 8}, "minimize"),
        ("reconstruction", "minimize"),
        ("kl", "minimize"),
    ],
)
def test_an_objective_knows_which_way_is_better(objective: object, direction: str) -> None:
    assert study(objectives=[objective]).objectives[0].direction == direction
