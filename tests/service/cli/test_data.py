"""The datasets of this machine: what is here, fetching it from a server of the test, checking."""

import dataclasses
import functools
import gzip
import hashlib
import http.server
import importlib.util
import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from polar.data import catalogue, download
from polar.folders import cache_dir
from polar.spec.datasets import DATASETS, DSPRITES_FILE, DSpritesSpec, MnistSpec
from polar.spec.sources import Downloaded, SourceFile
from service.cli import app
from service.exit_codes import FAILED, REFUSED

IMAGES, LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("POLAR_DATA_DIR", raising=False)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(download, "FIRST_WAIT_S", 0.0)


def polar_data(*arguments: str) -> tuple[int, str, str]:
    done = CliRunner().invoke(app, ["data", *arguments], catch_exceptions=False)
    return done.exit_code, done.stdout, done.stderr


def answer(*arguments: str) -> Any:  # noqa: ANN401
    code, out, _ = polar_data(*arguments, "-o", "json")
    assert code == 0
    return json.loads(out)


def sha256(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def write_mnist(images: bytes = b"images", labels: bytes = b"labels") -> Path:
    raw = Path("data/MNIST/raw")
    raw.mkdir(parents=True)
    (raw / IMAGES).write_bytes(images)
    (raw / LABELS).write_bytes(labels)
    return raw


@pytest.fixture
def published_mnist(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the files of `write_mnist` were those of MNIST."""
    contents = (b"images", b"labels")
    files = tuple(
        dataclasses.replace(file, urls=(), checksum="sha256:0", unpacked=sha256(content))
        for file, content in zip(catalogue.downloads("mnist"), contents, strict=True)
    )
    monkeypatch.setattr(MnistSpec, "source", Downloaded(files))


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_arguments: object) -> None:
        pass


@pytest.fixture
def served(tmp_path: Path) -> Iterator[str]:
    """The address of the folder `served`."""
    folder = tmp_path / "served"
    folder.mkdir()
    handler = functools.partial(_Quiet, directory=str(folder))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def published_dsprites(served: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As if dSprites were a few bytes that the server has."""
    Path("served/file").write_bytes(b"sprites")
    folders, names, urls = ("dsprites", "."), (DSPRITES_FILE,), (f"{served}/file",)
    file = SourceFile(folders, names, urls, sha256(b"sprites"))
    monkeypatch.setattr(DSpritesSpec, "source", Downloaded((file,)))


def test_the_list_tells_of_every_dataset_whether_it_is_here() -> None:
    write_mnist()

    found = {row["name"]: row for row in answer("list", "--data-dir", "data")}

    assert list(found) == list(DATASETS)
    expected = {
        "digits": "here",
        "mnist": "here",
        "smallnorb": "missing",
        "dsprites": "missing",
        "sprites": "here",
    }
    assert {name: found[name]["state"] for name in expected} == expected
    assert found["mnist"] == {
        "name": "mnist",
        "state": "here",
        "bytes": 12,
        "digest": hashlib.sha256(b"imageslabels").hexdigest(),
        "where": "data/MNIST/raw",
    }
    assert found["sprites"]["where"] == "drawn by Polar"
    assert "no file data/dsprites/" in found["dsprites"]["where"]


def test_without_a_folder_the_list_says_where_it_looked_and_what_to_do() -> None:
    found = {row["name"]: row for row in answer("list")}

    assert found["digits"]["state"] == "here"
    assert found["mnist"]["state"] == "missing"
    assert str(cache_dir() / "data" / "MNIST") in found["mnist"]["where"]
    assert found["mnist"]["where"].endswith("; polar data fetch mnist")


def test_nothing_is_fetched_of_what_is_no_download(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)  # no scikit-learn

    (digits,) = (row for row in answer("list") if row["name"] == "digits")

    assert digits["state"] == "missing"
    assert digits["where"].endswith("it ships with scikit-learn, which is not installed")


def test_the_folder_of_the_environment_is_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    write_mnist()
    monkeypatch.setenv("POLAR_DATA_DIR", "data")

    found = {row["name"]: row["state"] for row in answer("list")}

    assert found["mnist"] == "here"


def test_what_is_broken_does_not_keep_the_rest_from_the_list() -> None:
    raw = write_mnist()
    (raw / IMAGES).unlink()
    (raw / IMAGES).mkdir()

    found = {row["name"]: row for row in answer("list", "--data-dir", "data")}

    assert found["mnist"]["state"] == "broken"
    assert f"cannot read data/MNIST/raw/{IMAGES}" in found["mnist"]["where"]
    assert found["digits"]["state"] == "here"


def test_the_list_is_a_table_for_people() -> None:
    code, out, _ = polar_data("list", "--data-dir", "data")

    header, *rows = out.splitlines()
    assert code == 0
    assert header.split() == ["name", "state", "bytes", "digest", "where"]
    assert [row.split()[0] for row in rows] == list(DATASETS)
    (digits,) = (row for row in rows if row.startswith("digits "))
    assert digits.split()[3] == catalogue.digest("digits")


def test_a_path_is_the_folder_of_a_dataset_whether_or_not_it_is_there() -> None:
    code, out, _ = polar_data("path", "mnist", "--data-dir", "data")

    assert (code, out) == (0, "data/MNIST/raw\n")
    assert answer("path", "mnist", "--data-dir", "data") == "data/MNIST/raw"


def test_the_sprites_have_no_path() -> None:
    code, out, errors = polar_data("path", "sprites")

    assert (code, out) == (2, "")
    assert errors == "error: dataset sprites has no files: Polar draws it\n"


@pytest.mark.usefixtures("published_mnist")
def test_what_was_published_is_verified() -> None:
    write_mnist()

    checked = answer("verify", "mnist", "--data-dir", "data")

    assert [Path(file["path"]).name for file in checked] == [IMAGES, LABELS]
    assert [file["state"] for file in checked] == ["published", "published"]
    assert checked[0]["checksum"] == checked[0]["published"] == sha256(b"images")


@pytest.mark.usefixtures("published_mnist")
def test_what_is_different_or_missing_fails_and_is_named() -> None:
    raw = write_mnist(images=b"other images")
    (raw / LABELS).unlink()

    code, out, _ = polar_data("verify", "mnist", "--data-dir", "data", "-o", "json")

    images, labels = json.loads(out)
    assert code == 1
    assert (images["state"], labels["state"]) == ("different", "missing")
    assert images["checksum"] == sha256(b"other images")
    assert images["published"] == sha256(b"images")
    assert labels["checksum"] is None


def test_a_dataset_that_nobody_published_is_verified_without_comparing() -> None:
    (checked,) = answer("verify", "digits")

    assert checked["state"] == "unpublished"
    assert checked["checksum"].startswith("sha256:")
    assert checked["published"] is None


@pytest.mark.usefixtures("published_mnist")
def test_a_pipe_in_the_place_of_a_file_is_not_waited_for() -> None:
    raw = write_mnist()
    (raw / LABELS).unlink()
    os.mkfifo(raw / LABELS)

    code, out, errors = polar_data("verify", "mnist", "--data-dir", "data")

    assert (code, out) == (1, "")
    assert f"data/MNIST/raw/{LABELS} is no regular file" in errors


@pytest.mark.usefixtures("published_mnist")
def test_a_file_that_cannot_be_read_is_an_error_of_one_line() -> None:
    raw = write_mnist()
    (raw / LABELS).unlink()
    (raw / LABELS).mkdir()

    code, out, errors = polar_data("verify", "mnist", "--data-dir", "data")

    assert (code, out) == (1, "")
    assert errors == (
        f"error: dataset mnist: cannot read data/MNIST/raw/{LABELS}: Is a directory\n"
    )


@pytest.mark.usefixtures("published_dsprites")
def test_a_dataset_is_fetched_and_then_here() -> None:
    (fetched,) = answer("fetch", "dsprites", "--data-dir", "new")

    path = Path("new/dsprites", DSPRITES_FILE)
    assert path.read_bytes() == b"sprites"
    assert (fetched["state"], fetched["bytes"]) == ("here", 7)
    assert fetched["digest"] == hashlib.sha256(b"sprites").hexdigest()
    (checked,) = answer("verify", "dsprites", "--data-dir", "new")
    assert checked["state"] == "published"


@pytest.mark.usefixtures("published_dsprites")
def test_a_failing_download_is_one_line_that_names_the_address(served: str) -> None:
    Path("served/file").unlink()

    code, out, errors = polar_data("fetch", "dsprites", "--data-dir", "new")

    assert (code, out) == (1, "")
    assert errors.startswith(f"error: dataset dsprites: {DSPRITES_FILE} could not be fetched")
    assert f"{served}/file: 404 File not found" in errors
    assert errors.count("\n") == 1


@pytest.mark.usefixtures("published_dsprites")
def test_a_download_without_a_folder_goes_where_agents_look(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("POLAR_CACHE_DIR", "cache")

    (fetched,) = answer("fetch", "dsprites")

    assert fetched["state"] == "here"
    assert fetched["where"] == "cache/data/dsprites"
    assert "dsprites" in catalogue.available()  # which is what agents offer


@pytest.mark.usefixtures("published_mnist")
def test_gzipped_mnist_under_its_other_name_is_verified_by_its_content_and_not_fetched() -> None:
    Path("data").mkdir()
    for name, content in ((IMAGES, b"images"), (LABELS, b"labels")):
        dotted = name.replace("-idx", ".idx")
        Path("data", f"{dotted}.gz").write_bytes(gzip.compress(content))

    checked = answer("verify", "mnist", "--data-dir", "data")
    (fetched,) = answer("fetch", "mnist", "--data-dir", "data")  # which has nowhere to ask

    assert [file["state"] for file in checked] == ["published", "published"]
    assert fetched["digest"] == hashlib.sha256(b"imageslabels").hexdigest()


@pytest.mark.usefixtures("published_mnist")
def test_a_gzipped_file_that_is_cut_is_told_by_verify() -> None:
    raw = write_mnist()
    (raw / f"{IMAGES}.gz").write_bytes(gzip.compress(b"images")[:-4])
    (raw / IMAGES).unlink()

    code, _, errors = polar_data("verify", "mnist", "--data-dir", "data")

    assert code == 1
    assert f"cannot unpack data/MNIST/raw/{IMAGES}.gz: Compressed file ended" in errors


@pytest.mark.parametrize("name", ["digits", "sprites"])
def test_what_is_always_here_is_fetched_without_a_folder(name: str) -> None:
    (fetched,) = answer("fetch", name)

    assert fetched["state"] == "here"


@pytest.mark.parametrize("command", ["fetch", "verify", "path"])
def test_an_unknown_dataset_is_refused_with_the_known_ones(command: str) -> None:
    code, out, errors = polar_data(command, "cifar", "--data-dir", "data")

    assert (code, out) == (2, "")
    assert errors == f"error: there is no dataset 'cifar'; allowed: {', '.join(DATASETS)}\n"


@pytest.fixture
def pictures() -> Path:
    np.savez("cells.npz", images=np.zeros((6, 32, 32, 3), np.uint8), kind=np.arange(6) % 2)
    return Path("cells.npz")


def test_images_are_added_listed_and_removed(pictures: Path) -> None:
    added = answer("add", str(pictures), "--data-dir", "data")

    assert (added["name"], added["images"], added["channels"]) == ("cells", 6, 3)
    listed = {each["name"]: each for each in answer("list", "--data-dir", "data")}
    assert listed["cells"]["state"] == "here"
    assert listed["cells"]["digest"] == added["digest"]
    assert answer("path", "cells", "--data-dir", "data").endswith("data/own/cells")
    code, _, said = polar_data("remove", "cells", "--data-dir", "data")
    assert (code, said) == (0, "cells is removed\n")
    assert "cells" not in {each["name"] for each in answer("list", "--data-dir", "data")}


def test_images_that_cannot_be_added_are_refused_in_one_line(pictures: Path) -> None:
    np.save("large.npy", np.zeros((6, 100, 100), np.uint8))

    code, out, said = polar_data("add", "large.npy")
    assert (code, out) == (REFUSED, "")
    assert "--side 96` scales them" in said
    code, _, said = polar_data("add", str(pictures), "--name", "mnist")
    assert code == REFUSED
    assert "that of a published dataset" in said
    code, _, said = polar_data("remove", "cells")
    assert code == FAILED
    assert "no images were added as cells" in said
