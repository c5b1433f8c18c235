"""Faults: their place, what is allowed there, and the hint."""

import json
from typing import Any

import pytest
from pydantic import ValidationError

from polar.spec import ExperimentSpec
from polar.spec.datasets import DATASETS, OWN
from polar.spec.faults import MOST_FAULTS, Fault

SMALLEST: dict[str, Any] = {"dataset": {"name": "digits"}, "model": {}}


def faults_in(spec: object) -> list[Fault]:
    with pytest.raises(ValidationError) as caught:
        ExperimentSpec.model_validate(spec)
    return ExperimentSpec.faults_of(caught.value)


@pytest.mark.parametrize(
    ("part", "given", "pointer", "allowed"),
    [
        ("model", {"beta": -1}, "/model/beta", "a number from 0 to 1000000"),
        ("model", {"latent_dim": 0}, "/model/latent_dim", "an integer from 1 to 1024"),
        ("model", {"widths": [1] * 6}, "/model/widths", "5 items, each an integer from 1 to 1024"),
        ("model", {"widths": [1, 0, 1, 1, 1]}, "/model/widths/1", "an integer from 1 to 1024"),
        ("model", {"x": 0}, "/model/x", "name, latent_dim, widths, likelihood, beta"),
        (
            "model",
            3,
            "/model",
            "name is one of: ae, beta_vae",
        ),
        ("model", {"name": "gan"}, "/model/name", "beta_vae"),
        ("dataset", {"name": "x"}, "/dataset/name", ", ".join(sorted([*DATASETS, OWN]))),
        ("dataset", {}, "/dataset/name", ", ".join(sorted([*DATASETS, OWN]))),
        (
            "dataset",
            3,
            "/dataset",
            f"name is one of: {', '.join(sorted([*DATASETS, OWN]))}",
        ),
        ("dataset", {"name": "mnist", "images": 1}, "/dataset/images", "from 5 to 60000"),
        ("training", {"learning_rate": 2}, "/training/learning_rate", "above 0 and at most 1"),
        ("training", {"checkpoint_every": 0}, "/training/checkpoint_every", "from 1 to 10000000"),
        ("diagnostics", {"tau_std": -1.0}, "/diagnostics/tau_std", "a number from 0 to 1000000"),
        ("diagnostics", {"epochs": "x"}, "/diagnostics/epochs", "1 to 1000 items"),
        ("diagnostics", {"epochs": "x"}, "/diagnostics/epochs", ", or null"),
        ("diagnostics", {"epochs": [0]}, "/diagnostics/epochs/0", "an integer from 1 to 10000000"),
        ("seeds", [2**32], "/seeds/0", "an integer from 0 to 4294967295"),
        ("device", "tpu", "/device", "auto, cpu, cuda"),
        ("name", 3, "/name", "text of at most 100 characters"),
        (
            "a~/b",
            3,
            "/a~0~1b",
            "name, dataset, model, training",
        ),
    ],
)
def test_a_fault_names_its_place_and_the_whole_range(
    part: str, given: object, pointer: str, allowed: str
) -> None:
    fault, *others = faults_in({**SMALLEST, part: given})

    assert others == []
    assert fault.pointer == pointer
    assert allowed in (fault.allowed or "")


def test_a_spec_that_is_no_object_has_one_fault() -> None:
    no_objects: list[object] = [[], None, 3, "spec"]

    for spec in no_objects:
        fault, *others = faults_in(spec)

        assert (fault.pointer, others) == ("", [])
        assert "the fields name, dataset, model" in (fault.allowed or "")


@pytest.mark.parametrize(
    ("path", "suggestion"),
    [
        ("/model/betta", "beta"),
        ("/beta", "/model/beta"),
        ("/images", "/dataset/images"),
        ("/model/zzz", None),
    ],
)
def test_an_unknown_field_is_sought_nearby_and_then_elsewhere(
    path: str, suggestion: str | None
) -> None:
    *parents, last = path.strip("/").split("/")
    spec = json.loads(json.dumps(SMALLEST))
    (spec[parents[0]] if parents else spec)[last] = 1

    assert [fault.suggestion for fault in faults_in(spec)] == [suggestion]


def test_a_rule_over_several_fields_points_at_one_of_them() -> None:
    fault, *others = faults_in({"dataset": {"name": "digits", "images": 10}, "model": {}})

    assert others == []
    assert (fault.pointer, fault.value) == ("/training/batch_size", "64")
    assert fault.allowed == "an integer from 1 to 10"


def test_an_array_of_faulty_items_is_not_too_short_as_well() -> None:
    pointers = [fault.pointer for fault in faults_in({**SMALLEST, "seeds": [-1, "x"]})]

    assert pointers == ["/seeds/0", "/seeds/1"]


def test_a_long_or_deep_value_is_shortened() -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]

    faults = [faults_in({**SMALLEST, "name": value})[0] for value in (deep, "x" * 10**6)]

    assert all(len(fault.value or "") <= 80 for fault in faults)


def test_a_fault_reads_as_one_line() -> None:
    fault, *_ = faults_in({**SMALLEST, "model": {"betta": 1}})

    assert str(fault) == (
        "/model/betta: beta_vae has no such field (given: 1); "
        "allowed: name, latent_dim, widths, likelihood, beta. Did you mean 'beta'?"
    )


def test_of_many_faults_the_first_are_listed_and_the_others_counted() -> None:
    # The time and the size of the answer grew without end.
    *listed, last = faults_in({**SMALLEST, **{f"x{number}": 0 for number in range(60_000)}})

    assert [fault.pointer for fault in listed] == [f"/x{number}" for number in range(MOST_FAULTS)]
    assert str(last) == "/: faults that are not listed: 59,950"


def test_faults_that_only_repeat_others_are_not_counted() -> None:
    spec = {**SMALLEST, "seeds": ["x"], **{f"x{number}": 0 for number in range(MOST_FAULTS - 1)}}

    kinds = [fault.type for fault in faults_in(spec)]

    assert kinds == ["int_type", *["extra_forbidden"] * (MOST_FAULTS - 1)]
