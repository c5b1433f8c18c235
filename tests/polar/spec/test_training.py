"""Specs of training, measuring and the downstream task: the ends of every range."""

from typing import Any

import pytest
from pydantic import ValidationError

from polar.spec import DiagnosticsSpec, DownstreamSpec, SpecPart, TrainingSpec


@pytest.mark.parametrize(
    ("kind", "field", "inside", "outside"),
    [
        (TrainingSpec, "steps", [1, 10_000_000], [0, 10_000_001]),
        (TrainingSpec, "batch_size", [1, 65_536], [0, 65_537]),
        (TrainingSpec, "learning_rate", [1e-300, 1], [0, 1.0001]),
        (TrainingSpec, "checkpoint_every", [1, 10**15], [0, 10**15 + 1]),
        (DiagnosticsSpec, "evaluations", [2, 1000], [1, 1001]),
        (DiagnosticsSpec, "epochs", [[1], [3, 10_000_000], [1] * 1000], [[], [0], [1] * 1001]),
        (DiagnosticsSpec, "images", [5, 10_000], [4, 10_001]),
        (DiagnosticsSpec, "sigma", [1e-6, 1e6], [9e-7, 1.1e6]),
        (DiagnosticsSpec, "renyi_alpha", [0.75, 100], [0.74, 101]),
        (DiagnosticsSpec, "tau", [0, 10], [-0.1, 10.1]),
        (DiagnosticsSpec, "tau_rule", ["fixed", "gap", "otsu", "mixture"], ["mean", 1]),
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


def test_every_field_of_the_three_has_its_range_tested() -> None:
    (ranges,) = (mark.args[1] for mark in test_a_field_has_the_range_that_is_documented.pytestmark)
    tested = {(kind, field) for kind, field, *_ in ranges}

    assert tested == {
        (kind, field)
        for kind in (TrainingSpec, DiagnosticsSpec, DownstreamSpec)
        for field in kind.model_fields
    }
