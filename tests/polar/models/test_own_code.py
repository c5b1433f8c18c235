"""A model of a user is its code: changed code is another model, and is imported anew."""

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from polar.errors import InvalidInput
from polar.models import build
from polar.spec import ExperimentSpec, ImageShape, OwnModelSpec
from polar.spec.own_models import allowed_here, code_here

EXAMPLE = Path(__file__).parents[3] / "polar" / "examples" / "own_models"


def copy_of_lab(folder: Path, addition: str = "") -> None:
    """The example's package, as its author has changed it since."""
    (folder / "lab_models.py").write_text((EXAMPLE / "lab_models.py").read_text() + addition)


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder on the path with a package that is allowed."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("POLAR_MODEL_PACKAGES", "lab_models")
    copy_of_lab(tmp_path)
    importlib.invalidate_caches()
    yield tmp_path
    sys.modules.pop("lab_models", None)


TINY = {
    "dataset": {"name": "digits", "images": 60},
    "model": {
        **{"name": "own", "class": "lab_models:MlpVAE", "latent_dim": 3},
        "fields": {"hidden": 16, "widths": [4, 4, 4, 4, 4]},
    },
    "training": {"steps": 4, "batch_size": 20},
}


def test_changed_code_is_another_model(lab: Path) -> None:
    before = ExperimentSpec.model_validate(TINY)
    copy_of_lab(lab, "# changed")
    after = ExperimentSpec.model_validate(TINY)

    assert isinstance(before.model, OwnModelSpec)
    assert isinstance(after.model, OwnModelSpec)
    assert before.model.code != after.model.code
    assert before.content_hash() != after.content_hash()
    assert "lab_models" not in sys.modules  # a digest imports nothing
    assert build(after.model, ImageShape(1, 32), (), torch.Generator())
    with pytest.raises(InvalidInput, match="is other code on this machine"):
        build(before.model, ImageShape(1, 32), (), torch.Generator())


def test_a_process_that_stays_takes_the_code_that_is_there(lab: Path) -> None:
    # A findings child that had imported a package went on with code that was gone.
    marks = []
    for addition in ("MlpVAE.mark = 1", "MlpVAE.mark = 2222"):
        copy_of_lab(lab, addition)
        spec = ExperimentSpec.model_validate(TINY)
        marks.append(build(spec.model, ImageShape(1, 32), (), torch.Generator()).mark)  # type: ignore[attr-defined]

    assert marks == [1, 2222]


def test_a_kept_model_outlives_its_code_with_a_warning(lab: Path, tmp_path: Path) -> None:
    import polar

    list(polar.run(ExperimentSpec.model_validate(TINY), out=tmp_path / "out"))
    polar.load(tmp_path / "out")
    copy_of_lab(lab, "# changed")

    with pytest.warns(UserWarning, match="the code of lab_models:MlpVAE has changed since"):
        assert polar.load(tmp_path / "out").spec.model.label == "MlpVAE"


@pytest.mark.usefixtures("lab")
def test_a_kept_model_of_a_package_that_is_not_allowed_is_not_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import polar

    list(polar.run(ExperimentSpec.model_validate(TINY), out=tmp_path / "out"))
    sys.modules.pop("lab_models")
    monkeypatch.delenv("POLAR_MODEL_PACKAGES")

    with pytest.raises(InvalidInput, match=r"^the model lab_models:MlpVAE may not be imported"):
        polar.load(tmp_path / "out")
    assert "lab_models" not in sys.modules


@pytest.mark.usefixtures("lab")
def test_packages_that_are_not_installed_are_not_offered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("POLAR_MODEL_PACKAGES", "nowhere lab_models")

    allowed = allowed_here()

    assert list(allowed.packages) == ["lab_models"]
    assert allowed.code_of("lab_models:Anything") == code_here("lab_models:MlpVAE")
    assert allowed.code_of("lab_models") is None
    assert allowed.code_of("lab_models_too:Net") is None
    assert allowed.code_of("nowhere:Net") is None
