"""What a run takes of its GPU, as somebody who watches its processes sees it.

This file needs no fixture of ours, so that a machine with a GPU and little else can try it.
"""

import sys
from types import SimpleNamespace

import pytest

from tests.workers.training.working_processes import OF_ALL, WORKS, process, until
from workers.training import system_metrics
from workers.training.child import gpu_of
from workers.training.messages import OnGpu, from_line
from workers.training.system_metrics import Gpu, Sample, Watch

MULTIPLIES = """
import torch
x = torch.rand(8192, 8192, device="cuda")
print(flush=True)
while True:
    x @ x
    torch.cuda.synchronize()
"""
FIRST = {
    "gpu_0_memory_usage_megabytes": 2000.0,
    "gpu_0_memory_usage_percentage": 25.0,
    "gpu_0_utilization_percentage": 87.0,
}
SECOND = {"gpu_1_memory_usage_megabytes": 4000.0, "gpu_1_memory_usage_percentage": 50.0}


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


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system_metrics, "SAMPLE_S", 0.05)


@pytest.fixture
def nvml(monkeypatch: pytest.MonkeyPatch) -> Nvml:
    stand_in = Nvml()
    monkeypatch.setitem(sys.modules, "pynvml", stand_in)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return stand_in


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


def test_a_watch_of_a_gpu_has_both(nvml: Nvml) -> None:
    with process(WORKS) as pid:
        watch = Watch(pid, "cuda", age_s=0.0)
        until(lambda: bool(watch.means.points))
        watch.end()

    assert nvml.has_begun
    assert set(watch.means.points[0][1]) == OF_ALL | set(FIRST)


def test_no_gpu_is_asked_where_none_is_used(nvml: Nvml) -> None:
    with process(WORKS) as pid:
        watch = Watch(pid, "cpu", age_s=0.0)
        until(lambda: bool(watch.means.points))
        watch.end()

    assert not nvml.has_begun


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
