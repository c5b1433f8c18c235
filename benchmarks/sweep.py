"""Runs a spec with several values of its fields, and prints a row for each run.

    python -m benchmarks.sweep SPEC --out DIR --vary model.lambda=1e-4,1e-3 --vary seed=0,1

Finished runs are not run again, so an interrupted sweep can be continued. With `--figures`, a
sweep of the weight and the seed also draws entropies and information by weight (the paper's
Figs. 8 and 11 to 13) in DIR.
"""

import argparse
import itertools
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from polar import figures
from polar.spec import ExperimentSpec, read_spec_file, read_yaml

Point = dict[str, Any]
COLUMNS = ("active", "P", "R", "verdict", "settled", "entropies, nats")


def main() -> None:
    own = parser(__doc__ or "")
    own.add_argument("--figures", action="store_true", help="draw entropies by weight")
    arguments = own.parse_args()
    runs = run_all(arguments)
    names = list(runs[0][0])
    _print_row([*names, *COLUMNS])
    _print_row(["---"] * (len(names) + len(COLUMNS)))
    for point, folder in runs:
        _print_row([*point.values(), *_summary(folder)])
    if arguments.figures:
        _draw([folder for _, folder in runs], arguments.out)


def parser(description: str) -> argparse.ArgumentParser:
    """A parser of the arguments that `run_all` takes."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("spec", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--vary", action="append", required=True, metavar="FIELD=A,B")
    parser.add_argument("--jobs", type=int, default=2, help="runs at the same time")
    return parser


def run_all(arguments: argparse.Namespace) -> list[tuple[Point, Path]]:
    """Run what is not finished yet; returns the point and the folder of every run."""
    base = read_yaml(read_spec_file(arguments.spec))
    points = list(_points(arguments.vary))
    with ThreadPoolExecutor(arguments.jobs) as pool:
        folders = list(pool.map(lambda point: _run(base, point, arguments.out), points))
    return list(zip(points, folders, strict=True))


def _points(varied: Sequence[str]) -> Iterator[Point]:
    fields = dict(text.split("=", 1) for text in varied)
    values = [[read_yaml(value) for value in text.split(",")] for text in fields.values()]
    for combination in itertools.product(*values):
        yield dict(zip(fields, combination, strict=True))


def _run(base: Any, point: Point, out: Path) -> Path:  # noqa: ANN401
    folder = out / "-".join(
        f"{field.rpartition('.')[2]}={value}" for field, value in point.items()
    )
    folder.mkdir(parents=True, exist_ok=True)
    spec = folder / "spec.yaml"
    spec.write_text(ExperimentSpec.model_validate(_changed(base, point)).to_yaml())
    command = [sys.executable, "-m", "service.cli", "run", str(spec), "--out", str(folder)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    with (folder / "log.txt").open("w") as log:
        subprocess.run(command, env=environment, check=True, stdout=log, stderr=log)
    return folder


def _changed(base: Any, point: Point) -> Any:  # noqa: ANN401
    spec = yaml.safe_load(yaml.safe_dump(base))
    for field, value in point.items():
        if field == "seed":
            spec["seeds"] = [value]
            continue
        *parts, last = field.split(".")
        place = spec
        for part in parts:
            place = place.setdefault(part, {})
        place[last] = value
    return spec


def _summary(folder: Path) -> list[object]:
    result = json.loads((folder / "result.json").read_bytes())
    final, verdict = result["final"], result["final"]["verdict"]
    entropies = sorted(
        (latent["judged_entropy_nats"] for latent in final["latents"]), reverse=True
    )
    return [
        f"{verdict['n_active']} of {len(entropies)}",
        f"{verdict['polarisation']:.2f}",
        f"{verdict['explained']:.3f} ± {verdict['explained_se']:.3f}",
        ", ".join([verdict["regime"], *verdict["flaws"]]),
        "yes" if result["settled"] else "no",
        " ".join(f"{entropy:.2f}" for entropy in entropies),
    ]


def _draw(folders: Sequence[Path], out: Path) -> None:
    table = pd.concat([_diagnostics(folder) for folder in folders], ignore_index=True)
    taus = table.pop("tau_nats").unique()
    if len(taus) > 1:
        raise SystemExit(f"the taus of the runs are {taus}; allowed with --figures: a single tau")
    entropies = figures.sorted_entropies_by_weight(table, taus[0])
    figures.save(entropies, table, out / "sorted_entropies_by_weight.png")
    shared = table.rename(columns={"information_residual_nats": "residual_nats"})
    information = figures.information_by_weight(shared)
    figures.save(information, shared, out / "information_by_weight.png")


def _diagnostics(folder: Path) -> pd.DataFrame:
    """The diagnostics of one run, with the columns that tell runs apart."""
    spec = ExperimentSpec.from_file(folder / "spec.yaml")
    verdict = json.loads((folder / "result.json").read_bytes())["final"]["verdict"]
    return pd.read_parquet(folder / "diagnostics.parquet").assign(
        model=spec.model.name,
        dataset=spec.dataset.name,
        weight_name=spec.model.weight_name,
        weight=spec.model.weight,
        seed=spec.seeds[0],
        tau_nats=verdict["tau_nats"],
    )


def _print_row(cells: Sequence[object]) -> None:
    print("|", " | ".join(str(cell) for cell in cells), "|")


if __name__ == "__main__":
    main()
