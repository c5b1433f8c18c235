"""The example studies that travel with the package."""

from importlib.resources import files

import pytest

from polar.spec import StudySpec

EXAMPLES = {
    path.name: path.read_text()
    for path in files("polar.examples").joinpath("studies").iterdir()
    if path.name.endswith(".yaml")
}


@pytest.mark.parametrize("text", EXAMPLES.values(), ids=EXAMPLES)
def test_an_example_looks_for_the_range_of_its_models_weight(text: str) -> None:
    spec = StudySpec.from_yaml(text)

    assert list(spec.swept) == [f"model.{spec.base.model.weight_name}"]
    assert spec.sampler == "range"
    assert spec.name


def test_every_weight_has_an_example() -> None:
    specs = [StudySpec.from_yaml(text) for text in EXAMPLES.values()]

    assert {field for spec in specs for field in spec.swept} == {
        "model.alpha",
        "model.beta",
        "model.gamma",
        "model.lambda",
    }
