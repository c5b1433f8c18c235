"""A spec that names added images is completed by what is known of them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from polar.errors import InvalidInput
from polar.spec import ExperimentSpec, StudySpec, shape_of
from polar.spec.own_images import AddedImages, known_images, on_this_machine

KNOWN = {
    "cells": AddedImages(
        digest="ab" * 32,
        side=96,
        channels=3,
        factors={"kind": 4, "plate": 2},
        images=500,
        note="padded",
    ),
    "plain": AddedImages(digest="cd" * 32, side=32, channels=1, factors={}, images=500),
}


@pytest.fixture(autouse=True)
def _known() -> Iterator[None]:
    before = known_images.set(lambda: KNOWN)
    yield
    known_images.reset(before)


def experiment(name: str = "cells", model: str = "beta_vae", **parts: Any) -> dict[str, Any]:  # noqa: ANN401
    dataset = {"name": "images", "added": name, **parts.pop("dataset", {})}
    return {
        "dataset": dataset,
        "model": {"name": model, "latent_dim": 4},
        "training": {"batch_size": 20},
        **parts,
    }


def test_what_is_known_of_the_images_is_filled_in() -> None:
    spec = ExperimentSpec.from_content(experiment())

    assert spec.dataset.model_dump() == {
        "name": "images",
        "added": "cells",
        "digest": "ab" * 32,
        "side": 96,
        "channels": 3,
        "factors": {"kind": 4, "plate": 2},
        "images": 500,
    }
    assert shape_of(spec.dataset) == (3, 96)
    assert shape_of(spec.dataset).values == 3 * 96 * 96
    assert spec.dataset.label == "cells"


def test_a_completed_spec_needs_nobody_who_knows_the_images() -> None:
    spec = ExperimentSpec.from_content(experiment(dataset={"images": 100}))
    known_images.set(dict)

    assert ExperimentSpec.from_yaml(spec.to_yaml()) == spec
    assert spec.dataset.images == 100


def test_an_ivae_is_told_the_first_factor_unless_others_are_named() -> None:
    assert ExperimentSpec.from_content(experiment(model="ivae")).u == ("kind",)
    with pytest.raises(InvalidInput, match="/model/u"):
        ExperimentSpec.from_content(experiment("plain", model="ivae"))


def test_the_images_decide_the_hash() -> None:
    spec = ExperimentSpec.from_content(experiment())
    other = KNOWN["cells"].model_copy(update={"digest": "ef" * 32})
    known_images.set(lambda: {"cells": other})

    assert ExperimentSpec.from_content(experiment()).content_hash() != spec.content_hash()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (experiment("cell"), r"/dataset/added: no images were added .*Did you mean 'cells'"),
        (experiment(dataset={"images": 501}), r"/dataset/images: cells has fewer images .*to 500"),
        (
            {"dataset": {"name": "images", "path": "x"}, "model": {}},
            r"/dataset/path: the images of a path are added first",
        ),
        (experiment(dataset={"side": 50, "digest": "ab" * 32}), "/dataset/side"),
        (experiment("plain", downstream={}), "no factors that could be predicted"),
        (
            {"dataset": {"name": "images"}, "model": {}},
            r"/dataset: nothing says which images.*allowed: path: FOLDER_OR_FILE, or added",
        ),
        ({"dataset": {"name": "images", "added": 3}, "model": {}}, "/dataset/added"),
    ],
)
def test_faults_name_the_field_and_what_is_allowed(content: object, words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        ExperimentSpec.from_content(content)


def test_a_study_is_completed_too_and_its_faults_are_below_its_base() -> None:
    search = {"model.beta": {"log_uniform": [0.1, 10.0]}}
    spec = StudySpec.from_content({"base": experiment(), "search": search})

    assert spec.base.dataset.label == "cells"
    with pytest.raises(InvalidInput, match="/base/dataset/added: no images were added"):
        StudySpec.from_content({"base": experiment("cell"), "search": search})


def test_the_schema_asks_only_for_what_people_write() -> None:
    schema = ExperimentSpec.model_json_schema()["$defs"]["OwnImagesSpec"]

    assert schema["required"] == ["name", "added"]


def test_damaged_and_unfinished_ones_are_not_on_this_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POLAR_DATA_DIR", str(tmp_path))
    for name, text in {
        "cells": KNOWN["cells"].model_dump_json(),
        ".ab.part": KNOWN["cells"].model_dump_json(),
        "torn": "{",
        "other": '{"digest": 3}',
    }.items():
        (tmp_path / "own" / name).mkdir(parents=True)
        (tmp_path / "own" / name / "about.json").write_text(text)
    (tmp_path / "own" / "empty").mkdir()

    assert on_this_machine() == {"cells": KNOWN["cells"]}
