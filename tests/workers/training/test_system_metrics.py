"""What a run takes of its machine, as somebody who watches its processes sees it.

This file needs no fixture of ours, so that a machine with a GPU and little else can try it.
"""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from types import SimpleNamespace

import psutil
import pytest

from workers.training import system_metrics
from workers.training.child import gpu_of
from workers.training.messages import OnGpu, from_line
from workers.training.system_metrics import (
    SAMPLE_S,
    Gpu,
    Means,
    Processes,
    Sample,
    Watch,
    of_machine,
)

PATIENCE_S = 60.0
#: How often these tests take a sample.
QUICK_S = 0.05
OF_ALL = {
    "cpu_utilization_percentage",
    "process_memory_usage_megabytes",
    "system_memory_usage_megabytes",
    "system_memory_usage_percentage",
}
WORKS = "x = bytearray(200_000_000)\nprint(flush=True)\nwhile True: pass"
#: It has 100 MB, and has started a process that has 100 MB and works.
HAS_STARTED_ANOTHER = """
import subprocess, sys
x = bytearray(100_000_000)
subprocess.Popen([sys.executable, "-c", '''
y = bytearray(100_000_000)
print(flush=True)
while True: pass
'''])
sys.stdin.read()
"""
MULTIPLIES = """
import torch
x = torch.rand(8192, 8192, device="cuda")
print(flush=True)
while True:
    x @ x
    torch.cuda.synchronize()
"""


@contextmanager
def process(program: str) -> Iterator[int]:
    """The process of this program, once it has printed a line; all of its group end with it."""
    with subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        process_group=0,
    ) as started:
        assert started.stdout
        assert started.stdout.readline()
        try:
            yield started.pid
        finally:
            os.killpg(started.pid, 9)


@pytest.fixture
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system_metrics, "SAMPLE_S", QUICK_S)


def until(claim: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not claim():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def is_watched(pid: int) -> bool:
    return f"system metrics of process {pid}" in {each.name for each in threading.enumerate()}


def test_a_process_that_works_takes_what_it_takes() -> None:
    with process(WORKS) as pid:
        before = sum(psutil.Process(pid).cpu_times()[:2])
        began_at = time.monotonic()
        processes = Processes(pid)
        until(lambda: sum(psutil.Process(pid).cpu_times()[:2]) > before + 0.2)

        sample = processes.sample()

        took_s = time.monotonic() - began_at
        most_s = sum(psutil.Process(pid).cpu_times()[:2]) - before
    assert 0.15 < sample["cpu_utilization_percentage"] / 100 * took_s <= most_s * 1.01 + 0.02
    assert 200 < sample["process_memory_usage_megabytes"] < 250


def test_what_a_process_has_started_counts_with_it() -> None:
    with process(HAS_STARTED_ANOTHER) as pid:
        processes = Processes(pid)
        first = processes.sample()
        (started,) = psutil.Process(pid).children()
        before = sum(started.cpu_times()[:2])
        until(lambda: sum(started.cpu_times()[:2]) > before + 0.2)

        second = processes.sample()
        started.kill()
        until(lambda: started.status() == psutil.STATUS_ZOMBIE)
        third = processes.sample()

    assert 200 < first["process_memory_usage_megabytes"] < 300
    assert second["cpu_utilization_percentage"] > 0
    assert 100 < third["process_memory_usage_megabytes"] < 150


def test_a_process_that_has_ended_has_no_sample() -> None:
    with process(WORKS) as pid:
        processes = Processes(pid)
    with pytest.raises(psutil.NoSuchProcess):
        processes.sample()
    with pytest.raises(psutil.NoSuchProcess):
        Processes(pid)


def test_the_memory_of_the_machine_is_a_part_of_all() -> None:
    sample = of_machine()

    used, percent = sample.values()
    assert used * 1e6 / percent * 100 == pytest.approx(psutil.virtual_memory().total)
    assert 0 < percent < 100


def test_a_run_of_three_days_has_a_few_hundred_points_of_the_same_mean() -> None:
    means = Means(0.0)
    ages = [SAMPLE_S * number for number in range(1, int(3 * 24 * 3600 / SAMPLE_S) + 1)]

    for age_s in ages:
        means.add(age_s, {"a": age_s, "b": 7.0})

    assert [age_s for age_s, _ in means.points[:3]] == [5, 10, 15]
    assert 300 < len(means.points) < 400
    seconds = [0, *(second for second, _ in means.points)]
    assert seconds == sorted(set(seconds))
    for (earlier, later), (_, point) in zip(pairwise(seconds), means.points, strict=True):
        assert point == {"a": (earlier + SAMPLE_S + later) / 2, "b": 7.0}
    assert max(b - a for a, b in pairwise(seconds)) < 3 * 24 * 3600 / 39


def test_a_later_attempt_goes_on_at_the_age_of_the_run_and_is_seen_as_soon() -> None:
    # Nothing was seen for a quarter of an hour of a run that had waited for a night.
    means = Means(40_000.0)

    for number in range(1, 43):
        means.add(40_000.0 + SAMPLE_S * number, {"a": float(number)})

    assert means.points[:2] == [(40_005, {"a": 1.0}), (40_010, {"a": 2.0})]
    assert means.points[-2:] == [(40_200, {"a": 40.0}), (40_210, {"a": 41.5})]


def test_what_was_sampled_after_the_last_point_is_in_a_point_of_its_own() -> None:
    means = Means(0.0)
    for number in range(1, 52):
        means.add(SAMPLE_S * number, {"a": float(number)})
    before = len(means.points)

    means.gather()
    means.gather()

    assert means.points[before - 1 :] == [(250, {"a": 49.5}), (255, {"a": 51.0})]


@pytest.mark.usefixtures("_quick")
def test_a_watch_gathers_until_its_process_ends(caplog: pytest.LogCaptureFixture) -> None:
    with process(WORKS) as pid:
        watch = Watch(pid, "cpu", age_s=0.5)
        until(lambda: len(watch.means.points) >= 2)
    until(lambda: not is_watched(pid))

    assert all(set(sample) == OF_ALL for _, sample in watch.means.points)
    assert not caplog.records


def test_a_watch_can_be_ended_before_its_process() -> None:
    with process(WORKS) as pid:
        watch = Watch(pid, "cpu", age_s=0.0)
        assert is_watched(pid)

        watch.end()

        until(lambda: not is_watched(pid))


async def test_a_run_that_is_shorter_than_the_time_to_a_sample_has_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(system_metrics, "SAMPLE_S", 1000.0)
    monkeypatch.setattr(system_metrics, "FIRST_S", 1000.0)
    monkeypatch.setattr(system_metrics, "LAST_S", PATIENCE_S)
    with process(WORKS) as pid:
        watch = Watch(pid, "cpu", age_s=7.0)
        await watch.finish()

    ((age_s, sample),) = watch.means.points
    assert age_s >= 7
    assert set(sample) == OF_ALL


async def test_a_watch_that_hangs_is_waited_for_a_moment_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    is_over = threading.Event()
    monkeypatch.setattr(system_metrics, "LAST_S", QUICK_S)
    monkeypatch.setattr(system_metrics, "of_machine", is_over.wait)
    with process(WORKS) as pid:
        watch = Watch(pid, "cpu", age_s=0.0)
        await watch.finish()
        assert is_watched(pid)
    is_over.set()


async def test_a_machine_that_has_no_more_threads_is_not_watched(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)

    watch = Watch(os.getpid(), "cpu", age_s=0.0)
    await watch.finish()

    assert watch.means.points == []
    assert "can't start new thread" in caplog.text


class Nvml:
    """A stand-in for NVML: a machine with two GPUs, of which the second does not tell its use."""

    class NVMLError(Exception):
        pass

    def __init__(self) -> None:
        self.has_begun = False

    def nvmlInit(self) -> None:
        self.has_begun = True

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:
        if index > 1:
            raise self.NVMLError("invalid argument")
        return index

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> int:
        if uuid not in ("GPU-a", "GPU-b"):
            raise self.NVMLError("not found")
        return ["GPU-a", "GPU-b"].index(uuid)

    def nvmlDeviceGetIndex(self, handle: int) -> int:
        return handle

    def nvmlDeviceGetMemoryInfo(self, handle: int) -> SimpleNamespace:
        return SimpleNamespace(used=(handle + 1) * 2_000_000_000, total=8_000_000_000)

    def nvmlDeviceGetUtilizationRates(self, handle: int) -> SimpleNamespace:
        if handle == 1:
            raise self.NVMLError("not supported")
        return SimpleNamespace(gpu=87)


@pytest.fixture
def nvml(monkeypatch: pytest.MonkeyPatch) -> Nvml:
    stand_in = Nvml()
    monkeypatch.setitem(sys.modules, "pynvml", stand_in)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return stand_in


FIRST = {
    "gpu_0_memory_usage_megabytes": 2000.0,
    "gpu_0_memory_usage_percentage": 25.0,
    "gpu_0_utilization_percentage": 87.0,
}
SECOND = {"gpu_1_memory_usage_megabytes": 4000.0, "gpu_1_memory_usage_percentage": 50.0}


@pytest.mark.usefixtures("nvml")
@pytest.mark.parametrize(
    ("device", "visible", "sample"),
    [
        ("cuda", None, FIRST),
        ("cuda", "", FIRST),
        ("cuda:1", None, SECOND),
        ("cuda", "1", SECOND),
        ("cuda:1", "1, 0", FIRST),
        ("cuda:0", "GPU-b,GPU-a", SECOND),
    ],
)
def test_the_gpu_is_that_on_which_torch_trains(
    device: str, visible: str | None, sample: dict[str, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)

    assert Gpu(device).sample() == sample


@pytest.mark.usefixtures("nvml")
@pytest.mark.parametrize(
    ("uuid", "sample"), [("GPU-b", SECOND), ("GPU-a", FIRST), ("GPU-of-a-part", FIRST)]
)
def test_the_uuid_of_the_gpu_counts_more_than_its_number(
    uuid: str, sample: dict[str, float]
) -> None:
    # CUDA's first GPU is the fastest, which NVML may have in another place.
    assert Gpu("cuda:0", uuid).sample() == sample


def test_a_child_says_on_which_gpu_it_trains(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    known = {"cuda:1": SimpleNamespace(uuid="5c8d"), "cuda": SimpleNamespace()}
    monkeypatch.setattr(torch.cuda, "get_device_properties", known.__getitem__)

    said = [gpu_of(device) for device in ("cuda:1", "cuda", "cuda:7", "cpu")]

    assert said == [OnGpu(uuid="GPU-5c8d"), None, None, None]
    assert from_line(OnGpu(uuid="GPU-5c8d").model_dump_json().encode()) == said[0]


@pytest.mark.usefixtures("_quick")
def test_a_watch_of_a_gpu_has_both(nvml: Nvml) -> None:
    with process(WORKS) as pid:
        watch = Watch(pid, "cuda", age_s=0.0)
        until(lambda: bool(watch.means.points))
        watch.end()

    assert nvml.has_begun
    assert set(watch.means.points[0][1]) == OF_ALL | set(FIRST)


@pytest.mark.usefixtures("_quick")
def test_no_gpu_is_asked_where_none_is_used(nvml: Nvml) -> None:
    with process(WORKS) as pid:
        watch = Watch(pid, "cpu", age_s=0.0)
        until(lambda: bool(watch.means.points))
        watch.end()

    assert not nvml.has_begun


@pytest.mark.usefixtures("_quick")
@pytest.mark.parametrize("has_nvml", [True, False])
def test_a_gpu_that_cannot_be_asked_leaves_the_rest(
    has_nvml: bool, nvml: Nvml, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", nvml if has_nvml else None)
    with process(WORKS) as pid:
        watch = Watch(pid, "cuda:2", age_s=0.0)
        until(lambda: bool(watch.means.points))
        watch.end()

    assert set(watch.means.points[0][1]) == OF_ALL


@pytest.mark.gpu
@pytest.mark.usefixtures("_quick")
def test_a_real_gpu_that_works_is_seen_to_work() -> None:
    torch = pytest.importorskip("torch")
    pytest.importorskip("pynvml")
    if not torch.cuda.is_available():
        pytest.skip("there is no CUDA device")
    with process(MULTIPLIES) as pid:
        watch = Watch(pid, "cuda", age_s=0.0)
        until(lambda: of_gpu(watch).get("utilization_percentage", 0.0) > 20)
        watch.end()

    assert of_gpu(watch)["utilization_percentage"] <= 100
    assert of_gpu(watch)["memory_usage_megabytes"] > 4 * 8192**2 / 1e6
    assert 0 < of_gpu(watch)["memory_usage_percentage"] <= 100


def of_gpu(watch: Watch) -> Sample:
    """The newest values of the GPU, whichever of the machine it is."""
    newest = watch.means.points[-1][1] if watch.means.points else {}
    return {
        name.split("_", 2)[2]: value for name, value in newest.items() if name.startswith("gpu_")
    }
