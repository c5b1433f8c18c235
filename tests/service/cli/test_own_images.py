"""Specs with a path of images: they are added first, and the spec then names them."""

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image
from typer.testing import CliRunner

from polar.errors import InvalidInput
from polar.spec.own_images import on_this_machine
from service.cli import app
from service.cli.own_images import content_of
from service.exit_codes import FAILED


@pytest.fixture(autouse=True)
def data_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("POLAR_DATA_DIR", str(tmp_path / "data"))
    np.save(tmp_path / "cells.npy", np.zeros((6, 32, 32), np.uint8))
    return tmp_path / "data"


def content(folder: Path, dataset: object, **more: object) -> Any:  # noqa: ANN401
    path = folder / "spec.yaml"
    path.write_text(yaml.safe_dump({"dataset": dataset, "model": {}, **more}))
    return content_of(path)


def test_a_path_starts_at_the_folder_of_the_spec(tmp_path: Path) -> None:
    read = content(tmp_path, {"name": "images", "path": "cells.npy", "images": 5})

    assert read["dataset"] == {"name": "images", "added": "cells", "images": 5}
    assert list(on_this_machine()) == ["cells"]


def test_a_table_a_side_and_a_name_are_obeyed(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("kind\n" + "a\nb\n" * 3)
    how = {"table": "labels.csv", "side": 64, "added": "large"}

    read = content(tmp_path, {"name": "images", "path": "cells.npy", **how})

    assert read["dataset"] == {"name": "images", "added": "large"}
    known = on_this_machine()["large"]
    assert (known.side, known.factors) == (64, {"kind": 2})


def test_the_base_of_a_study_is_completed(tmp_path: Path) -> None:
    path = tmp_path / "study.yaml"
    base = {"dataset": {"name": "images", "path": "cells.npy"}, "model": {}}
    path.write_text(yaml.safe_dump({"base": base, "search": {}}))

    assert content_of(path) == {
        "base": {"dataset": {"name": "images", "added": "cells"}, "model": {}},
        "search": {},
    }


def test_a_class_of_torchvision_is_added(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class VisionDataset:
        pass

    class Plain(VisionDataset):
        def __init__(self, root: Path) -> None:
            self.root = root

        def __len__(self) -> int:
            return 5

        def __getitem__(self, place: int) -> tuple[Image.Image, int]:
            return Image.fromarray(np.full((28, 28), place, np.uint8)), place % 2

    module: Any = ModuleType("torchvision.datasets")
    module.VisionDataset, module.Plain = VisionDataset, Plain
    monkeypatch.setitem(sys.modules, "torchvision.datasets", module)
    monkeypatch.setitem(sys.modules, "torchvision", ModuleType("torchvision"))

    read = content(tmp_path, {"name": "torchvision", "class": "Plain"})

    assert read["dataset"] == {"name": "images", "added": "plain"}
    assert on_this_machine()["plain"].factors == {"class": 2}


@pytest.mark.parametrize(
    "dataset", [{"name": "digits"}, {"name": "images", "added": "cells"}, "digits", None, [1]]
)
def test_other_specs_stay_as_they_are(tmp_path: Path, dataset: object) -> None:
    assert content(tmp_path, dataset)["dataset"] == dataset
    assert on_this_machine() == {}


def test_a_path_that_is_no_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"/dataset/path is 3; allowed: text"):
        content(tmp_path, {"name": "images", "path": 3})


@pytest.mark.parametrize("command", [("submit",), ("validate",), ("study", "create")])
def test_damaged_images_end_a_command_in_one_line(
    tmp_path: Path, command: tuple[str, ...]
) -> None:
    (tmp_path / "torn.npy").write_bytes(b"torn")
    content_of_spec = {"dataset": {"name": "images", "path": "torn.npy"}, "model": {}}
    (tmp_path / "spec.yaml").write_text(yaml.safe_dump(content_of_spec))

    url = ["--url", "http://127.0.0.1:9"]  # nobody is asked before the images are read
    done = CliRunner().invoke(app, [*command, str(tmp_path / "spec.yaml"), *url])

    assert done.exit_code == FAILED
    assert done.stderr.startswith("error: ")
    assert "torn.npy is no file of NumPy" in done.stderr
    assert done.stderr.count("\n") == 1
