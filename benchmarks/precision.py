"""Measures what training in bfloat16 saves on a CPU, and how far it moves the results.

    python -m benchmarks.precision [--only steps results]

Steps take turns, on one thread. Results are those of `examples/digits.yaml` at two weights; the
same in float32 with another seed says how far chance moves them.
"""

import argparse
from collections.abc import Callable, Mapping
from typing import Any

import torch

import polar
from benchmarks.timing import medians, print_table
from polar.records.events import Result
from polar.spec import ExperimentSpec
from polar.spec.training import Precision
from polar.training.allocator import keep_freed_memory
from polar.training.inputs import Inputs
from polar.training.meter import Meter
from polar.training.state import fresh
from polar.training.steps import Steps

CPU = torch.device("cpu")
NETS: Mapping[str, Mapping[str, Any]] = {
    "narrow": {
        "dataset": {"name": "mnist", "images": 1000},
        "model": {"latent_dim": 16, "widths": [8, 8, 16, 16, 32]},
    },
    "wide": {
        "dataset": {"name": "dsprites", "images": 1000},
        "model": {"latent_dim": 32, "widths": [32, 32, 64, 64, 256]},
    },
}
BATCHES = (64, 128, 256)
ROUNDS = 9
BETAS = (1.0, 4.0)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.precision", description=__doc__)
    parts = {"steps": _print_steps, "results": _print_results}
    parser.add_argument("--only", nargs="+", choices=parts, default=list(parts))
    torch.set_num_threads(1)
    keep_freed_memory()
    for part in parser.parse_args().only:
        parts[part]()


def _print_steps() -> None:
    print_table(["net", "batch", "ms, float32", "ms, bfloat16", "ratio"], [])
    for net, parts in NETS.items():
        for batch in BATCHES:
            ways = {kind: _step(parts, batch, kind) for kind in ("float32", "bfloat16")}
            for make in ways.values():
                make()
            seconds = medians(ways, ROUNDS)
            float32, bfloat16 = (1000 * seconds[kind] for kind in ways)
            ratio = float32 / bfloat16
            print(
                f"| {net} | {batch} | {float32:.1f} | {bfloat16:.1f} | {ratio:.2f} |", flush=True
            )


def _step(parts: Mapping[str, Any], batch: int, precision: str) -> Callable[[], object]:
    training = {"batch_size": batch, "held_out": 0, "precision": precision}
    spec = ExperimentSpec.model_validate({**parts, "training": training})
    images = torch.randint(256, (1000, 1, spec.dataset.side, spec.dataset.side))
    data = Inputs(images.byte(), torch.empty(1000, 0, dtype=torch.uint8))
    state = fresh(spec, "no dataset", CPU)
    steps, rows = Steps(state, data, Meter(state)), torch.arange(batch)
    return lambda: steps.make(rows, 1.0)


def _print_results() -> None:
    head = ["beta", "training", "verdict", "active", "R", "nats away, at most", "loss"]
    print_table(head, [])
    for beta in BETAS:
        base = _result(beta, "float32", 0)
        for name, result in (
            ("float32", base),
            ("bfloat16", _result(beta, "bfloat16", 0)),
            ("float32, seed 1", _result(beta, "float32", 1)),
        ):
            verdict = result.final.verdict
            print(
                f"| {beta} | {name} | {verdict.regime} | {verdict.n_active} "
                f"| {verdict.explained:.3f} | {_away(result, base):.3f} "
                f"| {result.final.reconstruction_nats:.2f} |",
                flush=True,
            )


def _away(result: Result, base: Result) -> float:
    """Largest difference between the sorted entropies of two runs; seeds order latents anew."""
    ours, theirs = (
        sorted(latent.entropy_nats for latent in each.final.latents) for each in (result, base)
    )
    return max(abs(a - b) for a, b in zip(ours, theirs, strict=True))


def _result(beta: float, precision: Precision, seed: int) -> Result:
    content = ExperimentSpec.from_file("polar/examples/digits.yaml").model_dump()
    content["model"]["beta"] = beta
    content["training"]["precision"] = precision
    spec = ExperimentSpec.from_content({**content, "seeds": [seed]})
    *_, result = polar.run(spec, device="cpu", with_findings=False)
    assert isinstance(result, Result)
    return result


if __name__ == "__main__":
    main()
