"""The spec: what is accepted, what is refused and how, and what its hash depends on."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from polar.errors import InvalidInput
from polar.spec import (
    BetaVAESpec,
    DigitsSpec,
    ExperimentSpec,
    TrainingSpec,
)
from polar.spec.faults import Fault

SMALLEST = {"dataset": {"name": "digits"}, "model": {}}


def changed(path: str, value: object) -> dict[str, Any]:
    """The smallest spec with one more field, given as `part.field`."""
    spec: dict[str, Any] = json.loads(json.dumps(SMALLEST))
    *parents, last = path.split(".")
    part = spec
    for parent in parents:
        part = part.setdefault(parent, {})
    part[last] = value
    return spec


def test_defaults_follow_the_dataset() -> None:
    digits = ExperimentSpec.model_validate(SMALLEST)
    mnist = ExperimentSpec.model_validate({"dataset": {"name": "mnist"}, "model": {}})

    assert (digits.model.latent_dim, digits.training.batch_size) == (16, 64)
    assert (mnist.model.latent_dim, mnist.training.batch_size) == (16, 128)
    assert (digits.dataset.images, mnist.dataset.images) == (1797, 60_000)


def test_a_given_value_wins_over_the_defaults_of_the_dataset() -> None:
    spec = ExperimentSpec.model_validate(changed("model.latent_dim", 3))

    assert spec.model.latent_dim == 3


def test_objects_and_mappings_make_the_same_spec() -> None:
    from_objects = ExperimentSpec(
        dataset=DigitsSpec(), model=BetaVAESpec(beta=0.1), training=TrainingSpec(steps=7)
    )

    from_text = ExperimentSpec.from_yaml(
        "dataset: {name: digits}\nmodel: {beta: 1e-1}\ntraining: {steps: 7}"
    )

    assert from_objects == from_text
    assert from_objects.content_hash() == from_text.content_hash()


def test_the_hash_depends_on_the_content_alone() -> None:
    spec = ExperimentSpec.model_validate(SMALLEST)
    spelled_out = ExperimentSpec.model_validate(spec.model_dump(mode="json"))
    relabelled = spec.model_copy(update={"name": "another", "device": "cpu"})

    assert spelled_out.content_hash() == spec.content_hash()
    assert relabelled.content_hash() == spec.content_hash()


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("model.beta", 2.0),
        ("model.latent_dim", 8),
        ("training.steps", 10),
        ("training.learning_rate", 0.01),
        ("diagnostics.sigma", 1.0),
        ("dataset.images", 100),
        ("seeds", [1]),
    ],
)
def test_the_hash_changes_with_whatever_decides_the_numbers(path: str, value: object) -> None:
    spec = ExperimentSpec.model_validate(SMALLEST)

    other = ExperimentSpec.model_validate(changed(path, value))

    assert other.content_hash() != spec.content_hash()


def test_the_spec_of_one_seed_has_the_same_hash_whoever_asked_for_it() -> None:
    many = ExperimentSpec.model_validate(changed("seeds", [4, 7]))
    one = ExperimentSpec.model_validate(changed("seeds", [7]))

    assert many.for_seed(7).content_hash() == one.content_hash()


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("name", "another"),
        ("device", "cpu"),
        ("model.beta", 2.0),
        ("training.steps", 10),
        ("training.learning_rate", 0.01),
        ("training.batch_size", 32),
        ("diagnostics.images", 100),
        ("seeds", [1]),
    ],
)
def test_a_problem_stays_the_same_however_it_is_solved(path: str, value: object) -> None:
    spec = ExperimentSpec.model_validate(SMALLEST)

    other = ExperimentSpec.model_validate(changed(path, value))

    assert other.problem_hash() == spec.problem_hash()


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("dataset.images", 100),
        ("dataset.name", "mnist"),
        ("training.held_out", 0.1),
        ("model.latent_dim", 8),
        ("model.widths", [8, 8, 16, 16, 32]),
        ("model.likelihood", {"name": "gaussian"}),
        ("model.name", "l2_ae"),
        ("model", {"name": "fixed_variance_vae"}),
    ],
)
def test_other_images_or_another_network_are_another_problem(path: str, value: object) -> None:
    spec = ExperimentSpec.model_validate(SMALLEST)

    other = ExperimentSpec.model_validate(changed(path, value))

    assert other.problem_hash() != spec.problem_hash()


@pytest.mark.parametrize(
    ("model", "weight", "other"),
    [
        ({"name": "ivae"}, {"alpha": 3.0}, {"u": ["digit"], "prior_mean": "fixed"}),
        ({"name": "fixed_variance_vae"}, {"beta": 3.0}, {"variance": 0.2}),
        ({"name": "lv_ae"}, {"lambda": 3.0}, {"eta": 0.5}),
        ({"name": "l2_ae"}, {"gamma": 3.0}, {"latent_dim": 3}),
    ],
)
def test_of_a_model_s_own_fields_only_the_weight_is_no_part_of_the_problem(
    model: dict[str, Any], weight: dict[str, Any], other: dict[str, Any]
) -> None:
    hashes = [
        ExperimentSpec.model_validate({**SMALLEST, "model": fields}).problem_hash()
        for fields in (model, model | weight, model | other)
    ]

    assert hashes[0] == hashes[1] != hashes[2]


@pytest.mark.parametrize(
    ("path", "value", "pointer", "allowed"),
    [
        ("model.beta", -1, "/model/beta", "0"),
        ("model.beta", "1", "/model/beta", "number"),
        ("model.beta", True, "/model/beta", "number"),
        ("model.beta", float("nan"), "/model/beta", "finite"),
        ("model.latent_dim", 0, "/model/latent_dim", "1"),
        ("model.latent_dim", 2.5, "/model/latent_dim", "integer"),
        ("model.widths", [1, 2], "/model/widths/2", "missing"),
        ("model.betta", 1, "/model/betta", "no such field"),
        ("dataset.name", "digts", "/dataset/name", "'digits'"),
        ("dataset.images", 1798, "/dataset/images", "1797"),
        ("training.steps", 0, "/training/steps", "1"),
        ("training.learning_rate", 0, "/training/learning_rate", "0"),
        ("diagnostics.renyi_alpha", 0, "/diagnostics/renyi_alpha", "0"),
        ("diagnostics.epochs", [], "/diagnostics/epochs", "1 to 1000 items"),
        ("seeds", [1, 1], "/seeds", "twice"),
        ("seeds", [], "/seeds", "1 to 1000 items"),
        ("seeds", [-1], "/seeds/0", "0"),
        ("device", "tpu", "/device", "cuda"),
        ("name", "x" * 101, "/name", "100"),
    ],
)
def test_a_fault_is_named_with_its_place_and_what_is_allowed(
    path: str, value: object, pointer: str, allowed: str
) -> None:
    with pytest.raises(ValidationError) as caught:
        ExperimentSpec.model_validate(changed(path, value))

    faults = ExperimentSpec.faults_of(caught.value)

    assert [fault.pointer for fault in faults][:1] == [pointer]
    assert allowed in str(faults[0])


def test_a_batch_larger_than_the_training_images_is_refused() -> None:
    with pytest.raises(ValidationError) as caught:
        ExperimentSpec.model_validate({"dataset": {"name": "digits", "images": 64}, "model": {}})

    assert "64 is more than the images that are not held out: 52" in str(caught.value)


@pytest.mark.parametrize(
    ("images", "held_out", "trained_on"),
    [
        (1797, 0.2, 1438),  # a fifth is 359.4
        (1797, 0, 1797),
        (1797, 0.5, 899),
        (25, 0.2, 20),
        (24, 0.2, 24),  # four images would be too few to measure
        (10, 0.5, 5),
        (5, 0.5, 5),
    ],
)
def test_the_images_that_are_not_held_out_are_trained_on(
    images: int, held_out: float, trained_on: int
) -> None:
    spec = ExperimentSpec.model_validate(
        {
            "dataset": {"name": "digits", "images": images},
            "model": {},
            "training": {"batch_size": 1, "held_out": held_out},
        }
    )

    assert spec.training_images == trained_on


def test_all_faults_are_told_at_once() -> None:
    text = "dataset: {name: mnist, colour: red}\nmodel: {beta: -1, latent_dim: 0}\nseeds: [x]"

    with pytest.raises(InvalidInput) as caught:
        ExperimentSpec.from_yaml(text)

    for pointer in ("/dataset/colour", "/model/beta", "/model/latent_dim", "/seeds/0"):
        assert pointer in str(caught.value)


def test_a_misspelt_name_gets_a_suggestion() -> None:
    with pytest.raises(InvalidInput, match="Did you mean 'batch_size'"):
        ExperimentSpec.from_yaml("dataset: {name: digits}\nmodel: {}\ntraining: {batch_sise: 3}")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["dataset", "model", "training", "name", "beta", "seeds", "images"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(json_values)
def test_any_json_is_either_a_spec_or_has_named_faults(value: object) -> None:
    spec, faults = parse(value)

    assert (spec is None) == bool(faults)
    assert all(fault.message for fault in faults)
    assert spec is None or ExperimentSpec.from_yaml(spec.to_yaml()) == spec


def parse(value: object) -> tuple[ExperimentSpec | None, list[Fault]]:
    try:
        return ExperimentSpec.model_validate(value), []
    except ValidationError as error:
        return None, ExperimentSpec.faults_of(error)


def test_an_ivae_is_told_the_first_factor_of_the_dataset_unless_others_are_named() -> None:
    norb = ExperimentSpec.model_validate(
        {"dataset": {"name": "smallnorb"}, "model": {"name": "ivae"}}
    )
    named = ExperimentSpec.model_validate(
        {"dataset": {"name": "smallnorb"}, "model": {"name": "ivae", "u": ["lighting"]}}
    )

    assert (norb.u, named.u) == (("category",), ("lighting",))
    assert ExperimentSpec.model_validate(SMALLEST).u == ()


def test_the_downstream_task_leaves_out_what_an_ivae_was_told() -> None:
    asked = {"dataset": {"name": "sprites"}, "model": {"name": "ivae"}, "downstream": {}}

    spec = ExperimentSpec.model_validate(asked)

    assert spec.predicted_factors == ("scale", "orientation", "x", "y")


@pytest.mark.parametrize(
    ("asked", "pointer", "allowed"),
    [
        ({"downstream": {"factors": ["shape"]}}, "/downstream/factors", "allow_leak: true"),
        ({"downstream": {"factors": ["color"]}}, "/downstream/factors/0", "shape, scale"),
        ({"model": {"name": "ivae", "u": ["x", "colour"]}}, "/model/u/1", "shape, scale"),
        ({"training": {"steps": 100, "batch_size": 40_000}, "diagnostics": {"epochs": [1, 51]}},
         "/diagnostics/epochs/1", "from 1 to 50"),
        ({"dataset": {"name": "smallnorb", "split": "test", "images": 24_301}},
         "/dataset/images", "from 1 to 24300"),
        ({"diagnostics": {"images": 4}}, "/diagnostics/images", "from 5 to 10000"),
        ({"diagnostics": {"tau_std": -1.0}}, "/diagnostics/tau_std", "from 0 to"),
        ({"diagnostics": {"sigma": 1e-160}}, "/diagnostics/sigma", "from 1e-06 to 1000000"),
        ({"diagnostics": {"renyi_alpha": 0.3}}, "/diagnostics/renyi_alpha", "from 0.75 to 100"),
        ({"diagnostics": {"renyi_alpha": 1e12}}, "/diagnostics/renyi_alpha", "from 0.75 to 100"),
        ({"diagnostics": {"images": 49}, "downstream": {}}, "/downstream", "at least 50 images"),
        ({"model": {"name": "lv_ae"}, "training": {"batch_size": 1}},
         "/training/batch_size", "from 2"),
    ],
)  # fmt: skip
def test_parts_that_do_not_fit_together_are_refused(
    asked: dict[str, Any], pointer: str, allowed: str
) -> None:
    base = {"dataset": {"name": "sprites"}, "model": {"name": "ivae"}}

    with pytest.raises(ValidationError) as caught:
        ExperimentSpec.model_validate({**base, **asked})

    (fault,) = ExperimentSpec.faults_of(caught.value)
    assert fault.pointer == pointer
    assert allowed in (fault.allowed or "")


def test_all_misfits_are_told_at_once() -> None:
    asked = {
        "dataset": {"name": "digits", "images": 10},
        "model": {"name": "ivae", "u": ["shape"]},
        "downstream": {"factors": ["size"]},
    }

    with pytest.raises(ValidationError) as caught:
        ExperimentSpec.model_validate(asked)

    pointers = [fault.pointer for fault in ExperimentSpec.faults_of(caught.value)]
    assert pointers == [
        "/training/batch_size",
        "/model/u/0",
        "/downstream",
        "/downstream/factors/0",
    ]


def test_a_leak_is_allowed_when_asked_for() -> None:
    asked = {
        "dataset": {"name": "mnist"},
        "model": {"name": "ivae"},
        "downstream": {"allow_leak": True},
    }

    assert ExperimentSpec.model_validate(asked).predicted_factors == ("digit",)
