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
def test_an_example_sweeps_the_weight_of_its_model_with_several_seeds(text: str) -> None:
    spec = StudySpec.from_yaml(text)

    assert list(spec.swept) == [f"model.{spec.base.model.weight_name}"]
    assert len(spec.base.seeds) >= 3
    assert spec.name
