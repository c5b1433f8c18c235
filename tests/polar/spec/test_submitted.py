"""A whole spec comes from text and from files, and goes back to text."""

import pytest

from polar.errors import InvalidInput
from polar.spec import (
    BetaVAESpec,
    ExperimentSpec,
    MnistSpec,
    TrainingSpec,
)


def test_yaml_round_trip_keeps_the_spec() -> None:
    spec = ExperimentSpec(
        name="a: b", dataset=MnistSpec(images=10), model=BetaVAESpec(), seeds=(3, 1),
        training=TrainingSpec(batch_size=5, learning_rate=1e-5),
    )  # fmt: skip

    assert ExperimentSpec.from_yaml(spec.to_yaml()) == spec


@pytest.mark.parametrize("text", ["1e-3", "1E-3", "0.001", "1.0e-3", ".001"])
def test_every_spelling_of_a_number_is_a_number(text: str) -> None:
    spec = ExperimentSpec.from_yaml(f"dataset: {{name: digits}}\nmodel: {{beta: {text}}}")

    assert spec.model.weight == 1e-3


@pytest.mark.parametrize("text", ["a: [", "", "- 1", "3", "!!python/object:os.system {}"])
def test_text_that_is_no_spec_is_refused_with_a_reason(text: str) -> None:
    with pytest.raises(InvalidInput, match="spec"):
        ExperimentSpec.from_yaml(text)


def test_a_missing_file_is_named() -> None:
    with pytest.raises(InvalidInput, match=r"nowhere\.yaml"):
        ExperimentSpec.from_file("nowhere.yaml")
