"""Measures a stack that has nothing to do, how soon it is healthy, and what a command costs.

    python -m benchmarks.stack [--rounds 3] [--idle 30] [--out FILE]

The stack has a new home. Its first start creates the database; the other starts are warm. Memory
is taken twice: soon after the start, and once the servers that nobody asks have gone to rest. It
is PSS, in which a page that several processes share counts in parts. Pages of files that programs
outside the stack use, too, would count in part only, so that the sum for a machine with nothing
else counts each page of a file once.
"""

import argparse
import json
import os
import platform
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.homes import temporary_home
from benchmarks.process_tree import cpu_seconds, memory_of, pages_of_files_mib, tree_of
from benchmarks.timing import print_table
from service.embedded.running import find_running, wait_until_healthy
from service.resting import QUIET_S

COMMANDS = (("--help",), ("list",), ("study", "list"))
#: Seconds after it is healthy in which a stack finishes its start.
SETTLES_S = 10.0


@dataclass(frozen=True)
class Start:
    """A start of the stack until it is healthy."""

    wall_s: float
    cpu_s: float


@dataclass(frozen=True)
class Memory:
    """The memory of one program in MiB; Postgres is one program of many processes."""

    name: str
    processes: int
    pss_mib: float
    #: Without pages of files.
    own_mib: float


@dataclass(frozen=True)
class Idle:
    """The memory of a stack that has nothing to do."""

    programs: Sequence[Memory]
    #: Each page of a file counted once, in MiB.
    files_mib: float

    @property
    def pss_mib(self) -> float:
        return sum(program.pss_mib for program in self.programs)

    @property
    def alone_mib(self) -> float:
        return sum(program.own_mib for program in self.programs) + self.files_mib


@dataclass(frozen=True)
class Command:
    """Medians of a command of the CLI."""

    command: str
    wall_s: float
    cpu_s: float


@dataclass(frozen=True)
class Stack:
    """All that is measured of a stack."""

    first: Start
    warm: Sequence[Start]
    #: Soon after the start, and once the servers that nobody asks have gone to rest.
    awake: Idle
    resting: Idle
    #: Share of a core at rest.
    cpu_percent: float
    commands: Sequence[Command]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.stack", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="warm starts (default: 3)")
    parser.add_argument("--idle", type=float, default=30.0, help="seconds of idling (default: 30)")
    parser.add_argument("--repeats", type=int, default=9, help="of each command (default: 9)")
    parser.add_argument("--out", type=Path, help="file for the JSON")
    options = parser.parse_args()
    stack = measured(options.rounds, options.idle, options.repeats)
    _print(stack.first, stack.warm, stack.commands)
    _print_memory("soon after the start", stack.awake)
    _print_memory("at rest", stack.resting)
    print(f"\nat rest: {stack.cpu_percent:.2f} % of a core")
    if options.out:
        sums = {"awake_mib": _sums(stack.awake), "resting_mib": _sums(stack.resting)}
        content = {"machine": _machine()} | sums | asdict(stack)
        options.out.write_text(json.dumps(content, indent=2))


def measured(rounds: int, idle_s: float, repeats: int) -> Stack:
    """Start a stack in a new home and so many times again, and let the last rest and idle."""
    with temporary_home() as home:
        with _stack(home) as first:
            pass
        warm = []
        for _ in range(rounds - 1):
            with _stack(home) as start:
                warm.append(start)
        with _stack(home) as start:
            time.sleep(SETTLES_S)
            awake = _idle(home)
            time.sleep(QUIET_S + SETTLES_S)
            cpu_percent = _cpu_percent(home, idle_s)
            resting = _idle(home)
            commands = [_command(home, words, repeats) for words in COMMANDS]
    return Stack(first, [*warm, start], awake, resting, cpu_percent, commands)


@contextmanager
def _stack(home: Path) -> Iterator[Start]:
    begin = time.monotonic()
    supervisor = subprocess.Popen(
        [sys.executable, "-m", "polar_latents", "up", "--home", str(home)],
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        wait_until_healthy(home, starter=supervisor)
        wall_s = time.monotonic() - begin
        yield Start(wall_s, cpu_seconds(tree_of(supervisor.pid)))
    finally:
        supervisor.send_signal(signal.SIGTERM)
        supervisor.wait()


def _idle(home: Path) -> Idle:
    stack = find_running(home)
    assert stack, "the stack has ended"
    files_mib = pages_of_files_mib(tree_of(stack.pid))
    return Idle(_memories(stack.pid, stack.processes), files_mib)


def _cpu_percent(home: Path, during_s: float) -> float:
    stack = find_running(home)
    assert stack, "the stack has ended"
    before, begin = cpu_seconds(tree_of(stack.pid)), time.monotonic()
    time.sleep(during_s)
    used_s = cpu_seconds(tree_of(stack.pid)) - before
    return 100 * used_s / (time.monotonic() - begin)


def _sums(idle: Idle) -> dict[str, float]:
    return {"pss": idle.pss_mib, "alone": idle.alone_mib}


def _memories(supervisor: int, programs: Mapping[str, int]) -> list[Memory]:
    trees = {name: tree_of(pid) for name, pid in programs.items()}
    memories = []
    for name, tree in ({"supervisor": [supervisor]} | trees).items():
        of_each = [memory_of(pid) for pid in tree]
        memories.append(
            Memory(
                name,
                len(tree),
                sum(memory.pss_mib for memory in of_each),
                sum(memory.pss_mib - memory.file_mib for memory in of_each),
            )
        )
    return memories


def _command(home: Path, words: Sequence[str], repeats: int) -> Command:
    walls, cpus = [], []
    for _ in range(repeats):
        begin = time.monotonic()
        process = subprocess.Popen(
            [sys.executable, "-m", "polar_latents", *words],
            env=os.environ | {"POLAR_HOME": str(home)},
            stdout=subprocess.DEVNULL,
        )
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        assert process.returncode == 0, f"polar {' '.join(words)} ended with {process.returncode}"
        walls.append(time.monotonic() - begin)
        cpus.append(usage.ru_utime + usage.ru_stime)
    return Command("polar " + " ".join(words), statistics.median(walls), statistics.median(cpus))


def _machine() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line for line in lines if line.startswith("model name")), ": unknown")
    return (
        f"{os.cpu_count()} cores, {model.partition(': ')[2]}, Python {platform.python_version()}"
    )


def _print(first: Start, warm: Sequence[Start], commands: Sequence[Command]) -> None:
    print(f"{_machine()}\n")
    wall_s = statistics.median(start.wall_s for start in warm)
    cpu_s = statistics.median(start.cpu_s for start in warm)
    rows = [
        ("first start", f"{first.wall_s:.1f}", f"{first.cpu_s:.1f}"),
        (f"warm start, median of {len(warm)}", f"{wall_s:.1f}", f"{cpu_s:.1f}"),
    ]
    rows += [(c.command, f"{c.wall_s:.2f}", f"{c.cpu_s:.2f}") for c in commands]
    print_table(("what", "s", "CPU s"), rows)


def _print_memory(when: str, idle: Idle) -> None:
    rows = [
        (program.name, str(program.processes), f"{program.pss_mib:.0f}", f"{program.own_mib:.0f}")
        for program in idle.programs
    ]
    processes = sum(program.processes for program in idle.programs)
    own_mib = idle.alone_mib - idle.files_mib
    print(f"\n{when}: {idle.alone_mib:.0f} MiB on a machine with nothing else\n")
    rows.append(("all", str(processes), f"{idle.pss_mib:.0f}", f"{own_mib:.0f}"))
    print_table(("program", "processes", "PSS, MiB", "without files, MiB"), rows)


if __name__ == "__main__":
    main()
