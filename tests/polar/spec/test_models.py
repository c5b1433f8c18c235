"""Specs of models: their names, their weights, and what belongs to one of them alone."""

import pytest
from pydantic import ValidationError

from polar.spec import (
    MODELS,
    AESpec,
    DigitsSpec,
    ExperimentSpec,
    IVAESpec,
    LVAESpec,
)


def test_lambda_is_lambda_in_specs_and_lam_in_python() -> None:
    spec = ExperimentSpec.from_yaml("dataset: {name: digits}\nmodel: {name: lv_ae, lambda: 0.5}")
    same = ExperimentSpec(dataset=DigitsSpec(), model=LVAESpec(lam=0.5))

    assert same == spec
    assert spec.model_dump(mode="json")["model"]["lambda"] == 0.5
    assert (spec.model.weight_name, spec.model.weight) == ("lambda", 0.5)


def test_a_model_without_a_weight_says_so() -> None:
    spec = ExperimentSpec(dataset=DigitsSpec(), model=AESpec())

    assert (spec.model.weight_name, spec.model.weight) == (None, None)


@pytest.mark.parametrize(
    ("name", "weight_name", "is_variational"),
    [
        ("beta_vae", "beta", True),
        ("ivae", "alpha", True),
        ("fixed_variance_vae", "beta", True),
        ("lv_ae", "lambda", False),
        ("l2_ae", "gamma", False),
        ("ae", None, False),
    ],
)
def test_a_model_is_found_by_its_name_and_knows_its_weight(
    name: str, weight_name: str | None, is_variational: bool
) -> None:
    kind = MODELS[name]

    assert kind.model_fields["name"].default == name
    assert (kind.weight_name, kind.is_variational) == (weight_name, is_variational)


@pytest.mark.parametrize(
    ("name", "total"),
    [
        ("beta_vae", 102.0),
        ("ivae", 102.0),
        ("fixed_variance_vae", 102.0),
        ("lv_ae", 12.0),
        ("l2_ae", 12.0),
        ("ae", 12.0),
    ],
)
def test_the_loss_is_the_weighted_sum_of_its_terms(name: str, total: float) -> None:
    others = {"u": ["shape"]} if name == "ivae" else {}
    spec = MODELS[name].model_validate(others)

    assert spec.total(100.0, 4.0, 0.5, pixels=10) == total
    assert spec.total(100.0, 4.0, 0, pixels=10) == total - 2


@pytest.mark.parametrize("weight", [0, 1e6])
@pytest.mark.parametrize("name", [name for name, kind in MODELS.items() if kind.weight_name])
def test_a_weight_lies_between_its_ends(name: str, weight: float) -> None:
    kind = MODELS[name]
    needed: dict[str, dict[str, object]] = {"ivae": {"u": ["shape"]}, "own": {"class": "lab:Net"}}
    others = needed.get(name, {})

    assert kind.model_validate({kind.weight_name: weight, **others}).weight == weight
    for wrong in (-1e-9, 1.000001e6, "1", True):
        with pytest.raises(ValidationError):
            kind.model_validate({kind.weight_name: wrong, **others})


def test_the_factors_of_u_are_distinct() -> None:
    with pytest.raises(ValidationError, match="a factor is listed twice in u"):
        IVAESpec(u=("x", "y", "x"))


@pytest.mark.parametrize(
    ("likelihood", "is_one"),
    [
        ({"name": "bernoulli"}, True),
        ({"name": "gaussian"}, True),
        ({"name": "poisson"}, False),
        ({}, False),
    ],
)
def test_a_likelihood_has_a_name(likelihood: dict[str, str], is_one: bool) -> None:
    if is_one:
        spec = AESpec.model_validate({"likelihood": likelihood})
        assert spec.likelihood.name == likelihood["name"]
    else:
        with pytest.raises(ValidationError):
            AESpec.model_validate({"likelihood": likelihood})
