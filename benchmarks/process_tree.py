"""What a process and its descendants use, as Linux's /proc shows it."""

import os
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

PAGE = os.sysconf("SC_PAGE_SIZE")
MIB = 1024**2
#: Bits of an entry of /proc/PID/pagemap: the page is in memory, and it is that of a file.
PRESENT, OF_FILE = 1 << 63, 1 << 61


@dataclass(frozen=True)
class ProcessMemory:
    """Proportional shares in MiB: a page of n processes counts 1 / n."""

    pss_mib: float
    file_mib: float


def tree_of(root: int) -> Sequence[int]:
    """The process and its descendants."""
    parents = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(folder.name)] = int(_stat(int(folder.name))[1])
        except OSError:  # it has just ended
            continue
    tree = {root}
    while found := {pid for pid, parent in parents.items() if parent in tree} - tree:
        tree |= found
    return sorted(tree)


def cpu_seconds(pids: Iterable[int]) -> float:
    """The processor time of these processes and of those of their children that have ended."""
    ticks = 0
    for pid in pids:
        try:
            ticks += sum(map(int, _stat(pid)[11:15]))
        except OSError:
            continue
    return ticks / os.sysconf("SC_CLK_TCK")


def memory_of(pid: int) -> ProcessMemory:
    """The memory of a process; nothing if it has just ended."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return ProcessMemory(0.0, 0.0)
    kib = {line.split()[0]: int(line.split()[1]) for line in lines[1:]}
    return ProcessMemory(kib["Pss:"] / 1024, kib["Pss_File:"] / 1024)


def pages_of_files_mib(pids: Iterable[int]) -> float:
    """The pages of files that at least one of these processes has in memory, each counted once."""
    pages: set[tuple[str, str, int]] = set()
    for pid in pids:
        try:
            pages |= _pages_of_files(pid)
        except OSError:
            continue
    return len(pages) * PAGE / MIB


def _pages_of_files(pid: int) -> set[tuple[str, str, int]]:
    pages = set()
    with Path(f"/proc/{pid}/pagemap").open("rb") as pagemap:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            addresses, _, offset, device, inode, *name = line.split(maxsplit=5)
            # Memory that processes share has the name of a deleted file.
            if inode == "0" or "(deleted)" in "".join(name):
                continue
            begin, end = (int(address, 16) // PAGE for address in addresses.split("-"))
            pagemap.seek(begin * 8)
            entries = pagemap.read((end - begin) * 8)
            for number, (entry,) in enumerate(struct.iter_unpack("<Q", entries)):
                if entry & PRESENT and entry & OF_FILE:
                    pages.add((device, inode, int(offset, 16) // PAGE + number))
    return pages


def _stat(pid: int) -> Sequence[str]:
    """The fields of /proc/PID/stat from the state of the process on."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
