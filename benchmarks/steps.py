"""Steps of training, compared with pythae's and with those of a plain loop, and what a run costs.

    python -m benchmarks.steps --out DIR

All train the same network (widths 32 to 128, 32 latents, 64x64 images) on the same images for one
epoch, each in a process of its own, and take turns; the second half of the steps is timed by the
wall clock, so the machine must be idle. Pythae gets an environment of its own in DIR (3 GB, made
once). It takes 10 minutes, and two more to make the environment. Where the processor has no
bfloat16, nothing is trained in it.

What a run costs is the processor time of the process that trains, which has its imports from the
template of its agent. The findings (reports and figures), made after the run, are shown beside it.
"""

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from benchmarks.environments import environment, python_of
from benchmarks.machine import has_bfloat16
from benchmarks.results import ROOT, Bar, Cell, Measured, Options, Table, run
from polar.data.images import load
from polar.spec.datasets import SpritesSpec

#: Processes that train at the same time, each with its interpreter, module and options.
Variant = Sequence[tuple[str, str, Mapping[str, str]]]
Rates = dict[str, list[float]]

PYTHAE, PLAIN, OURS = "pythae", "plain loop", "ours"
TWO, TWO_BF16 = "two models of ours at once, a thread each", "the same in bfloat16"
#: How much faster than which variant: names, factor.
#: What pythae's environment has: the torch that pip chooses for it, which the page names.
PEER = ("pythae==0.1.2", "torch")
BARS = (
    (OURS, PYTHAE, 1.5),
    (OURS, PLAIN, 1.4),
    (TWO, PYTHAE, 2.0),
    (TWO_BF16, PYTHAE, 2.5),
)
#: Powers of two, so that we evaluate in between as little as the others.
IMAGES, QUICK_IMAGES = 8192, 1024


def main() -> None:
    run("steps", measured, __doc__ or "")


def measured(options: Options) -> Measured:
    pythae = environment(options.out / "environments" / "pythae", *PEER)
    images = options.out / "sprites.npy"
    spec = SpritesSpec(images=QUICK_IMAGES if options.quick else IMAGES)
    np.save(images, load(spec).images.numpy())
    tables = [_versions({"pythae": python_of(pythae), "ours": sys.executable})]
    bars, single = [], {}
    for batch in (128,) if options.quick else (128, 256):
        rates = _rates(_variants(python_of(pythae)), images, batch, 1 if options.quick else 3)
        tables.append(_table(batch, rates))
        bars += [_bar(batch, rates, *each) for each in BARS]
        single[batch] = rates
    images.unlink()
    steps = 200 if options.quick else 1000
    costs = [_costs(steps) for _ in range(1 if options.quick else 3)]
    medians = {part: statistics.median(each[part] for each in costs) for part in costs[0]}
    table, more = _of_costs(steps, medians)
    return Measured([*tables, table], bars + more, {"images_per_s": single, "costs": costs})


def _versions(pythons: Mapping[str, str]) -> Table:
    """The version of torch in each environment."""
    command = ["-c", "import torch; print(torch.__version__)"]
    rows = [
        [
            name,
            subprocess.run(
                [python, *command], check=True, capture_output=True, text=True
            ).stdout.strip(),
        ]
        for name, python in pythons.items()
    ]
    return Table("Versions of torch", ["environment", "torch"], rows)


def _variants(pythae: str) -> dict[str, Variant]:
    here, one = sys.executable, {"threads": "1"}
    variants: dict[str, Variant] = {
        PYTHAE: [(pythae, "pythae_training", {})],
        "plain loop with pythae's torch": [(pythae, "plain_training", {})],
        PLAIN: [(here, "plain_training", {})],
        "ours, a single thread": [(here, "our_training", one)],
        OURS: [(here, "our_training", {})],
        TWO: [(here, "our_training", one)] * 2,
    }
    if has_bfloat16():
        variants[TWO_BF16] = [(here, "our_training", one | {"precision": "bfloat16"})] * 2
    return variants


def _rates(variants: Mapping[str, Variant], images: Path, batch: int, rounds: int) -> Rates:
    """Images per second and round, of all models of a variant together."""
    rates: Rates = {name: [] for name in variants}
    for _ in range(rounds):
        for name, variant in variants.items():
            rates[name].append(_rate(variant, images, batch))
    return rates


def _rate(variant: Variant, images: Path, batch: int) -> float:
    processes = [_started(*each, images=images, batch=batch) for each in variant]
    for process in processes:
        assert process.stdout
        if process.stdout.readline() != "ready\n":
            raise SystemExit(f"{process.args!r} ended with {process.wait()} before its steps")
    for process in processes:  # all are ready, so that all train at the same time
        assert process.stdin
        process.stdin.write("go\n")
        process.stdin.flush()
    seconds = [json.loads(process.communicate()[0])["seconds"] for process in processes]
    half = np.load(images, mmap_mode="r").shape[0] / 2
    return float(sum(half / each for each in seconds))


def _started(
    python: str, module: str, options: Mapping[str, str], *, images: Path, batch: int
) -> subprocess.Popen[str]:
    options = {"threads": "2", **options, "images": f"{images}", "batch": f"{batch}"}
    arguments = [word for name, value in options.items() for word in (f"--{name}", value)]
    return subprocess.Popen(
        [python, "-m", f"benchmarks.{module}", *arguments],
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": options["threads"], "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def _table(batch: int, rates: Rates) -> Table:
    rows: list[list[Cell]] = [
        [name, statistics.median(of_one), ratio(rates, name, PYTHAE), ratio(rates, name, PLAIN)]
        for name, of_one in rates.items()
    ]
    title = f"Training, batches of {batch}, float32 and two threads unless said otherwise"
    return Table(title, ["training", "images/s", "to pythae", "to the plain loop"], rows)


def ratio(rates: Rates, name: str, other: str) -> float:
    """The median of the ratios within each round."""
    return statistics.median(a / b for a, b in zip(rates[name], rates[other], strict=True))


def _bar(batch: int, rates: Rates, name: str, other: str, factor: float) -> Bar:
    value = ratio(rates, name, other) if name in rates else None
    compared = "two of pythae's one after the other" if name in (TWO, TWO_BF16) else other
    what = TWO + " in bfloat16" if name == TWO_BF16 else name
    return Bar(f"{what}, to {compared}, batch {batch}", value, factor, "x", is_least=True)


def _costs(steps: int) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.run_costs", "polar/examples/digits.yaml"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [*command, "--steps", f"{steps}"],
        cwd=ROOT,
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    )
    costs: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return costs


def _of_costs(steps: int, costs: dict[str, float]) -> tuple[Table, list[Bar]]:
    faults, findings = costs.pop("faults of a step"), costs.pop("findings")
    run_s, steps_s = sum(costs.values()), costs["steps"]
    rows: list[list[Cell]] = [
        [name, seconds, seconds / run_s * 100] for name, seconds in costs.items()
    ]
    rows.append(["findings, made after the run", findings, findings / run_s * 100])
    other_s = run_s - steps_s
    title = f"A run of {steps:,} steps of digits in a warm child, one thread, processor time"
    return Table(title, ["part", "s", "% of the run"], rows), [
        Bar("everything in a run that is not a step", other_s / run_s * 100, 15, "%"),
        Bar("the same with findings", (other_s + findings) / (run_s + findings) * 100, 15, "%"),
        Bar("evaluations, to the steps", costs["evaluations"] / steps_s * 100, 10, "%"),
        Bar("page faults of a steady step", faults, 500, ""),
    ]


if __name__ == "__main__":
    main()
