"""Processor time and memory of a stack's processes, read from `/proc`."""

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def seconds_of(processes: Mapping[str, int]) -> dict[str, float]:
    """Processor seconds of each process and of all that descend from it, ended or not."""
    seconds = dict.fromkeys(processes, 0.0)
    for pid, name in _members(processes):
        with suppress(OSError):  # it has just ended
            fields = _fields(pid)
            seconds[name] += sum(map(int, fields[11:15])) / TICKS_PER_S  # with ended children
    return seconds


def used_since(before: Mapping[str, float], processes: Mapping[str, int]) -> dict[str, float]:
    """Processor seconds of each process since it had used those before, or since its start."""
    return {name: used - before.get(name, 0.0) for name, used in seconds_of(processes).items()}


def idle_share(processes: Mapping[str, int], seconds: float) -> float:
    """Which share of one core the processes use while this process sleeps."""
    before = seconds_of(processes)
    time.sleep(seconds)
    return sum(used_since(before, processes).values()) / seconds


def pss_mib(processes: Mapping[str, int]) -> dict[str, float]:
    """Memory of each process and of all that descend from it; shared pages count in parts."""
    mib = dict.fromkeys(processes, 0.0)
    for pid, name in _members(processes):
        with suppress(OSError):
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    mib[name] += int(line.split()[1]) / 1024
    return mib


def _members(processes: Mapping[str, int]) -> Iterator[tuple[int, str]]:
    """All running processes that descend from one of these, with its name; the nearest counts."""
    names, parents = {pid: name for name, pid in processes.items()}, {}
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            parents[int(entry.name)] = int(_fields(int(entry.name))[1])
    for pid in parents:
        ancestor = pid
        while ancestor in parents and ancestor not in names:
            ancestor = parents[ancestor]
        if ancestor in names:
            yield pid, names[ancestor]


def _fields(pid: int) -> list[str]:
    """The fields of `/proc/PID/stat` from the third on, which is the state."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
