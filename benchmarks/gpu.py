"""Measures what a GPU makes of trainings and entropies, and whether it is right.

    python -m benchmarks.gpu --out gpu.json            # on a machine with a CUDA device, 8 minutes
    python -m benchmarks.gpu --report gpu.json > docs/gpu.md

It needs torch, numpy, scipy, scikit-learn, pandas, pyarrow, pydantic, jaxtyping and matplotlib.
Ways of training take turns, a hundred steps each, and rates are medians. Nets see images without
meaning, because what they learn does not change how long a step takes.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch

import polar
from benchmarks.gpu_report import report
from benchmarks.plain_loop import PlainLoop
from polar import renyi_entropy
from polar.data.images import load
from polar.records.events import Progress, Result
from polar.spec import ExperimentSpec
from polar.training import graph, steps
from polar.training.evaluation import evaluate
from polar.training.inputs import Inputs, inputs
from polar.training.loop import train
from polar.training.state import TrainingState, fresh
from polar.training.subset import evaluation_subset
from service.processes import ONE_THREAD

CPU, GPU = torch.device("cpu"), torch.device("cuda")
MODELS = ("beta_vae", "ivae", "fixed_variance_vae", "lv_ae", "l2_ae", "ae")
IMAGES = 50_000
NETS: Mapping[str, Mapping[str, Any]] = {
    "narrow": {
        "dataset": {"name": "mnist", "images": IMAGES},
        "model": {"latent_dim": 16, "widths": [8, 8, 16, 16, 32]},
    },
    "wide": {
        "dataset": {"name": "dsprites", "images": IMAGES},
        "model": {"latent_dim": 32, "widths": [32, 32, 64, 64, 256]},
    },
}
BATCHES = (64, 128, 256)
#: Hundreds of steps of each way; the first, with the capture of a graph, does not count.
ROUNDS = 5
#: More steps than any training has, so that no graph is made.
NEVER = 10**9
#: Steps of the trainings that are evaluated on both devices.
EVALUATED_AT = 150
DIGITS = Path("polar/examples/digits.yaml")
#: Steps of a whole run, which the report names.
RUN_STEPS = 1000
#: Forks as an agent's template does, and says when its child had used the GPU, and had trained.
FORK = f"""
import json, os, time
from importlib import import_module
from workers.training.template import NEEDED
for name in NEEDED:
    import_module(name)
import polar, torch
from polar.records.events import Progress
threads, begin = len(os.listdir("/proc/self/task")), time.perf_counter()
child = os.fork()
if child:
    raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
torch.ones(3, device="cuda").sum().item()
used = time.perf_counter() - begin
run = polar.run(polar.ExperimentSpec.from_file({str(DIGITS)!r}), device="cuda")
next(event for event in run if isinstance(event, Progress))
trained = time.perf_counter() - begin
print(json.dumps(dict(threads=threads, used_s=used, trained_s=trained)), flush=True)
os._exit(0)
"""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("gpu.json"))
    parser.add_argument("--report", type=Path, metavar="JSON", help="print the tables of a file")
    options = parser.parse_args()
    if options.report:
        print(report(json.loads(options.report.read_text())))
        return
    torch.set_num_threads(1)
    found: dict[str, Any] = {}
    for measure in (machine, forked, losses, evaluations, entropies, whole_runs, rates):
        begin = time.perf_counter()
        found[measure.__name__] = measure()
        print(f"{measure.__name__}: {time.perf_counter() - begin:.1f} s", flush=True)
        options.out.write_text(json.dumps(found, indent=1))  # what there is, if time runs out
    print(report(found))


def machine() -> dict[str, Any]:
    return {
        "card": torch.cuda.get_device_name(),
        "torch": torch.__version__,
        "cudnn": torch.backends.cudnn.version(),  # type: ignore[no-untyped-call]
        "python": platform.python_version(),
    }


def forked() -> dict[str, Any]:
    command = [sys.executable, "-c", FORK]
    one_thread = {**os.environ, **ONE_THREAD}
    child = subprocess.run(command, check=False, capture_output=True, text=True, env=one_thread)
    if child.returncode:
        return {"error": child.stderr[-2000:]}
    said: dict[str, Any] = json.loads(child.stdout)
    return said


def losses() -> list[dict[str, Any]]:
    """How far the losses of the first steps are from those of the CPU, relatively."""
    rows = []
    for model in MODELS:
        spec = _digits(model)
        on_cpu, on_gpu = (
            [event.loss for event in _run(spec, device) if isinstance(event, Progress)]
            for device in ("cpu", "cuda")
        )
        apart = [abs(gpu / cpu - 1) for cpu, gpu in zip(on_cpu, on_gpu, strict=True)]
        rows.append({"model": model, "first": apart[0], "largest": max(apart)})
    return rows


def evaluations() -> list[dict[str, Any]]:
    """How far the evaluation of one trained model is from that on the CPU."""
    rows = []
    for model in MODELS:
        spec = _digits(model, steps=EVALUATED_AT)
        dataset = load(spec.dataset)
        trained = fresh(spec, dataset.digest, CPU)
        found = []
        for device in (CPU, GPU):
            data = inputs(dataset, spec, device).training
            subset = evaluation_subset(data, spec)
            if device == CPU:
                list(train(trained, data, subset))
            state = fresh(spec, dataset.digest, device)
            state.model.load_state_dict(trained.model.state_dict())
            found.append(evaluate(state.model, subset, spec, EVALUATED_AT))
        cpu, gpu = found
        values = zip(cpu.scalars().values(), gpu.scalars().values(), strict=True)
        rows.append(
            {
                "model": model,
                "regimes": [cpu.verdict.regime, gpu.verdict.regime],
                "labels_alike": [a.label for a in cpu.latents] == [b.label for b in gpu.latents],
                "largest": max(abs(b - a) / max(1, abs(a)) for a, b in values),
            }
        )
    return rows


def entropies() -> list[dict[str, Any]]:
    return [_entropies_of(n, alpha) for n in (10_000, 100_000, 1_000_000) for alpha in (1.01, 2.0)]


def _entropies_of(n: int, alpha: float) -> dict[str, Any]:
    x = torch.randn(n, 32, generator=torch.Generator().manual_seed(0))
    on_gpu = x.cuda()
    gpu_s, gpu = _timed(lambda: renyi_entropy(on_gpu, alpha=alpha), 5)
    cpu_s, cpu = _timed(lambda: renyi_entropy(x, alpha=alpha), 1)
    apart = float((gpu.nats.cpu() - cpu.nats).abs().max())
    return {"n": n, "alpha": alpha, "gpu_s": gpu_s, "cpu_s": cpu_s, "apart": apart}


def whole_runs() -> dict[str, float]:
    """Seconds of a run of the digits to its verdict, evaluations included, each made once."""
    spec = ExperimentSpec.from_file(DIGITS)
    training = spec.training.model_copy(update={"steps": RUN_STEPS})
    spec = spec.model_copy(update={"training": training})
    ways: dict[str, Callable[[], object]] = {
        "CPU, one thread": lambda: _run(spec, "cpu"),
        "GPU, kernel by kernel": lambda: _without_graph(lambda: _run(spec, "cuda")),
        "GPU, graph": lambda: _run(spec, "cuda"),
    }
    return {way: _timed(work, 1)[0] for way, work in ways.items()}


def rates() -> list[dict[str, Any]]:
    """Steps per second of every way to train, by net and batch."""
    rows = []
    for net, parts in NETS.items():
        side = ExperimentSpec.model_validate(parts).dataset.side
        images = torch.randint(256, (IMAGES, 1, side, side), dtype=torch.uint8)
        data = Inputs(images.cuda(), torch.empty(IMAGES, 0, dtype=torch.uint8).cuda())
        for batch in BATCHES:
            seconds: dict[str, list[float]] = {}
            ways = _ways(parts, batch, data)
            for _ in range(ROUNDS):
                for way, advance in ways.items():
                    seconds.setdefault(way, []).append(advance())
            for way, each in seconds.items():
                rate = statistics.median(each[1:])
                print(net, batch, way, round(rate), flush=True)
                rows.append({"net": net, "batch": batch, "way": way, "steps_per_s": rate})
    return rows


def _ways(parts: Mapping[str, Any], batch: int, data: Inputs) -> dict[str, Callable[[], float]]:
    """Functions that make a hundred steps each, and return steps per second."""
    float32, bfloat16 = (_timed_spec(parts, batch, kind) for kind in ("float32", "bfloat16"))
    inexact = patch.object(steps, "exact_float32", nullcontext)
    return {
        "DataLoader": PlainLoop(_state(float32), data, batch, workers=0).rate,
        "DataLoader, 4 workers": PlainLoop(_state(float32), data, batch, workers=4).rate,
        "kernel by kernel": _Ours(float32, data, patch.object(graph, "EAGER_STEPS", NEVER)).rate,
        "graph": _Ours(float32, data).rate,
        "graph, TF32": _Ours(float32, data, inexact).rate,
        "graph, bfloat16": _Ours(bfloat16, data).rate,
    }


class _Ours:
    """A training as `polar.run` makes it, a report at a time."""

    def __init__(
        self,
        spec: ExperimentSpec,
        data: Inputs,
        changed: AbstractContextManager[object] | None = None,
    ) -> None:
        self._batch = spec.training.batch_size
        self._changed = changed or nullcontext()
        events = train(_state(spec), data, evaluation_subset(data, spec))
        self._reports: Iterator[Progress] = (
            event for event in events if isinstance(event, Progress) and event.step % 100 == 0
        )

    def rate(self) -> float:
        with self._changed:
            return next(self._reports).images_per_s / self._batch


def _state(spec: ExperimentSpec) -> TrainingState:
    return fresh(spec, "no dataset", GPU)


def _timed_spec(parts: Mapping[str, Any], batch: int, precision: str) -> ExperimentSpec:
    training = {"steps": 10_000, "batch_size": batch, "held_out": 0, "precision": precision}
    few = {"images": 64, "information_images": 0, "evaluations_per_doubling": 1}
    return ExperimentSpec.model_validate({**parts, "training": training, "diagnostics": few})


def _digits(model: str, steps: int = 40) -> ExperimentSpec:
    return ExperimentSpec.model_validate(
        {
            "dataset": {"name": "digits"},
            "model": {"name": model, "latent_dim": 16, "widths": [8, 8, 16, 16, 32]},
            "training": {"steps": steps, "batch_size": 64, "learning_rate": 1e-3},
        }
    )


def _run(spec: ExperimentSpec, device: str) -> list[Any]:
    events = list(polar.run(spec, device=device, with_findings=False))
    assert isinstance(events[-1], Result)
    return events


def _without_graph(work: Callable[[], object]) -> object:
    with patch.object(graph, "EAGER_STEPS", NEVER):
        return work()


def _timed(work: Callable[[], Any], times: int) -> tuple[float, Any]:
    """The median of seconds, and the last result; for several times, a first call is left out."""
    seconds = []
    for _ in range(times + (times > 1)):
        torch.cuda.synchronize()
        begin = time.perf_counter()
        result = work()
        torch.cuda.synchronize()
        seconds.append(time.perf_counter() - begin)
    return statistics.median(seconds[-times:]), result


if __name__ == "__main__":
    main()
