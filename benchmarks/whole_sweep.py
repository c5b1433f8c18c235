"""A sweep of eight betas, ours through the API and MLflow, compared with one plain script.

    python -m benchmarks.whole_sweep digits --out DIR
    python -m benchmarks.whole_sweep mnist --out DIR

Both train the networks of the example specs on the same images, 1,000 steps each. The script
(`benchmarks.plain_sweep`) takes the entropies by their definition: once at the end on 300 images,
or 18 times on 300 or on 1,000 images; the last is stopped after `--limit` seconds. Ours begins
with an idle stack of two agents, which is healthy but has no template yet, and ends when MLflow
knows that all runs have succeeded; its evaluations use all training images, up to 10,000. Reports
and figures, which the script does not have, are made after that, while nothing is trained. They
take turns, by the wall clock, so the machine must be idle. It takes 10 minutes for each dataset
and round.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import psycopg

from benchmarks.homes import temporary_home
from benchmarks.process_tree import cpu_seconds, tree_of
from benchmarks.results import (
    ROOT,
    Bar,
    Cell,
    Measured,
    Options,
    Table,
    options_of,
    parser,
    save,
)
from polar.data.images import load
from polar.spec import ExperimentSpec
from polar.spec.text import read_spec_file, read_yaml
from service.client import Client
from service.embedded.postgres import url_of
from service.embedded.running import running_stack, wait_until_healthy

BETAS = (0.1, 0.3, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
#: How many evaluations the plain script makes, as many as ours made when the bars were set; now
#: ours makes 16 in 1,000 steps.
EVALUATIONS = 18
#: How much faster ours is to be than which variant of the script.
BARS = {
    "digits": {"once on 300 images": 2.0, "18 times on 300 images": 2.5},
    "mnist": {"once on 300 images": 1.7, "18 times on 300 images": 2.0},
}
#: MLflow, and the process that tells it; that also advances studies.
TRACKERS = ("clerk", "mlflow")
POLL_S = 0.5
#: How long a stack rests after its start.
REST_S = 10.0
#: Times of runs, from what the database has stored.
TIMES = """
    select extract(epoch from first.at - runs.started_at)::float,
           extract(epoch from runs.finished_at - last.at)::float
    from app.runs
    join app.metrics first on first.run_id = runs.id and first.step = 1
    join app.metrics last on last.run_id = runs.id and last.step = %s
    where first.key = 'train/loss' and last.key = 'train/loss' and runs.created_at > %s
    order by runs.started_at
"""
TOLD = "select count(*) from app.tracking where state = 'succeeded'"


@dataclass(frozen=True)
class Sweep:
    """One sweep of ours."""

    seconds: float
    #: From the claim of a run to its first step, and from its last step to `succeeded`.
    times_s: Sequence[tuple[float, float]]
    #: Processor time of each part of the stack.
    cpu_s: Mapping[str, float]


@dataclass(frozen=True)
class Script:
    """One run of the plain script."""

    seconds: float
    #: Whether all models were trained before the limit, and how many.
    is_done: bool
    models: int


def main() -> None:
    options = parser(__doc__ or "")
    options.add_argument("dataset", choices=BARS)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--limit", type=float, default=60.0, help="seconds of the slowest script")
    given = options.parse_args()
    measure = partial(measured, dataset=given.dataset, rounds=given.rounds, limit_s=given.limit)
    save(f"whole-sweep-{given.dataset}", measure, options_of(given))


def measured(options: Options, *, dataset: str, rounds: int, limit_s: float) -> Measured:
    steps, betas = (30, BETAS[:2]) if options.quick else (1000, BETAS)
    limit_s = limit_s / 10 if options.quick else limit_s
    spec = spec_of(dataset, steps)
    images = training_images(spec)
    ours: list[Sweep] = []
    scripts: dict[str, list[Script]] = {}
    with temporary_home() as home, tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        np.save(folder / "images.npy", images)
        with running_stack(home, agents=2, device="cpu"):
            pass  # makes the databases
        _make_database_of_script(folder / "script")
        rest_s = REST_S / 10 if options.quick else REST_S
        for number in range(rounds):
            if number % 2 == 0:  # so that nobody always goes first
                ours.append(_ours(home, spec, betas, rest_s))
            for name, arguments in variants(steps).items():
                limit = limit_s if "1,000" in name else None
                script = _script(folder, arguments, betas, steps, limit)
                scripts.setdefault(name, []).append(script)
            if number % 2:
                ours.append(_ours(home, spec, betas, rest_s))
    return _measured(dataset, ours, scripts, len(betas))


def spec_of(dataset: str, steps: int) -> ExperimentSpec:
    """The example spec of the dataset, which the plain script repeats."""
    content = read_yaml(read_spec_file(ROOT / f"polar/examples/{dataset}.yaml"))
    content["training"]["steps"] = steps
    return ExperimentSpec.from_content(content)


def training_images(spec: ExperimentSpec) -> np.ndarray:
    """The images that ours trains on."""
    images: np.ndarray = load(spec.dataset).images[: spec.training_images].numpy()
    return images


def variants(steps: int) -> dict[str, list[str]]:
    """Arguments of the plain script by how it takes the entropies."""
    at = ["--at", *map(str, evaluation_steps(steps))]
    return {
        "once on 300 images": ["--evaluated", "300"],
        "18 times on 300 images": ["--evaluated", "300", *at],
        "18 times on 1,000 images": ["--evaluated", "1000", *at],
    }


def evaluation_steps(steps: int) -> list[int]:
    """As many steps as there are evaluations, evenly spaced on a logarithmic axis."""
    return sorted({round(step) for step in np.geomspace(2, steps, EVALUATIONS)})


def _ours(home: Path, spec: ExperimentSpec, betas: Sequence[float], rest_s: float) -> Sweep:
    contents: list[dict[str, Any]] = [
        spec.model_copy(update={"model": spec.model.with_weight(beta)}).model_dump(
            mode="json", by_alias=True
        )
        for beta in betas
    ]
    with (
        running_stack(home, agents=2, device="cpu") as stack,
        Client(home=home) as client,
        psycopg.connect(url_of(home, "app"), autocommit=True) as database,
    ):
        time.sleep(rest_s)
        (known,) = database.execute(TOLD).fetchone() or (0,)
        (since,) = database.execute("select now()").fetchone() or (None,)
        before, begin = _cpu_s(stack.processes), time.monotonic()
        for content in contents:
            client.submit(content, force=True)
        while (database.execute(TOLD).fetchone() or (0,))[0] < known + len(betas):
            time.sleep(POLL_S)
        seconds = time.monotonic() - begin
        stack = wait_until_healthy(home)  # some of its processes begin when they are needed
        after = _cpu_s(stack.processes)
        cpu_s = {name: used - before.get(name, 0.0) for name, used in after.items()}
        times = database.execute(TIMES, (spec.training.steps, since)).fetchall()
    return Sweep(seconds, [(first, last) for first, last in times], cpu_s)


def _cpu_s(processes: Mapping[str, int]) -> dict[str, float]:
    return {name: cpu_seconds(tree_of(pid)) for name, pid in processes.items()}


def _make_database_of_script(place: Path) -> None:
    """Have MLflow make the database of this folder, which it does at its first use."""
    place.mkdir()
    command = [sys.executable, "-c", "import mlflow; mlflow.set_experiment('sweep')"]
    subprocess.run(command, cwd=place, check=True, capture_output=True)


def _script(
    folder: Path,
    arguments: Sequence[str],
    betas: Sequence[float],
    steps: int,
    limit_s: float | None,
) -> Script:
    """Run the plain script in a folder of its own, with the threads that torch takes by itself."""
    place = folder / "script"
    threads = ("OMP_", "MKL_", "OPENBLAS_")
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(threads)
    }
    command = [sys.executable, "-m", "benchmarks.plain_sweep", "--images", "../images.npy"]
    command += ["--steps", f"{steps}", "--betas", *map(str, betas), *arguments]
    begin = time.monotonic()
    with (place / "out.txt").open("w") as out, (place / "log.txt").open("w") as log:
        process = subprocess.Popen(
            command, cwd=place, env=environment | {"PYTHONPATH": str(ROOT)}, stdout=out, stderr=log
        )
        try:
            code = process.wait(limit_s)
        except subprocess.TimeoutExpired:
            code = None
            process.kill()
            process.wait()
    seconds = time.monotonic() - begin
    if code:
        raise SystemExit(f"the plain script ended with {code}: {(place / 'log.txt').read_text()}")
    models = len((place / "out.txt").read_text().splitlines())
    return Script(seconds, code == 0, models)


def _measured(
    dataset: str, ours: Sequence[Sweep], scripts: Mapping[str, Sequence[Script]], models: int
) -> Measured:
    our_s = statistics.median(sweep.seconds for sweep in ours)
    rows: list[list[Cell]] = [["ours", our_s, None, "all"]]
    bars = []
    for name, of_one in scripts.items():
        seconds = statistics.median(script.seconds for script in of_one)
        pairs = zip(of_one, ours, strict=True)
        ratio = statistics.median(script.seconds / sweep.seconds for script, sweep in pairs)
        is_done = all(script.is_done for script in of_one)
        fewest = min(script.models for script in of_one)
        done = "all" if is_done else f"{fewest} of {models}, not done after {seconds:.0f} s"
        rows.append([f"script, entropies {name}", seconds, ratio if is_done else None, done])
        if name in BARS[dataset]:
            what = f"whole sweep on {dataset}, to the script with entropies {name}"
            bars.append(Bar(what, ratio, BARS[dataset][name], "x", is_least=True))
    cpu_s = {
        name: statistics.median(sweep.cpu_s[name] for sweep in ours) for name in ours[0].cpu_s
    }
    total = sum(cpu_s.values())
    # the first run of each of two agents waits for its template
    warm = [times for sweep in ours for times in sweep.times_s[2:]] or ours[0].times_s
    first, last = (statistics.median(times) for times in zip(*warm, strict=True))
    tracking = sum(cpu_s[name] for name in TRACKERS)
    bars += [
        Bar(f"claim to first step, warm, {dataset}", first, 0.5, "s"),
        Bar(f"last step to succeeded, {dataset}", last, 1.0, "s"),
        Bar(f"tracking in a sweep on {dataset}, of all CPU time", tracking / total * 100, 2, "%"),
    ]
    shares: list[list[Cell]] = [
        [name, seconds, seconds / total * 100] for name, seconds in cpu_s.items()
    ]
    return Measured(
        [
            Table(
                f"A sweep of {models} betas on {dataset}, medians of {len(ours)} rounds",
                ["sweep", "s", "to ours", "models trained"],
                rows,
            ),
            Table("Processor time of our stack", ["process", "s", "% of all"], shares),
            Table(
                "Runs of the last sweep, in the order of their start",
                ["run", "claim to first step, s", "last step to succeeded, s"],
                [[place, *times] for place, times in enumerate(ours[-1].times_s, 1)],
            ),
        ],
        bars,
        {"ours": [sweep.seconds for sweep in ours],
         "scripts": {name: [one.seconds for one in each] for name, each in scripts.items()}},
    )  # fmt: skip


if __name__ == "__main__":
    main()
