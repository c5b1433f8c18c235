"""A model of a user is its code: changed code is another model, and is imported anew."""

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from polar.errors import InvalidInput
from polar.models import build
from polar.models.own import class_of
from polar.spec import ExperimentSpec, ImageShape, OwnModelSpec
from polar.spec.own_models import allowed_here, code_here, digest_of

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


TINY: dict[str, Any] = {
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


@pytest.mark.parametrize("fault", ["no such class", "code that fails"])
def test_code_is_taken_anew_after_a_fault_too(fault: str, lab: Path) -> None:
    # After one failed import the process trained old code under the digest of the new.
    if fault == "no such class":
        with pytest.raises(InvalidInput, match="there is no model"):
            class_of("lab_models.nowhere:MlpVAE")
    else:
        class_of("lab_models:MlpVAE")
        copy_of_lab(lab, "1 / 0")
        with pytest.raises(InvalidInput, match=r"ZeroDivision.* at .*lab_models.py, line \d+"):
            class_of("lab_models:MlpVAE")
    marks = []
    for addition in ("MlpVAE.mark = 1", "MlpVAE.mark = 2222"):
        copy_of_lab(lab, addition)
        marks.append(class_of("lab_models:MlpVAE").mark)

    assert marks == [1, 2222]


@pytest.mark.usefixtures("lab")
def test_the_code_is_filled_in_however_the_class_is_named() -> None:
    code = ExperimentSpec.model_validate(TINY).model.code  # type: ignore[union-attr]
    assert code is not None
    model = {name: value for name, value in TINY["model"].items() if name != "class"}
    for other in (
        {**TINY["model"], "code": None},  # as a spec that was written where nobody knew it
        {**model, "kind": TINY["model"]["class"]},
    ):
        spec = ExperimentSpec.model_validate({**TINY, "model": other})
        assert isinstance(spec.model, OwnModelSpec)
        assert spec.model.code == code


def test_links_that_lead_nowhere_are_not_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # An editor's lock file made the whole package one that is not installed.
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "lab_nets").mkdir()
    (tmp_path / "lab_nets" / "__init__.py").write_text("")
    importlib.invalidate_caches()
    before = digest_of("lab_nets")
    (tmp_path / "lab_nets" / ".#nets.py").symlink_to("somebody@here:1")

    assert before is not None
    assert digest_of("lab_nets") == before


def test_a_kept_model_outlives_its_code_with_a_warning(lab: Path, tmp_path: Path) -> None:
    import polar

    list(polar.run(ExperimentSpec.model_validate(TINY), out=tmp_path / "out"))
    polar.load(tmp_path / "out")
    copy_of_lab(lab, "# changed")

    with pytest.warns(UserWarning, match="the code of lab_models:MlpVAE has changed since"):
        assert polar.load(tmp_path / "out").spec.model.label == "lab_models.MlpVAE"


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
