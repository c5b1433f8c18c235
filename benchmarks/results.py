"""What the benchmarks of speed have in common: how they are started, and the files of results.

Each writes one file of JSON to a folder, from which `benchmarks.report` writes a page.
"""

import argparse
import datetime
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.timing import print_table
from service.processes import ONE_THREAD

Cell = str | int | float | None
ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Table:
    """Numbers as they were measured; the head names their units."""

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[Cell]]


@dataclass(frozen=True)
class Bar:
    """A number that the project wants to reach."""

    what: str
    #: None if it could not be measured.
    value: float | None
    bound: float
    unit: str
    is_least: bool = False

    @property
    def is_met(self) -> bool:
        """Whether the value was measured and is at least, or at most, the bound."""
        if self.value is None:
            return False
        return self.value >= self.bound if self.is_least else self.value <= self.bound


@dataclass(frozen=True)
class Measured:
    tables: Sequence[Table]
    bars: Sequence[Bar] = ()
    #: Every single measurement, for the file alone.
    single: object = None


@dataclass(frozen=True)
class Options:
    #: Folder of the results, for whatever else is kept beside them.
    out: Path
    #: Whether small numbers are enough, to see that everything works.
    quick: bool


def use_one_thread() -> None:
    """Start this program anew with one thread, unless it has been started so.

    The libraries read the number of their threads when they are imported, and the processor time
    of a process with several threads is no time that a user would wait.
    """
    if not ONE_THREAD.items() <= os.environ.items():
        words = [sys.executable, *sys.orig_argv[1:]]
        os.execve(sys.executable, words, os.environ | ONE_THREAD)


def run(name: str, measure: Callable[[Options], Measured], description: str) -> None:
    """Measure with the options of the command line, write NAME.json and print the tables."""
    save(name, measure, options_of(parser(description).parse_args()))


def parser(description: str) -> argparse.ArgumentParser:
    """A parser of the options that all of them take."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="folder of the results")
    parser.add_argument("--quick", action="store_true", help="small numbers, to try the command")
    return parser


def options_of(arguments: argparse.Namespace) -> Options:
    """The options that all of them take; the folder is made."""
    arguments.out.mkdir(parents=True, exist_ok=True)
    return Options(arguments.out.resolve(), arguments.quick)


def save(name: str, measure: Callable[[Options], Measured], options: Options) -> None:
    """Measure, write NAME.json and print the tables."""
    began, clock = datetime.datetime.now(datetime.UTC), time.monotonic()
    load = Path("/proc/loadavg").read_text().split()[0]
    measured = measure(options)
    content = {
        "name": name,
        "command": _command(options.out),
        "is_quick": options.quick,
        "commit": _commit(),
        "began": began.isoformat(timespec="seconds"),
        "seconds": round(time.monotonic() - clock, 1),
        "load_before": float(load),
        **asdict(measured),
    }
    (options.out / f"{name}.json").write_text(json.dumps(content, indent=1, allow_nan=False))
    for table in measured.tables:
        print(f"\n{table.title}\n")
        print_table(table.head, [[shown(cell) for cell in row] for row in table.rows])
    print()
    for bar in measured.bars:
        print(in_words(bar))


def shown(cell: Cell) -> str:
    """A number with three digits, and none of them lost before the point."""
    match cell:
        case None:
            return ""
        case str():
            return cell
        case int():
            return f"{cell:,}"
    if cell == 0 or 1e-3 <= abs(cell) < 999.5:
        return f"{cell:.3g}"
    return f"{cell:,.0f}" if abs(cell) >= 1 else f"{cell:.0e}"


def in_words(bar: Bar) -> str:
    """The bar in one line, for the terminal."""
    return f"{bar.what}: {value_of(bar)} ({bound_of(bar)}) {'yes' if bar.is_met else 'NO'}"


def value_of(bar: Bar) -> str:
    """The measured value with its unit."""
    return "not measured" if bar.value is None else f"{shown(bar.value)} {bar.unit}".strip()


def bound_of(bar: Bar) -> str:
    """The bound with its unit."""
    return f"{'at least' if bar.is_least else 'at most'} {shown(bar.bound)} {bar.unit}".strip()


def _command(out: Path) -> str:
    words = ["DIR" if Path(word).resolve() == out else word for word in sys.argv[1:]]
    return " ".join(["python -m", f"benchmarks.{Path(sys.argv[0]).stem}", *words])


def _commit() -> str:
    command = ["git", "describe", "--always", "--dirty", "--exclude=*"]
    described = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return described.stdout.strip() or "unknown"
