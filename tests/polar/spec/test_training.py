"""Specs of training, measuring and the downstream task: the ends of every range."""

from typing import Any

import pytest
from pydantic import ValidationError

from polar.spec import DiagnosticsSpec, DownstreamSpec, SpecPart, TrainingSpec
from polar.spec.training import Stage, WeightWarmUp

STAGE = {"weight": 1e6, "steps": 10_000_000}


@pytest.mark.parametrize(
    ("kind", "field", "inside", "outside"),
    [
        (TrainingSpec, "steps", [1, 10_000_000], [0, 10_000_001]),
        (TrainingSpec, "batch_size", [1, 65_536], [0, 65_537]),
        (TrainingSpec, "learning_rate", [1e-300, 1], [0, 1.0001]),
        (TrainingSpec, "checkpoint_every", [1, 10**15], [0, 10**15 + 1]),
        (TrainingSpec, "held_out", [0, 0.5], [-0.1, 0.51, "0.2"]),
        (TrainingSpec, "weight_warm_up", [None], [{"fraction": 0}, {"scale": "cosine"}, 0.5]),
        (TrainingSpec, "warm_start", [[], [STAGE] * 100], [[STAGE] * 101, STAGE, [{}]]),
        (TrainingSpec, "until", ["steps", "settled"], ["end", None]),
        (TrainingSpec, "precision", ["float32", "bfloat16"], ["float16", 32, None]),
        (WeightWarmUp, "fraction", [1e-9, 0.5, 1], [0, 1.001, "0.5"]),
        (WeightWarmUp, "scale", ["linear", "logarithmic"], ["cosine"]),
        (DiagnosticsSpec, "evaluations_per_doubling", [1, 100], [0, 101]),
        (DiagnosticsSpec, "epochs", [[1], [3, 10_000_000], [1] * 1000], [[], [0], [1] * 1001]),
        (DiagnosticsSpec, "images", [5, 10_000], [4, 10_001]),
        (DiagnosticsSpec, "sigma", [1e-6, 1e6], [9e-7, 1.1e6]),
        (DiagnosticsSpec, "renyi_alpha", [0.75, 100], [0.74, 101]),
        (DiagnosticsSpec, "ruler", ["scaled", "absolute"], ["relative"]),
        (DiagnosticsSpec, "tau_std", [0, 1e6], [-0.1, 1.1e6]),
        (DiagnosticsSpec, "information_images", [0, 10_000], [-1, 10_001]),
        (DownstreamSpec, "factors", [["x"], ["x"] * 8], [[], ["x"] * 9]),
        (DownstreamSpec, "splits", [1, 20], [0, 21]),
        (DownstreamSpec, "allow_leak", [True, False], [1, "yes"]),
    ],
)
def test_a_field_has_the_range_that_is_documented(
    kind: type[SpecPart], field: str, inside: list[Any], outside: list[Any]
) -> None:
    for value in inside:
        assert kind.model_validate({field: value}).model_dump(mode="json")[field] == value
    for value in outside:
        with pytest.raises(ValidationError):
            kind.model_validate({field: value})


def test_every_field_of_these_parts_has_its_range_tested() -> None:
    (ranges,) = (mark.args[1] for mark in test_a_field_has_the_range_that_is_documented.pytestmark)
    tested = {(kind, field) for kind, field, *_ in ranges}

    assert tested == {
        (kind, field)
        for kind in (TrainingSpec, WeightWarmUp, DiagnosticsSpec, DownstreamSpec)
        for field in kind.model_fields
    }


@pytest.mark.parametrize("change", [{"weight": -1}, {"weight": 1.1e6}, {"steps": 0}])
def test_a_stage_has_a_weight_and_steps_like_any_training(change: dict[str, Any]) -> None:
    assert Stage.model_validate(STAGE).model_dump() == STAGE
    with pytest.raises(ValidationError):
        Stage.model_validate({**STAGE, **change})
