"""Pictures of every kind of file are read as they are, and what cannot be read is named."""

import io
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from PIL import Image

from polar.data.picture_sources import factors_of_table, pictures
from polar.data.pictures import Pictures
from polar.errors import DatasetCorrupt, DatasetMissing, InvalidInput

GREY = np.arange(6 * 4 * 4, dtype=np.uint8).reshape(6, 4, 4)
COLOUR = np.random.default_rng(0).integers(0, 256, (6, 4, 4, 3), dtype=np.uint8)


def read(path: Path | str, data_dir: Path = Path("nowhere")) -> Pictures:
    return pictures(str(path), data_dir)


def stacked(found: Pictures) -> NDArray[np.uint8]:
    every = np.stack(list(found.each()))
    assert every.dtype == np.uint8
    assert len(every) == found.n
    return every


def png(picture: NDArray[np.uint8], kind: str = "PNG") -> bytes:
    file = io.BytesIO()
    Image.fromarray(picture).save(file, kind)
    return file.getvalue()


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (GREY, GREY[..., None]),
        (GREY[..., None], GREY[..., None]),
        (GREY[:, None], GREY[..., None]),
        (COLOUR, COLOUR),
        (COLOUR.transpose(0, 3, 1, 2), COLOUR),
        (np.asfortranarray(COLOUR), COLOUR),
    ],
    ids=["grey", "channel last", "channel first", "colour", "colour first", "fortran"],
)
def test_arrays_are_read_in_every_usual_layout(
    tmp_path: Path, array: NDArray[np.uint8], expected: NDArray[np.uint8]
) -> None:
    np.save(tmp_path / "x.npy", array)

    assert (stacked(read(tmp_path / "x.npy")) == expected).all()


@given(arrays(np.float32, (2, 3, 3), elements=st.floats(0, 1, width=32)))
def test_floats_are_the_nearest_of_256_values(
    tmp_path_factory: pytest.TempPathFactory, array: NDArray[np.float32]
) -> None:
    path = tmp_path_factory.mktemp("floats") / "x.npy"
    np.save(path, array)

    assert np.abs(stacked(read(path))[..., 0] / 255 - array).max() <= 0.5 / 255 + 1e-7


@pytest.mark.parametrize("value", [-0.01, 1.01, np.nan, np.inf])
def test_floats_out_of_range_are_refused(tmp_path: Path, value: float) -> None:
    array = np.zeros((6, 4, 4))
    array[3, 1, 2] = value
    np.save(tmp_path / "x.npy", array)

    with pytest.raises(InvalidInput, match=r"image 3 of .* allowed: floats from 0 to 1"):
        stacked(read(tmp_path / "x.npy"))


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.zeros((6, 4, 4), np.int64), "int64; allowed: uint8, or floats from 0 to 1"),
        (np.zeros((6, 16), np.uint8), r"shape \(6, 16\); allowed"),
        (np.zeros((6, 4, 4, 2), np.uint8), r"shape \(6, 4, 4, 2\); allowed"),
        (np.zeros((0, 4, 4), np.uint8), r"shape \(0, 4, 4, 1\); allowed"),
    ],
)
def test_arrays_that_hold_no_images_are_refused(
    tmp_path: Path, array: NDArray[Any], words: str
) -> None:
    np.save(tmp_path / "x.npy", array)

    with pytest.raises(InvalidInput, match=words):
        read(tmp_path / "x.npy")


def test_arrays_beside_the_images_are_factors(tmp_path: Path) -> None:
    shape = np.array(["disc", "star"] * 3)
    classes = np.arange(12).reshape(6, 2)
    np.savez(tmp_path / "x.npz", imgs=GREY, shape=shape, latents=classes, other=np.arange(5))

    found = read(tmp_path / "x.npz")

    assert (stacked(found)[..., 0] == GREY).all()
    assert found.factors == {
        "shape": ["disc", "star"] * 3,
        "latents-0": classes[:, 0].tolist(),
        "latents-1": classes[:, 1].tolist(),
    }


def test_no_code_in_a_file_is_run(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[Callable[..., object], tuple[str]]:
            return (pytest.fail, ("code of the file was run",))

    objects = np.array([Bomb()] * 6, dtype=object)
    np.save(tmp_path / "bomb.npy", objects)
    np.savez(tmp_path / "bomb.npz", images=GREY, label=objects)

    with pytest.raises(DatasetCorrupt, match=r"bomb.npy is no file of NumPy"):
        read(tmp_path / "bomb.npy")
    assert read(tmp_path / "bomb.npz").factors == {}


@pytest.mark.parametrize("name", ["x.npy", "x.npz", "x.parquet"])
@pytest.mark.parametrize("content", [b"", b"no file of this kind", b"PK\x03\x04", b"PAR1"])
def test_files_of_another_kind_are_damaged(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)

    with pytest.raises(DatasetCorrupt, match=name):
        read(tmp_path / name)


def test_several_arrays_of_images_are_ambiguous(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", left=GREY, right=GREY)

    with pytest.raises(InvalidInput, match=r"arrays left, right; allowed: the images as `images`"):
        read(tmp_path / "x.npz")


def test_folders_of_pictures_are_a_factor(tmp_path: Path) -> None:
    for place, picture in enumerate(COLOUR):
        folder = tmp_path / ("cats" if place % 2 else "dogs")
        folder.mkdir(exist_ok=True)
        (folder / f"{place}.PNG").write_bytes(png(picture))
    (tmp_path / "notes.txt").write_text("no picture")

    found = read(tmp_path)

    order = [1, 3, 5, 0, 2, 4]
    assert (stacked(found) == COLOUR[order]).all()
    assert found.factors == {"folder": ["cats"] * 3 + ["dogs"] * 3}
    assert found.names[0] == "cats/1.PNG"


def test_grey_pictures_stay_grey_unless_one_has_colours(tmp_path: Path) -> None:
    for place, picture in enumerate(GREY):
        (tmp_path / f"{place}.png").write_bytes(png(picture))
    assert (stacked(read(tmp_path))[..., 0] == GREY).all()
    assert read(tmp_path).factors == {}

    (tmp_path / "9.png").write_bytes(png(COLOUR[0]))

    every = stacked(read(tmp_path))
    assert (every[:6] == GREY[..., None]).all()
    assert (every[6] == COLOUR[0]).all()


def test_every_kind_of_picture_becomes_bytes(tmp_path: Path) -> None:
    deep = Image.fromarray(GREY[1].astype(np.uint16) * 257)
    deep.save(tmp_path / "16 bits.png")
    Image.fromarray(GREY[1] > 18).save(tmp_path / "black and white.png")

    bits, ink = stacked(read(tmp_path))[..., 0]

    assert (bits == GREY[1]).all()
    assert (ink == np.where(GREY[1] > 18, 255, 0)).all()


def test_what_is_transparent_is_black(tmp_path: Path) -> None:
    picture = np.full((4, 4, 4), 200, np.uint8)
    picture[:2, :, 3], picture[2:, :, 3] = 0, 255
    Image.fromarray(picture).save(tmp_path / "x.png")

    (seen,) = stacked(read(tmp_path))

    assert (seen[:2] == 0).all()
    assert (seen[2:] == 200).all()


def test_a_damaged_picture_is_named(tmp_path: Path) -> None:
    (tmp_path / "fine.png").write_bytes(png(COLOUR[0]))
    large = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    (tmp_path / "torn.png").write_bytes(png(large)[:3000])

    with pytest.raises(DatasetCorrupt, match=r"torn.png is no picture that can be read"):
        stacked(read(tmp_path))


@pytest.mark.parametrize("wrap", [lambda png: png, lambda png: {"bytes": png, "path": None}])
def test_a_column_of_pictures_is_read_from_parquet(
    tmp_path: Path, wrap: Callable[[bytes], object]
) -> None:
    table = pa.table(
        {
            "image": [wrap(png(picture)) for picture in COLOUR],
            "label": list(range(6)),
            "kind": ["a", "b"] * 3,
        }
    )
    pq.write_table(table, tmp_path / "x.parquet", row_group_size=4)

    found = read(tmp_path / "x.parquet")

    assert (stacked(found) == COLOUR).all()
    assert found.factors == {"label": list(range(6)), "kind": ["a", "b"] * 3}


def test_grey_pictures_of_a_column_stay_grey(tmp_path: Path) -> None:
    deep = io.BytesIO()
    Image.fromarray(GREY[1].astype(np.uint16) * 257).save(deep, "PNG")
    table = pa.table({"image": [png(GREY[0]), deep.getvalue()]})
    pq.write_table(table, tmp_path / "x.parquet")

    assert (stacked(read(tmp_path / "x.parquet"))[..., 0] == GREY[:2]).all()


def test_a_row_that_is_no_picture_is_named(tmp_path: Path) -> None:
    pq.write_table(pa.table({"image": [png(COLOUR[0]), b"torn"]}), tmp_path / "x.parquet")

    with pytest.raises(DatasetCorrupt, match=r"row 1 of .*x.parquet is no picture"):
        stacked(read(tmp_path / "x.parquet"))


def test_a_parquet_file_with_damaged_pages_is_named(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    pq.write_table(pa.table({"image": [png(noise)] * 6}), path, compression="zstd")
    content = bytearray(path.read_bytes())
    content[4:40] = bytes(36)  # the header of the first page
    path.write_bytes(content)

    with pytest.raises(DatasetCorrupt, match=r"x.parquet is no Parquet file that can be read"):
        stacked(read(path))


def test_a_table_without_pictures_says_what_it_has(tmp_path: Path) -> None:
    pq.write_table(pa.table({"label": [1, 2]}), tmp_path / "x.parquet")

    with pytest.raises(InvalidInput, match=r"columns label, of which 0 hold pictures"):
        read(tmp_path / "x.parquet")


@pytest.mark.parametrize("name", ["gone.npy", "x.txt", "empty"])
def test_other_paths_are_refused_with_what_is_allowed(tmp_path: Path, name: str) -> None:
    (tmp_path / "x.txt").write_text("text")
    (tmp_path / "empty").mkdir()

    with pytest.raises(InvalidInput, match=r"allowed: .*\.png and \.jpg files"):
        read(tmp_path / name)


def write_table(folder: Path, text: str) -> Path:
    path = folder / "factors.csv"
    path.write_text(text, "utf-8")
    return path


def folder_of(tmp_path: Path) -> Pictures:
    for name in ("a", "b"):
        (tmp_path / f"{name}.png").write_bytes(png(COLOUR[0]))
    return read(tmp_path)


def test_a_table_is_joined_by_the_names_of_pictures(tmp_path: Path) -> None:
    found = folder_of(tmp_path)
    table = write_table(tmp_path, "file,size,kind\nb.png,2,x\nother.png,9,z\na.png,10,y\n")

    assert factors_of_table(table, found) == {"size": [10, 2], "kind": ["y", "x"]}


@pytest.mark.parametrize(
    "names", [("up/a.png", "up/b.png"), ("up/a", "up/b"), ("a.png", "b.png"), ("a", "b")]
)
def test_a_name_is_as_much_of_the_path_as_names_one_picture(
    names: tuple[str, str], tmp_path: Path
) -> None:
    # Names without the folder were joined by order, which gave factors of other pictures.
    (tmp_path / "up").mkdir()
    folder_of(tmp_path / "up")
    table = write_table(tmp_path, f"file,size\n{names[1]},2\n{names[0]},10\n")

    assert factors_of_table(table, read(tmp_path)) == {"size": [10, 2]}


def test_a_name_that_two_pictures_share_names_neither(tmp_path: Path) -> None:
    for part in ("up", "down"):
        (tmp_path / part).mkdir()
        folder_of(tmp_path / part)
    table = write_table(tmp_path, "file\na.png\nb.png\nc.png\nd.png\n")

    with pytest.raises(InvalidInput, match=r"allowed: names such as down/a\.png, or no such"):
        factors_of_table(table, read(tmp_path))


def test_a_table_without_names_belongs_to_the_pictures_in_order(tmp_path: Path) -> None:
    found = folder_of(tmp_path)

    table = write_table(tmp_path, "size,kind\n1.5,x\n2,y\n\n")

    assert factors_of_table(table, found) == {"size": [1.5, 2], "kind": ["x", "y"]}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "cannot be read"),
        ("size\n1\n", "has 1 rows; allowed: 2, one for each picture"),
        ("file,size\na.png,1\n", "no row for 1 of 2 pictures, such as b.png"),
        ("file,size\na.png\nb.png,2\n", "has 2 columns and a row of 1"),
        ("file,size\nx.png,1\ny.png,2\n", r"has names, such as x\.png, and no picture has one"),
        ("file,size\n", "has 0 rows; allowed: 2"),
        ("size,size\n1,2\n3,4\n", "has the columns size, size; allowed: each name once"),
    ],
)
def test_tables_that_do_not_fit_are_refused(tmp_path: Path, text: str, words: str) -> None:
    found = folder_of(tmp_path)

    with pytest.raises(InvalidInput, match=words):
        factors_of_table(write_table(tmp_path, text), found)


@pytest.fixture
def torchvision(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """As torchvision is built: classes of pictures with targets, made from a root folder."""

    class VisionDataset:
        pass

    class Fashion(VisionDataset):
        classes = ("shirt", "shoe")

        def __init__(self, root: Path, train: bool = True, download: bool = False) -> None:
            assert train
            assert download
            self.root, self.targets = root, [1, 0, 1, 0, 0, 1]

        def __len__(self) -> int:
            return 6

        def __getitem__(self, place: int) -> tuple[Image.Image, int]:
            return Image.fromarray(GREY[place]), self.targets[place]

    class Offline(VisionDataset):
        def __init__(self, root: Path, download: bool = False) -> None:
            raise RuntimeError(f"there is no net for {root}, download {download}")

    package, module = ModuleType("torchvision"), ModuleType("torchvision.datasets")
    module.VisionDataset, module.Fashion, module.Offline = VisionDataset, Fashion, Offline  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torchvision", package)
    monkeypatch.setitem(sys.modules, "torchvision.datasets", module)
    return module


@pytest.mark.usefixtures("torchvision")
def test_a_dataset_of_torchvision_is_read_with_its_targets(tmp_path: Path) -> None:
    found = read("torchvision:Fashion", tmp_path)

    assert (stacked(found)[..., 0] == GREY).all()
    words = ["shoe", "shirt", "shoe", "shirt", "shirt", "shoe"]
    assert found.factors == {"class": words}


@pytest.mark.usefixtures("torchvision")
def test_what_torchvision_does_not_have_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="torchvision has no dataset 'Nothing'"):
        read("torchvision:Nothing", tmp_path)
    with pytest.raises(DatasetMissing, match=r"cannot get Offline into .*: there is no net"):
        read("torchvision:Offline", tmp_path)


def test_without_torchvision_its_datasets_are_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torchvision.datasets", None)

    with pytest.raises(DatasetMissing, match="pip install torchvision"):
        read("torchvision:FashionMNIST", tmp_path)
