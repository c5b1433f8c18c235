"""Downloads, from a server on this machine that can go wrong in every way that hosts do."""

import gzip
import hashlib
import http.server
import os
import re
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from polar.data import catalogue, download
from polar.data.download import checksum_like
from polar.errors import DatasetMissing, InvalidInput
from polar.spec.datasets import DATASETS, DSpritesSpec
from polar.spec.sources import Downloaded, SourceFile

CONTENT = os.urandom(700_000)
DIGEST = f"sha256:{hashlib.sha256(CONTENT).hexdigest()}"


class Seen(NamedTuple):
    """A request."""

    path: str
    range: str | None


class Host:
    """Serves `CONTENT` under every path; the faults of a path are its first answers."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.content = CONTENT
        self.knows_ranges = True
        #: By path: `drop` half-way, a status, or other content.
        self.faults: dict[str, list[str | int | bytes]] = {}
        self.seen: list[Seen] = []


def handler_of(host: Host) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            wanted = self.headers.get("Range")
            host.seen.append(Seen(self.path, wanted))
            faults = host.faults.get(self.path, [])
            fault = faults.pop(0) if faults else None
            if isinstance(fault, int):
                self.send_error(fault)
                return
            content = fault if isinstance(fault, bytes) else host.content
            begin = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted else 0
            if wanted and host.knows_ranges and begin >= len(content):
                self.send_error(416)
                return
            is_part = bool(wanted) and host.knows_ranges
            body = content[begin:] if is_part else content
            self.send_response(206 if is_part else 200)
            if is_part:
                last = len(content) - 1
                self.send_header("Content-Range", f"bytes {begin}-{last}/{len(content)}")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[: len(body) // 2] if fault == "drop" else body)

        def log_message(self, *_arguments: object) -> None:
            pass

    return Handler


@pytest.fixture
def host() -> Iterator[Host]:
    host = Host("")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler_of(host))
    host.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield host
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(autouse=True)
def without_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "FIRST_WAIT_S", 0.0)
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.fixture
def publish(host: Host, monkeypatch: pytest.MonkeyPatch) -> "Publish":
    return Publish(host, monkeypatch)


class Publish:
    """Lets dSprites be one file, at some paths of the host."""

    def __init__(self, host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
        self._host = host
        self._monkeypatch = monkeypatch

    def __call__(self, *paths: str, checksum: str = DIGEST, unpacked: str | None = None) -> None:
        urls = tuple(f"{self._host.url}{path}" for path in paths)
        file = SourceFile(("dsprites", "."), ("file",), urls, checksum, unpacked)
        self._monkeypatch.setattr(DSpritesSpec, "source", Downloaded((file,)))


def stored(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "dsprites").iterdir())


def test_a_file_is_fetched_whole_and_told_about(
    publish: Publish, host: Host, tmp_path: Path
) -> None:
    publish("/a")
    told: list[tuple[Path, int, int | None]] = []

    download.fetch("dsprites", tmp_path, lambda *piece: told.append(piece))

    path = tmp_path / "dsprites" / "file"
    assert path.read_bytes() == CONTENT
    assert stored(tmp_path) == ["file"]
    assert {(file, total) for file, _, total in told} == {(path, len(CONTENT))}
    assert [there for _, there, _ in told] == sorted({there for _, there, _ in told})
    assert told[-1][1] == len(CONTENT)
    assert host.seen == [Seen("/a", None)]


def test_a_file_that_is_there_is_left_alone(publish: Publish, host: Host, tmp_path: Path) -> None:
    publish("/a")
    (tmp_path / "dsprites").mkdir()
    (tmp_path / "dsprites" / "file").write_bytes(b"of the user")

    download.fetch("dsprites", tmp_path)

    assert (tmp_path / "dsprites" / "file").read_bytes() == b"of the user"
    assert host.seen == []


def test_a_packed_file_is_stored_unpacked(publish: Publish, host: Host, tmp_path: Path) -> None:
    host.content = gzip.compress(CONTENT)
    checksum = f"sha256:{hashlib.sha256(host.content).hexdigest()}"
    publish("/a.gz", checksum=checksum, unpacked=DIGEST)

    download.fetch("dsprites", tmp_path)

    assert (tmp_path / "dsprites" / "file").read_bytes() == CONTENT
    assert stored(tmp_path) == ["file"]


def test_a_dropped_connection_is_gone_on_with(
    publish: Publish, host: Host, tmp_path: Path
) -> None:
    publish("/a")
    host.faults["/a"] = ["drop", "drop"]

    download.fetch("dsprites", tmp_path)

    assert (tmp_path / "dsprites" / "file").read_bytes() == CONTENT
    half, rest = len(CONTENT) // 2, len(CONTENT) // 2 + len(CONTENT) // 4
    assert [seen.range for seen in host.seen] == [None, f"bytes={half}-", f"bytes={rest}-"]


def test_a_later_call_goes_on_where_the_first_stopped(
    publish: Publish, host: Host, tmp_path: Path
) -> None:
    publish("/a")
    host.faults["/a"] = ["drop", 503, 503, 503]

    with pytest.raises(DatasetMissing, match="503 Service Unavailable"):
        download.fetch("dsprites", tmp_path)
    first = stored(tmp_path)
    download.fetch("dsprites", tmp_path)

    assert first == ["file.part"]
    assert stored(tmp_path) == ["file"]
    assert (tmp_path / "dsprites" / "file").read_bytes() == CONTENT
    assert host.seen[-1].range == f"bytes={len(CONTENT) // 2}-"


def test_a_host_that_cannot_skip_is_asked_for_all(
    publish: Publish, host: Host, tmp_path: Path
) -> None:
    publish("/a")
    host.knows_ranges = False
    host.faults["/a"] = ["drop"]

    download.fetch("dsprites", tmp_path)

    assert (tmp_path / "dsprites" / "file").read_bytes() == CONTENT


@pytest.mark.parametrize(
    "half", [b"half of another file", CONTENT + b"and more", CONTENT[:-1] + b"?", CONTENT]
)
def test_what_was_there_before_cannot_spoil_a_file(
    half: bytes, publish: Publish, tmp_path: Path
) -> None:
    publish("/a")
    (tmp_path / "dsprites").mkdir()
    (tmp_path / "dsprites" / "file.part").write_bytes(half)

    download.fetch("dsprites", tmp_path)

    assert (tmp_path / "dsprites" / "file").read_bytes() == CONTENT


@pytest.mark.parametrize("fault", [403, 404, 410, b"<html>please log in</html>"])
def test_a_host_without_the_file_is_asked_once_and_the_next_one_instead(
    fault: int | bytes, publish: Publish, host: Host, tmp_path: Path
) -> None:
    publish("/a", "/b")
    host.faults["/a"] = [fault]

    download.fetch("dsprites", tmp_path)

    assert (tmp_path / "dsprites" / "file").read_bytes() == CONTENT
    assert [seen.path for seen in host.seen] == ["/a", "/b"]


@pytest.mark.parametrize("fault", [408, 429, 500, 502, 503])
def test_a_host_in_trouble_is_asked_again(
    fault: int, publish: Publish, host: Host, tmp_path: Path
) -> None:
    publish("/a")
    host.faults["/a"] = [fault, fault]

    download.fetch("dsprites", tmp_path)

    assert (tmp_path / "dsprites" / "file").read_bytes() == CONTENT


def test_the_error_names_every_host_and_its_reason(
    publish: Publish, host: Host, tmp_path: Path
) -> None:
    publish("/a", "/b", "/c")
    host.faults = {"/a": [403], "/b": [b"other"], "/c": [500] * download.TRIES}
    other = hashlib.sha256(b"other").hexdigest()

    with pytest.raises(DatasetMissing) as caught:
        download.fetch("dsprites", tmp_path)

    assert str(caught.value) == (
        f"dataset dsprites: file could not be fetched: {host.url}/a: 403 Forbidden; "
        f"{host.url}/b: it sent another file, sha256:{other}; expected {DIGEST}; "
        f"{host.url}/c: 500 Internal Server Error. Try again later, which goes on where this "
        f"stopped, or put the file at {tmp_path}/dsprites/file yourself"
    )
    assert [seen.path for seen in host.seen].count("/c") == download.TRIES


def test_a_host_that_is_down_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, host: Host
) -> None:
    gone = "http://127.0.0.1:1/file"  # tcpmux, which nobody runs
    file = SourceFile(("dsprites", "."), ("file",), (gone,), DIGEST)
    monkeypatch.setattr(DSpritesSpec, "source", Downloaded((file,)))

    with pytest.raises(DatasetMissing, match=re.escape(f"{gone}: [Errno 111] Connection refused")):
        download.fetch("dsprites", tmp_path)
    assert host.seen == []


def test_a_disk_without_room_is_told_before_anything_is_written(
    publish: Publish, host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish("/a")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Room(free=1000))

    with pytest.raises(
        DatasetMissing,
        match=r"cannot store .*/file: 700,000 bytes are missing, the disk has 1,000 left",
    ):
        download.fetch("dsprites", tmp_path)
    assert len(host.seen) == 1


class Room(NamedTuple):
    free: int


def test_a_folder_that_cannot_be_made_is_told(publish: Publish, tmp_path: Path) -> None:
    publish("/a")
    (tmp_path / "dsprites").write_text("a file")

    with pytest.raises(DatasetMissing, match=r"cannot store .*dsprites/file: (File exists|Not a)"):
        download.fetch("dsprites", tmp_path)


def test_two_at_the_same_time_fetch_once(publish: Publish, host: Host, tmp_path: Path) -> None:
    publish("/a")
    both = [threading.Thread(target=download.fetch, args=("dsprites", tmp_path)) for _ in range(2)]

    for thread in both:
        thread.start()
    for thread in both:
        thread.join()

    assert len(host.seen) == 1
    assert stored(tmp_path) == ["file"]
    assert (tmp_path / "dsprites" / "file").read_bytes() == CONTENT


@pytest.mark.parametrize("name", ["digits", "sprites"])
def test_what_is_not_downloaded_asks_nobody(name: str, tmp_path: Path) -> None:
    download.fetch(name, tmp_path)

    assert list(tmp_path.iterdir()) == []


def test_an_unknown_dataset_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=f"'cifar'; allowed: {', '.join(DATASETS)}"):
        download.fetch("cifar", tmp_path)


@pytest.mark.parametrize(
    "published",
    [file for name in DATASETS for file in catalogue.downloads(name)],
    ids=lambda file: file.names[0],
)
def test_every_file_has_addresses_and_well_formed_checksums(published: SourceFile) -> None:
    lengths = {"md5": 32, "sha256": 64}
    for checksum in filter(None, (published.checksum, published.unpacked)):
        kind, _, digits = checksum.partition(":")
        assert re.fullmatch(r"[0-9a-f]*", digits)
        assert len(digits) == lengths[kind]
    assert published.urls
    for url in published.urls:
        assert url.startswith("https://")
        assert url.split("/")[-1].removesuffix(".gz") == published.names[0]


def test_a_checksum_is_of_the_kind_that_is_expected(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"")

    with path.open("rb") as file:
        found = [checksum_like(f"{kind}:", file) for kind in ("md5", "sha256")]

    # of nothing, as RFC 1321 and FIPS 180 list them
    assert found == [
        "md5:d41d8cd98f00b204e9800998ecf8427e",
        "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    ]
