"""The example specs that travel with the package."""

import json
from importlib.resources import files
from pathlib import Path

import pytest

from polar.experiment import run as experiment
from polar.records.events import Result
from polar.spec import DATASETS, MODELS, ExperimentSpec

EXAMPLES = {
    path.name: ExperimentSpec.from_yaml(path.read_text())
    for path in files("polar.examples").iterdir()
    if path.name.endswith(".yaml")
}


def test_every_dataset_has_an_example() -> None:
    assert {spec.dataset.name for spec in EXAMPLES.values()} == set(DATASETS)


def test_every_model_of_the_paper_has_an_example() -> None:
    shown = {spec.model.name for spec in EXAMPLES.values()}

    # two are controls, and own models have a package for an example
    assert shown == set(MODELS) - {"ae", "fixed_variance_vae", "own"}


def test_the_example_of_an_own_model_is_a_spec() -> None:
    example = files("polar.examples") / "own_models" / "mlp_vae.yaml"
    spec = ExperimentSpec.from_yaml(example.read_text())

    assert spec.model.label == "lab_models.MlpVAE"


def test_no_two_examples_have_the_same_name() -> None:
    names = [spec.name for spec in EXAMPLES.values()]

    assert len(set(names)) == len(names)
    assert all(names)


@pytest.mark.parametrize("spec", EXAMPLES.values(), ids=EXAMPLES)
def test_an_example_says_the_same_when_it_is_written_out(spec: ExperimentSpec) -> None:
    assert ExperimentSpec.from_yaml(spec.to_yaml()) == spec


def test_the_sprites_run_without_a_download_and_say_what_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POLAR_CACHE_DIR", str(tmp_path / "cache"))
    spec = EXAMPLES["sprites.yaml"].model_dump()
    short = ExperimentSpec.model_validate(
        {
            **spec,
            "dataset": {**spec["dataset"], "images": 200},
            "training": {**spec["training"], "steps": 6},
            "diagnostics": {"evaluations_per_doubling": 1, "images": 100},
        }
    )

    *_, last = experiment.run(short, out=tmp_path / "out")

    result = json.loads((tmp_path / "out" / "result.json").read_text())
    assert isinstance(last, Result)
    assert result["spec_hash"] == short.content_hash()
    assert "drawn by Polar" in json.dumps(result)
