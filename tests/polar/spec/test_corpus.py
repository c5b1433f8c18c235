"""A spec in YAML and the same in JSON are the same spec, or have the same faults."""

import pytest

from polar.errors import InvalidInput
from polar.spec import ExperimentSpec, StudySpec
from tests.spec_corpus import CORPUS, TWICE, Example


@pytest.mark.parametrize("example", CORPUS, ids=lambda example: example.yaml)
def test_yaml_and_json_are_read_alike(example: Example) -> None:
    kind = StudySpec if "base" in example.yaml else ExperimentSpec

    if not example.faults:
        assert kind.from_yaml(example.yaml) == kind.from_yaml(example.json)
        return
    said = []
    for text in (example.yaml, example.json):
        with pytest.raises(InvalidInput) as caught:
            kind.from_yaml(text)
        said.append(str(caught.value).splitlines()[1:])

    assert said[0] == said[1]
    assert len(said[0]) == len(example.faults)
    for line, (pointer, words) in zip(said[0], example.faults.items(), strict=True):
        assert line.startswith(f"  {pointer or '/'}: ")
        assert words in line


@pytest.mark.parametrize("text", [TWICE.yaml, TWICE.json])
def test_a_key_twice_is_refused_in_both(text: str) -> None:
    with pytest.raises(InvalidInput, match="'beta' is given twice"):
        ExperimentSpec.from_yaml(text)
