"""Images on disk: whole or not there, mapped rather than read, whoever else makes them."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from polar.data import catalogue
from polar.data.images import load
from polar.data.prepared import Block, stored, stored_for_now, stored_or_made
from polar.errors import DatasetError
from polar.spec import DigitsSpec

N, SIDE = 7, 4
IMAGES = np.arange(N * SIDE * SIDE, dtype=np.uint8).reshape(N, SIDE, SIDE)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv("POLAR_CACHE_DIR", str(folder))
    return folder


def blocks(*, fail: Exception | None = None) -> Iterator[Block]:
    """In no order, and the last of them may fail."""
    for places in ([6, 0], [3], [], [5, 1]):
        rows = np.array(places, dtype=np.int64)
        yield rows, IMAGES[rows]
    if fail:
        raise fail
    yield np.array([2, 4]), IMAGES[[2, 4]]


def must_not_be_made() -> Iterator[Block]:
    pytest.fail("the images were made again")
    yield


def files_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*"))


def test_images_come_in_the_order_of_their_places(cache: Path) -> None:
    images = stored("some", N, SIDE, blocks())

    assert images.dtype == torch.uint8
    assert np.array_equal(images.numpy(), IMAGES[:, None])
    assert files_in(cache) == ["some-4x4.npy"]


def test_the_file_is_one_that_numpy_reads(cache: Path) -> None:
    stored("some", N, SIDE, blocks())

    assert np.array_equal(np.load(cache / "some-4x4.npy"), IMAGES[:, None])


def test_images_on_disk_are_not_made_again() -> None:
    first = stored("some", N, SIDE, blocks())

    second = stored("some", N, SIDE, must_not_be_made())

    assert torch.equal(first, second)


def test_fewer_images_are_the_first_of_more(cache: Path) -> None:
    stored("some", N, SIDE, blocks())

    images = stored("some", 2, SIDE, must_not_be_made())

    assert np.array_equal(images.numpy(), IMAGES[:2, None])
    assert files_in(cache) == ["some-4x4.npy"]


def test_more_images_take_the_place_of_fewer(cache: Path) -> None:
    few = stored("some", 2, SIDE, [(np.array([1, 0]), IMAGES[[1, 0]])])

    images = stored("some", N, SIDE, blocks())

    assert np.array_equal(images.numpy(), IMAGES[:, None])
    assert np.array_equal(few.numpy(), IMAGES[:2, None])  # whoever has mapped the few keeps them
    assert files_in(cache) == ["some-4x4.npy"]


def test_images_are_mapped_and_not_read() -> None:
    n, side = 4096, 64  # 16 MiB
    black = np.zeros((n, side, side), np.uint8)
    images = stored("large", n, side, [(np.arange(n), black)])

    mapped = Path("/proc/self/smaps").read_text().partition("large-64x64.npy")[2]

    resident_kib = int(mapped.partition("Rss:")[2].split()[0])
    assert resident_kib < 1024  # the header's page, and those that the kernel reads ahead
    assert images.shape == (n, 1, side, side)


def test_a_change_of_the_images_stays_in_the_process(cache: Path) -> None:
    images = stored("some", N, SIDE, blocks())
    before = (cache / "some-4x4.npy").read_bytes()

    images[0] += 1

    assert (cache / "some-4x4.npy").read_bytes() == before
    assert np.array_equal(stored("some", N, SIDE, must_not_be_made())[0, 0].numpy(), IMAGES[0])


@pytest.mark.parametrize("error", [DatasetError("the file is damaged"), KeyboardInterrupt()])
def test_making_that_fails_leaves_nothing(error: BaseException, cache: Path) -> None:
    def failing() -> Iterator[Block]:
        yield np.array([0]), IMAGES[:1]
        raise error

    with pytest.raises(type(error)):
        stored("some", N, SIDE, failing())

    assert files_in(cache) == []


def test_after_a_failure_they_are_made_anew() -> None:
    with pytest.raises(DatasetError, match="damaged"):
        stored("some", N, SIDE, blocks(fail=DatasetError("damaged")))

    images = stored("some", N, SIDE, blocks())

    assert np.array_equal(images.numpy(), IMAGES[:, None])


#: Makes white images, of which the first are enough to say that it has begun.
MAKER = """
import os, sys
import numpy as np
from polar.data.prepared import stored
def blocks():
    for place in range(7):
        print("making", flush=True)
        sys.stdin.readline()
        yield np.array([place]), np.full((1, 4, 4), 255, np.uint8)
print(int(stored("some", 7, 4, blocks()).sum()), flush=True)
"""


def start_maker() -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", MAKER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def test_of_two_processes_one_makes_them_and_the_other_waits(cache: Path) -> None:
    makers = [start_maker(), start_maker()]
    for maker in makers:  # both at once: whoever is first needs its lines for the other to go on
        assert maker.stdin is not None
        maker.stdin.write("\n" * N)
        maker.stdin.flush()
    made = [maker.communicate(timeout=120)[0].splitlines() for maker in makers]

    assert [lines[-1] for lines in made] == [str(255 * N * SIDE * SIDE)] * 2
    assert sorted(lines.count("making") for lines in made) == [0, N]
    assert files_in(cache) == ["some-4x4.npy"]


def test_what_a_killed_process_left_is_not_taken_for_images(cache: Path) -> None:
    maker = start_maker()
    assert maker.stdout is not None
    assert maker.stdout.readline() == "making\n"

    maker.send_signal(signal.SIGKILL)
    maker.communicate(timeout=60)
    left = files_in(cache)
    images = stored("some", N, SIDE, blocks())

    assert left == ["some-4x4.npy.part"]
    assert np.array_equal(images.numpy(), IMAGES[:, None])
    assert files_in(cache) == ["some-4x4.npy"]


def cut(content: bytes) -> bytes:
    return content[:-1]


def flipped(content: bytes) -> bytes:
    return content[:200] + bytes([content[200] ^ 1]) + content[201:]


@pytest.mark.parametrize("damage", [lambda _: b"", lambda _: b"nonsense", cut, flipped])
@pytest.mark.parametrize("large", [10, 10_000_000])
def test_a_damaged_file_is_made_again(
    large: int, damage: Callable[[bytes], bytes], cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalogue, "LARGE", large)
    monkeypatch.setattr(catalogue, "SETTLED_S", 0)
    path = cache / "some-4x4.npy"
    for _ in range(2):
        stored("some", N, SIDE, blocks())
    whole = path.read_bytes()
    path.write_bytes(damage(whole))

    images = stored("some", N, SIDE, blocks())

    assert np.array_equal(images.numpy(), IMAGES[:, None])
    assert path.read_bytes() == whole


def test_a_pipe_in_place_of_a_file_is_replaced(cache: Path) -> None:
    cache.mkdir()
    os.mkfifo(cache / "some-4x4.npy")

    images = stored("some", N, SIDE, blocks())

    assert np.array_equal(images.numpy(), IMAGES[:, None])
    assert (cache / "some-4x4.npy").is_file()


def test_a_file_of_another_name_is_not_believed(cache: Path) -> None:
    stored("other", N, SIDE, [(np.arange(N), 255 - IMAGES)])
    (cache / "other-4x4.npy").rename(cache / "some-4x4.npy")

    images = stored("some", N, SIDE, blocks())

    assert np.array_equal(images.numpy(), IMAGES[:, None])


@pytest.mark.parametrize("large", [10, 10_000_000])
def test_a_file_that_other_code_has_made_is_not_believed(
    large: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalogue, "LARGE", large)
    monkeypatch.setattr(catalogue, "SETTLED_S", 0)
    with monkeypatch.context() as other_code:
        other_code.setattr("polar.data.prepared.SCIENCE_VERSION", 0)
        for _ in range(2):  # the second one remembers the digest of a large file
            stored("some", N, SIDE, [(np.arange(N), 255 - IMAGES)])

    images = stored("some", N, SIDE, blocks())

    assert np.array_equal(images.numpy(), IMAGES[:, None])


def test_a_large_file_is_read_once_and_not_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogue, "LARGE", 10)
    monkeypatch.setattr(catalogue, "SETTLED_S", 0)
    for _ in range(2):  # the second one reads it
        stored("some", N, SIDE, blocks())
    monkeypatch.setattr("polar.data.prepared._digest", lambda *_: pytest.fail("it was read"))

    images = stored("some", N, SIDE, must_not_be_made())

    assert np.array_equal(images.numpy(), IMAGES[:, None])


def test_an_array_is_kept_as_it_is_and_made_once() -> None:
    factors = torch.arange(12).reshape(6, 2)

    first = stored_or_made("factors", lambda: factors)
    second = stored_or_made("factors", lambda: pytest.fail("it was made again"))

    assert torch.equal(first, factors)
    assert torch.equal(second, factors)
    assert second.dtype == torch.int64


def test_an_array_that_cannot_be_kept_is_made_each_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("POLAR_CACHE_DIR", str(tmp_path / "file" / "cache"))

    assert torch.equal(stored_or_made("factors", lambda: torch.arange(3)), torch.arange(3))


@pytest.fixture
def no_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user without a home, whose temporary folder belongs to somebody else."""
    for variable in ("POLAR_CACHE_DIR", "XDG_CACHE_HOME"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("HOME", "/nonexistent")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr("os.getuid", lambda: 12345)
    (tmp_path / "polar-cache-12345").mkdir()


@pytest.mark.usefixtures("no_cache")
def test_where_no_cache_may_be_used_arrays_are_made_each_time() -> None:
    assert torch.equal(stored_or_made("factors", lambda: torch.arange(3)), torch.arange(3))
    assert len(load(DigitsSpec()).images) == 1797


@pytest.mark.usefixtures("no_cache")
def test_where_no_cache_may_be_used_digests_are_taken_each_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    small = catalogue.digest("digits")
    monkeypatch.setattr(catalogue, "LARGE", 10)

    assert catalogue.digest("digits") == small


def test_a_cache_that_cannot_be_written_is_named_with_a_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A file in the way, since no permission stops root, as whom some run tests.
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("POLAR_CACHE_DIR", str(tmp_path / "file" / "cache"))
    told = r"file/cache.* cannot be stored.*POLAR_CACHE_DIR"

    with pytest.raises(DatasetError, match=told):
        stored("some", N, SIDE, blocks())
    with pytest.raises(DatasetError, match=told):
        stored_for_now(N, SIDE, blocks())


def test_unkept_images_are_the_same_and_leave_no_file(cache: Path) -> None:
    images = stored_for_now(N, SIDE, blocks())

    assert np.array_equal(images.numpy(), IMAGES[:, None])
    assert os.listdir(cache) == []
