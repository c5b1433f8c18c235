"""Writes the page of the benchmarks of speed from their results.

    python -m benchmarks.report DIR --out docs/benchmarks.md

Each number of the page comes from a file of DIR, which one of these commands wrote. The times are
estimates for two idle cores:

    python -m benchmarks.machine --out DIR              20 s
    python -m benchmarks.entropy --out DIR              8 min
    python -m benchmarks.steps --out DIR                10 min, once 2 min more for pythae
    python -m benchmarks.whole_sweep digits --out DIR   30 min
    python -m benchmarks.whole_sweep mnist --out DIR    30 min
    python -m benchmarks.latency --out DIR              6 min
    python -m benchmarks.growth --out DIR               8 min
"""

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.results import Bar, bound_of, shown, value_of

#: The order of the page, and the first words of each section.
SECTIONS = {
    "machine": "Machine",
    "whole-sweep-digits": "A whole sweep on digits",
    "whole-sweep-mnist": "A whole sweep on MNIST",
    "steps": "Steps, and what a run costs",
    "entropy": "Entropies",
    "latency": "API, queue and idle stack",
    "growth": "Growth",
}
INTRODUCTION = """# Benchmarks

Written by `python -m benchmarks.report` from what the commands below measured; `benchmarks/` says
how. What is compared took turns in one command, and times are medians; ratios above 1 mean that
ours is faster."""
QUICK = "**Made with `--quick`: small numbers that show only that the command works.**"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="folder of the results")
    parser.add_argument("--out", type=Path, required=True, help="the page")
    options = parser.parse_args()
    results = {
        name: json.loads((options.folder / f"{name}.json").read_text())
        for name in SECTIONS
        if (options.folder / f"{name}.json").exists()
    }
    if not results:
        parser.error(f"{options.folder} has none of {', '.join(SECTIONS)}")
    options.out.write_text(page(results))


def page(results: Mapping[str, Mapping[str, Any]]) -> str:
    """The page, in Markdown, from the contents of the files by name."""
    parts = [INTRODUCTION, "## Bars", *_bars(results)]
    for name, result in results.items():
        parts += [f"## {SECTIONS[name]}", *_section(result)]
    return "\n\n".join(parts) + "\n"


def _bars(results: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    bars = [Bar(**bar) for result in results.values() for bar in result["bars"]]
    rows = [
        [bar.what, value_of(bar), bound_of(bar), "yes" if bar.is_met else "**no**"] for bar in bars
    ]
    yield _table(["what", "measured", "bar", "met"], rows)
    missing = [SECTIONS[name] for name in SECTIONS if name not in results]
    if missing:
        yield f"Not measured: {', '.join(missing)}."


def _section(result: Mapping[str, Any]) -> Iterator[str]:
    yield (
        f"`{result['command']}` at {result['commit']}, {result['began']}, "
        f"{result['seconds']:.0f} s; load before {result['load_before']}."
    )
    if result["is_quick"]:
        yield QUICK
    for table in result["tables"]:
        yield f"**{table['title']}**"
        yield _table(table["head"], [[shown(cell) for cell in row] for row in table["rows"]])


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = (head, ["---"] * len(head), *rows)
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


if __name__ == "__main__":
    main()
