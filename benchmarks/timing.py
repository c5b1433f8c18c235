"""What the benchmarks share: interleaved medians, memory peaks and markdown tables."""

import ctypes
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path


def medians(functions: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Median CPU seconds of each function; they take turns, because caches affect neighbours."""
    seconds: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(rounds):
        for name, function in functions.items():
            seconds[name].append(seconds_of(function))
    return {name: statistics.median(times) for name, times in seconds.items()}


def seconds_of(function: Callable[[], object]) -> float:
    """CPU time, which on one thread is what an idle machine takes, however busy this one is."""
    begin = time.process_time()
    function()
    return time.process_time() - begin


def extra_mib(function: Callable[[], object]) -> float:
    """How far the peak of the process's resident memory rises above what is resident now.

    This needs Linux with glibc: freed pages are first returned to the kernel, and the peak is
    reset through /proc.
    """
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")
    before = _status_mib("VmRSS")
    function()
    return _status_mib("VmHWM") - before


def print_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table in Markdown."""
    for cells in (head, ["---"] * len(head), *rows):
        print("| " + " | ".join(cells) + " |", flush=True)


def _status_mib(key: str) -> float:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(key):
            return int(line.split()[1]) / 1024
    raise LookupError(f"/proc/self/status has no {key}")
