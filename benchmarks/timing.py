"""What the benchmarks share: interleaved medians, memory of a child process, markdown tables."""

import ctypes
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path


def medians(functions: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Median CPU seconds of each; they take turns, as a neighbour in the caches costs time too."""
    seconds: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(rounds):
        for name, function in functions.items():
            seconds[name].append(seconds_of(function))
    return {name: statistics.median(times) for name, times in seconds.items()}


def seconds_of(function: Callable[[], object]) -> float:
    """CPU time: on one thread it is what an idle machine takes, whoever else computes here."""
    begin = time.process_time()
    function()
    return time.process_time() - begin


def extra_mib(function: Callable[[], object]) -> float:
    """How far the process's peak of resident memory rises above what is resident now.

    Linux with glibc only: freed pages are given back first, and the peak is reset through /proc.
    """
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")
    before = _status_mib("VmRSS")
    function()
    return _status_mib("VmHWM") - before


def print_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A markdown table."""
    for cells in (head, ["---"] * len(head), *rows):
        print("| " + " | ".join(cells) + " |", flush=True)


def _status_mib(key: str) -> float:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(key):
            return int(line.split()[1]) / 1024
    raise LookupError(f"/proc/self/status has no {key}")
