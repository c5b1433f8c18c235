"""What a run takes of its machine: processor, memory and GPU, watched by its agent from outside.

The names are those of MLflow's own system metrics, where it has one. Nothing of this module is a
condition of training: whatever cannot be read is missing, and nothing else happens.
"""

import asyncio
import logging
import math
import os
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from contextlib import suppress
from statistics import fmean
from typing import Any, TypeAlias

import psutil

#: Seconds between two samples.
SAMPLE_S = 5.0
#: Seconds to the first, after which they come twice as far apart each time up to `SAMPLE_S`, so
#: that short runs have some, too; and the least between the last two, because the system counts
#: the time of a processor in hundredths of a second.
FIRST_S = 0.5
#: Longest wait for the last sample, because the driver of a GPU may never answer.
LAST_S = 1.0
#: Seconds between two looks for processes that the child has started, because such a look reads a
#: file of every process of the machine.
LOOK_AROUND_S = 60.0
#: A point is the mean of the samples of this share of the age of an attempt, so that an hour has
#: about 140 points and a month 400.
SHARE_OF_AGE = 1 / 40
MEGABYTE = 1e6

#: Values by their names.
Sample: TypeAlias = Mapping[str, float]

_log = logging.getLogger(__name__)


class Means:
    """Means of samples, further and further apart."""

    def __init__(self, age_s: float) -> None:
        """Begin at this age of a run, at which an earlier attempt may have ended."""
        #: Each with the age of the run in whole seconds; the caller takes them from the front.
        self.points: list[tuple[int, Sample]] = []
        self._began_s = self._age_s = self._newest_s = age_s
        self._samples: dict[str, list[float]] = defaultdict(list)

    def add(self, age_s: float, sample: Sample) -> None:
        """Add a sample, and a point where it is time for one."""
        for name, value in sample.items():
            self._samples[name].append(value)
        self._newest_s = age_s
        if age_s - self._age_s >= (age_s - self._began_s) * SHARE_OF_AGE:
            self.gather()

    def gather(self) -> None:
        """Add a point of the samples since the last point, if there are any."""
        if self._samples:
            means = {name: round(fmean(values), 1) for name, values in self._samples.items()}
            self.points.append((int(self._newest_s), means))
            self._age_s = self._newest_s
            self._samples.clear()


class Watch:
    """Watches the processes of a run until they end or `end` is called.

    It has a thread of its own, because the driver of a GPU may never answer.
    """

    def __init__(self, pid: int, device: str, *, age_s: float, uuid: str | None = None) -> None:
        """Begin to watch, unless this process may have no more threads.

        Args:
            pid: The process that trains.
            device: What it trains on: `cpu`, `cuda` or `cuda:N`.
            age_s: Seconds since the run began, in whichever attempt.
            uuid: The UUID of its GPU, if it is known.
        """
        self.means = Means(age_s)
        self._pid = pid
        self._device = device
        self._uuid = uuid
        self._began_at = time.monotonic() - age_s
        self._sampled_at = -math.inf
        self._over = threading.Event()
        name = f"system metrics of process {pid}"
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        try:
            self._thread.start()
        except RuntimeError as error:  # the system has no more threads for us
            self._log_end(error)

    def end(self) -> None:
        """Watch no longer; nobody waits for the thread."""
        self._over.set()

    async def finish(self) -> None:
        """Watch no longer, and wait a moment for a last sample, if the process is still there."""
        self.end()
        with suppress(TimeoutError):
            async with asyncio.timeout(LAST_S):
                while self._thread.is_alive():  # noqa: ASYNC110 (threads set no asyncio.Event)
                    await asyncio.sleep(0.01)

    def _work(self) -> None:
        try:
            self._sample(sources(self._pid, self._device, self._uuid))
        except psutil.NoSuchProcess:
            pass  # the training has ended
        except Exception as error:
            self._log_end(error)
        self.means.gather()

    def _log_end(self, error: Exception) -> None:
        _log.warning("the system metrics of process %d end: %r", self._pid, error)

    def _sample(self, from_each: list[Callable[[], Sample]]) -> None:
        first_s = pause_s = min(FIRST_S, SAMPLE_S)
        while not self._over.wait(pause_s):
            self._take_sample(from_each)
            pause_s = min(2 * pause_s, SAMPLE_S)
        if time.monotonic() >= self._sampled_at + first_s:
            self._take_sample(from_each)

    def _take_sample(self, from_each: list[Callable[[], Sample]]) -> None:
        sample = {name: value for each in from_each for name, value in each().items()}
        self._sampled_at = time.monotonic()
        self.means.add(self._sampled_at - self._began_at, sample)


def sources(pid: int, device: str, uuid: str | None = None) -> list[Callable[[], Sample]]:
    """What there is to sample of a process that trains on this device.

    Raises:
        psutil.NoSuchProcess: the process has ended.
    """
    found = [Processes(pid).sample, of_machine]
    if device.startswith("cuda"):
        try:
            found.append(Gpu(device, uuid).sample)
        except Exception as error:  # NVML is missing, or does not know the device
            _log.info("the use of the GPU is not measured: %r", error)
    return found


class Processes:
    """A process and all that it has started."""

    def __init__(self, pid: int) -> None:
        """Begin to measure.

        Raises:
            psutil.NoSuchProcess: the process has ended.
        """
        self._root = psutil.Process(pid)
        self._root.cpu_percent()  # measures from here on
        self._all = {self._root}
        self._look_around_at = time.monotonic()

    def sample(self) -> Sample:
        """The processor time since the last sample in percent of a core, and the memory now.

        Raises:
            psutil.NoSuchProcess: the process has ended.
        """
        if time.monotonic() >= self._look_around_at:
            self._all |= set(self._root.children(recursive=True))
            self._look_around_at = time.monotonic() + LOOK_AROUND_S
        percent = resident = 0.0
        for process in tuple(self._all):
            try:
                with process.oneshot():
                    percent += process.cpu_percent()
                    resident += process.memory_info().rss
            except psutil.Error:
                if process == self._root:
                    raise
                self._all.remove(process)
        found = {"cpu_utilization_percentage": percent}
        if resident:  # a process that has ended and is not waited for yet has none
            found["process_memory_usage_megabytes"] = resident / MEGABYTE
        return found


def of_machine() -> Sample:
    """The memory that is in use, by whomever."""
    memory = psutil.virtual_memory()
    return {
        "system_memory_usage_megabytes": memory.used / MEGABYTE,
        "system_memory_usage_percentage": 100 * memory.used / memory.total,
    }


class Gpu:
    """The GPU of a device of torch, by NVML, which is imported only here."""

    def __init__(self, device: str, uuid: str | None = None) -> None:
        """Find the GPU; the package `nvidia-ml-py` may be missing, or NVML may refuse.

        Its UUID comes first, because CUDA numbers different GPUs by their speed, and NVML by their
        places on the bus.
        """
        import pynvml

        self._nvml: Any = pynvml
        pynvml.nvmlInit()
        self._handle = self._find(device, uuid)
        self._prefix = f"gpu_{pynvml.nvmlDeviceGetIndex(self._handle)}"

    def _find(self, device: str, uuid: str | None) -> Any:  # noqa: ANN401
        if uuid is not None:
            with suppress(self._nvml.NVMLError):  # a part of a GPU has another name there
                return self._nvml.nvmlDeviceGetHandleByUUID(uuid)
        name = _name_of(device)
        if name.isdigit():
            return self._nvml.nvmlDeviceGetHandleByIndex(int(name))
        return self._nvml.nvmlDeviceGetHandleByUUID(name)

    def sample(self) -> Sample:
        """Its use and its memory; what it does not tell, as a part of one may not, is missing."""
        found = {}
        with suppress(self._nvml.NVMLError):
            memory = self._nvml.nvmlDeviceGetMemoryInfo(self._handle)
            found["memory_usage_megabytes"] = memory.used / MEGABYTE
            found["memory_usage_percentage"] = 100 * memory.used / memory.total
        with suppress(self._nvml.NVMLError):
            rates = self._nvml.nvmlDeviceGetUtilizationRates(self._handle)
            found["utilization_percentage"] = float(rates.gpu)
        return {f"{self._prefix}_{name}": value for name, value in found.items()}


def _name_of(device: str) -> str:
    """The number or the UUID of the GPU that torch calls `cuda` or `cuda:N`."""
    number = int(device.partition(":")[2] or 0)
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    return visible.split(",")[number].strip() if visible else str(number)
