"""Images that a user adds are those that a run trains on."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import polar
from polar.data import catalogue, images, own_images
from polar.data.order import order
from polar.data.picture_sources import factors_of_table, pictures
from polar.errors import DatasetCorrupt, DatasetError, DatasetMissing, InvalidInput
from polar.spec import ExperimentSpec
from polar.spec.own_images import on_this_machine

RANDOM = np.random.default_rng(0)
COLOUR = RANDOM.integers(0, 256, (40, 32, 32, 3), dtype=np.uint8)


@pytest.fixture(autouse=True)
def data_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("POLAR_DATA_DIR", str(tmp_path / "data"))
    return tmp_path / "data"


@pytest.fixture
def colours(tmp_path: Path) -> Path:
    path = tmp_path / "My colours.npz"
    np.savez(path, images=COLOUR, kind=np.arange(40) % 4, word=np.array(["b", "a"] * 20))
    return path


def spec_of(name: str, **dataset: object) -> ExperimentSpec:
    return ExperimentSpec.model_validate(
        {
            "dataset": {"name": "images", "added": name, **dataset},
            "model": {},
            "training": {"batch_size": 5},
        }
    )


def test_added_images_are_those_that_are_loaded(colours: Path) -> None:
    name, about = polar.add_images(colours)

    assert name == "my-colours"
    assert (about.images, about.side, about.channels) == (40, 32, 3)
    assert about.factors == {"kind": 4, "word": 2}
    loaded = images.load(spec_of(name).dataset)
    rows = order(about.digest, 40)
    assert (loaded.images.numpy() == COLOUR[rows].transpose(0, 3, 1, 2)).all()
    assert loaded.factors[:, 0].tolist() == (rows % 4).tolist()
    assert loaded.factors[:, 1].tolist() == (1 - rows % 2).tolist()
    assert loaded.digest == about.digest == catalogue.digest(name)
    assert loaded.name == name


def test_images_without_factors_have_none(tmp_path: Path) -> None:
    np.save(tmp_path / "plain.npy", COLOUR[:10, ..., 0])

    name, about = polar.add_images(tmp_path / "plain.npy")

    assert about.factors == {}
    assert images.load(spec_of(name).dataset).factors.shape == (10, 0)


def test_where_they_came_from_and_what_their_values_were_is_kept(
    colours: Path, data_dir: Path
) -> None:
    polar.add_images(colours)

    origin = json.loads((data_dir / "own" / "my-colours" / "origin.json").read_text())
    assert origin["source"] == str(colours)
    assert origin["values"] == {"kind": ["0", "1", "2", "3"], "word": ["a", "b"]}


def test_factors_of_too_many_or_missing_values_are_left_out(
    tmp_path: Path, data_dir: Path
) -> None:
    n = 1001
    score = np.where(np.arange(n) < 2, np.nan, 1.0)
    black = np.zeros((n, 32, 32), np.uint8)
    arrays: dict[str, Any] = {"id": np.arange(n), "score": score, "n" * 101: np.zeros(n)}
    np.savez(tmp_path / "x.npz", images=black, **arrays)

    _, about = polar.add_images(tmp_path / "x.npz")

    assert about.factors == {}
    origin = json.loads((data_dir / "own" / "x" / "origin.json").read_text())
    assert origin["left_out"] == {
        "id": "1,001 values",
        "score": "no value for 2 images",
        "n" * 101: "a name of 101 characters",
    }


def test_images_of_28_are_padded_and_say_so(tmp_path: Path) -> None:
    small = RANDOM.integers(1, 256, (6, 28, 28), dtype=np.uint8)
    np.save(tmp_path / "small.npy", small)

    name, about = polar.add_images(tmp_path / "small.npy")

    loaded = images.load(spec_of(name).dataset)
    assert about.side == 32
    assert loaded.note == "padded with black from 28x28 to 32x32"
    inner = loaded.images[:, 0, 2:30, 2:30].numpy()
    assert (inner == small[order(about.digest, 6)]).all()
    assert loaded.images.sum() == small.sum(dtype=np.int64)


@pytest.mark.parametrize(
    ("height", "width", "nearest"), [(100, 100, 96), (30, 30, 32), (64, 32, 32), (500, 400, 256)]
)
def test_other_sizes_are_refused_with_the_nearest(
    tmp_path: Path, height: int, width: int, nearest: int
) -> None:
    np.save(tmp_path / "x.npy", np.zeros((6, height, width), np.uint8))

    with pytest.raises(InvalidInput) as refusal:
        polar.add_images(tmp_path / "x.npy")

    assert f"{width}x{height} pixels" in str(refusal.value)
    assert f"--side {nearest}" in str(refusal.value)
    _, about = polar.add_images(tmp_path / "x.npy", side=nearest)
    assert about.side == nearest


def test_pictures_of_several_sizes_are_refused_unless_they_are_scaled(tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for place in range(6):
        side = 32 if place < 5 else 64
        Image.fromarray(np.full((side, side + place, 3), 40 * place, np.uint8)).save(
            folder / f"{place}.png"
        )

    with pytest.raises(InvalidInput, match="image 1 of"):
        polar.add_images(folder)

    name, about = polar.add_images(folder, side=32)
    loaded = images.load(spec_of(name).dataset).images
    assert loaded.shape == (6, 3, 32, 32)
    values = loaded.flatten(1)
    assert (values == values[:, :1]).all()  # a plain picture stays plain
    assert sorted(values[:, 0].tolist()) == [40 * place for place in range(6)]
    assert about.images == 6


def test_the_same_images_are_added_once_and_others_are_refused(
    colours: Path, tmp_path: Path
) -> None:
    first = polar.add_images(colours)
    assert polar.add_images(colours) == first
    np.save(tmp_path / "others.npy", COLOUR[:, ::-1])

    with pytest.raises(InvalidInput, match="other images were added as my-colours"):
        polar.add_images(tmp_path / "others.npy", "my-colours")

    own_images.remove("my-colours")
    _, second = polar.add_images(tmp_path / "others.npy", "my-colours")
    assert second.digest != first[1].digest


def test_what_failed_leaves_nothing_behind(tmp_path: Path, data_dir: Path) -> None:
    bad = np.zeros((40, 32, 32))
    bad[39] = 2
    np.save(tmp_path / "bad.npy", bad)

    with pytest.raises(InvalidInput):
        polar.add_images(tmp_path / "bad.npy")

    assert list((data_dir / "own").iterdir()) == []
    assert on_this_machine() == {}


@pytest.mark.parametrize("name", ["A", "a b", "../a", "-a", "a/b", "mnist", "images", "a" * 65])
def test_names_that_would_mean_something_else_are_refused(colours: Path, name: str) -> None:
    with pytest.raises(InvalidInput, match="the name"):
        polar.add_images(colours, name)


@pytest.mark.parametrize("name", ["images.npy", "factors.npy"])
def test_changed_files_are_not_the_dataset_any_more(
    colours: Path, data_dir: Path, name: str
) -> None:
    polar.add_images(colours)
    spec = spec_of("my-colours")
    path = data_dir / "own" / "my-colours" / name
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)

    with pytest.raises(DatasetError, match="has digest"):
        images.load(spec.dataset)


def test_damaged_files_are_named(colours: Path, data_dir: Path) -> None:
    polar.add_images(colours)
    (data_dir / "own" / "my-colours" / "images.npy").write_bytes(b"torn")

    with pytest.raises(DatasetCorrupt, match=r"images\.npy is damaged"):
        own_images.read("my-colours")


def test_removed_images_are_missing(colours: Path) -> None:
    polar.add_images(colours)
    spec = spec_of("my-colours")
    own_images.remove("my-colours")

    with pytest.raises(InvalidInput, match="there is no dataset 'my-colours'"):
        images.load(spec.dataset)
    with pytest.raises(DatasetMissing, match="no images were added as my-colours"):
        own_images.remove("my-colours")


def test_fewer_images_are_contained_in_more(colours: Path) -> None:
    polar.add_images(colours)

    few = images.load(spec_of("my-colours", images=10).dataset)
    every = images.load(spec_of("my-colours").dataset)

    assert torch.equal(few.images, every.images[:10])


@given(st.lists(st.one_of(st.integers(-3, 3), st.text(max_size=2)), min_size=1))
def test_equal_values_have_the_same_number_and_numbers_begin_at_0(values: list[int | str]) -> None:
    codes, words = own_images.coded(values)

    assert sorted(set(codes)) == list(range(len(words)))
    assert [words[code] for code in codes] == [str(value) for value in values]


def test_numbers_are_numbered_by_size_and_words_by_their_letters() -> None:
    assert own_images.coded([10, 9, 9.5]) == ([2, 0, 1], ["9", "9.5", "10"])
    assert own_images.coded(["b", "a"]) == ([1, 0], ["a", "b"])


def test_numbers_name_pictures_only_where_they_differ(tmp_path: Path) -> None:
    # Labels that are also names of some pictures were taken for names.
    folder, table = tmp_path / "p", tmp_path / "factors.csv"
    folder.mkdir()
    for place in range(12):
        Image.new("L", (32, 32)).save(folder / f"{place}.png")
    found = pictures(str(folder), tmp_path)

    table.write_text("\n".join(["label", *(str(place % 3) for place in range(12))]))
    assert factors_of_table(table, found) == {"label": [0, 1, 2] * 4}
    table.write_text("\n".join(["id,squared", *(f"{n},{n * n}" for n in range(12))]))
    in_order_of_paths = [int(Path(name).stem) ** 2 for name in found.names]
    assert factors_of_table(table, found) == {"squared": in_order_of_paths}
    # With a typing mistake in one number, all rows were joined by order, nearly all to others.
    ids = [*range(11), 12]
    table.write_text("\n".join(["id,squared", *(f"{n},{n * n}" for n in ids)]))
    with pytest.raises(InvalidInput, match="no row for 1 of 12 pictures, such as 11; allowed"):
        factors_of_table(table, found)
    table.write_text("\n".join(["size", *(str(n) for n in range(100, 112))]))
    assert factors_of_table(table, found) == {"size": list(range(100, 112))}
