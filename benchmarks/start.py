"""Measures what lies between the request of a child and its first step, and what a template costs.

    python -m benchmarks.start [--datasets digits mnist sprites]

Each dataset is trained on twice, because its files may be made by the first child; MNIST and the
sprites have 10,000 images. Times are processor times, which neighbours change little. Memory is
PSS, in which a page that several processes share counts in parts.
"""

import argparse
import gc
import os
import sys
import time
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path

from benchmarks.timing import print_table
from polar.records.events import Progress, Started
from polar.spec import ExperimentSpec
from service.processes import ONE_THREAD
from workers.training.template import NEEDED

DATASETS: Mapping[str, Mapping[str, int]] = {
    "digits": {},
    "mnist": {"images": 10_000},
    "sprites": {"images": 10_000},
}
HEAD = ("dataset", "modules imported", "s to `Started`", "s to the first step", "MiB")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.start", description=__doc__)
    parser.add_argument("--datasets", nargs="+", choices=DATASETS, default=list(DATASETS))
    options = parser.parse_args()
    os.environ.update(ONE_THREAD)
    for name in NEEDED:
        import_module(name)
    gc.collect()
    gc.freeze()
    threads = len(os.listdir("/proc/self/task"))
    print(
        f"template: {time.process_time():.2f} s, {len(sys.modules)} modules, {threads} thread, "
        f"{_pss_mib():.0f} MiB\n"
    )
    print_table(HEAD, [])
    for name in options.datasets:
        for _ in range(2):
            _in_a_child(name)


def _in_a_child(name: str) -> None:
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        print("| " + " | ".join([name, *_of_a_run(name)]) + " |", flush=True)
        os._exit(0)
    os.waitpid(child, 0)


def _of_a_run(name: str) -> list[str]:
    spec = ExperimentSpec.model_validate(
        {
            "dataset": {"name": name, **DATASETS[name]},
            "model": {"latent_dim": 10},
            "training": {"steps": 20},
        }
    )
    before = set(sys.modules)
    run = sys.modules["polar.experiment.run"].run(spec, device="cpu")
    next(event for event in run if isinstance(event, Started))
    started_s = time.process_time()
    next(event for event in run if isinstance(event, Progress))
    new = len(set(sys.modules) - before)
    return [str(new), f"{started_s:.3f}", f"{time.process_time():.3f}", f"{_pss_mib():.0f}"]


def _pss_mib() -> float:
    for line in Path("/proc/self/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024
    raise LookupError("/proc/self/smaps_rollup has no Pss")


if __name__ == "__main__":
    main()
