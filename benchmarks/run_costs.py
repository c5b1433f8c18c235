"""What the processor time of a run goes to, for `benchmarks.steps`, which starts it.

    python -m benchmarks.run_costs polar/examples/digits.yaml --steps 1000

It prints JSON: seconds by part, and page faults of a step between two reports.
"""

import argparse
import json
import resource
import tempfile
import time
from importlib import import_module
from pathlib import Path

import torch

from benchmarks.evaluations import timed
from polar.experiment import completion
from polar.experiment.run import run
from polar.records.events import Progress, Started
from polar.spec import ExperimentSpec
from polar.spec.text import read_spec_file, read_yaml
from polar.training import loop
from polar.training.allocator import keep_freed_memory
from workers.training.template import NEEDED

#: The part of the steps whose page faults are counted; none of them is evaluated or saved.
STEADY = (0.73, 0.9)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("spec", type=Path)
    parser.add_argument("--steps", type=int, required=True)
    options = parser.parse_args()
    content = read_yaml(read_spec_file(options.spec))
    content["training"]["steps"] = options.steps
    spec = ExperimentSpec.from_content(content)
    torch.set_num_threads(1)
    keep_freed_memory()
    for name in NEEDED:
        import_module(name)
    print(json.dumps(_costs(spec, options.steps)))


def _costs(spec: ExperimentSpec, steps: int) -> dict[str, float]:
    seconds = {"evaluate": 0.0, "_saved": 0.0}
    for name in seconds:
        setattr(loop, name, timed(getattr(loop, name), name, seconds))
    faults: dict[int, int] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        begin = first = last = time.process_time()
        for event in run(spec, out=folder / "run", checkpoints=folder, with_findings=False):
            if isinstance(event, Started):
                first = time.process_time()
            elif isinstance(event, Progress):
                faults[event.step] = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
            if getattr(event, "step", 0) == steps:
                last = time.process_time()
        end = time.process_time()
        for _ in completion.complete(folder / "run"):
            pass
        findings = time.process_time() - end
    before, after = (round(steps * part / 10) * 10 for part in STEADY)
    return {
        "start": first - begin,
        "steps": last - first - seconds["evaluate"] - seconds["_saved"],
        "evaluations": seconds["evaluate"],
        "checkpoints": seconds["_saved"],
        "end": end - last,
        "findings": findings,
        "faults of a step": (faults[after] - faults[before]) / (after - before),
    }


if __name__ == "__main__":
    main()
