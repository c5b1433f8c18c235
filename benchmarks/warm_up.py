"""Compares trainings whose weight rises at the start with those that have it from the first step.

    python -m benchmarks.warm_up --out DIR --weights beta_vae=0.12,1,18,22 lv_ae=1e-3,3e-3

Each family is trained on the digits with a small network, at each weight, with each warm-up of
`WARM_UPS` and each seed. A row says how it ended: regime, active latents, R, the loss of the
trained model by samples of the posteriors, and by how much it is above that of total collapse; a
model below 0 that another warm-up did not reach shows that its optimisation failed. Finished
trainings are kept in DIR and not repeated.
"""

import argparse
import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from polar.experiment.run import run
from polar.files import written_aside
from polar.records.events import Result
from polar.spec import MODELS, ExperimentSpec
from polar.training.allocator import keep_freed_memory

WARM_UPS: Mapping[str, Mapping[str, object] | None] = {
    "none": None,
    "linear": {"fraction": 0.5, "scale": "linear"},
    "logarithmic": {"fraction": 0.5, "scale": "logarithmic"},
}
COLUMNS = (
    "model", "weight", "warm-up", "seed",
    "regime", "active", "R", "loss, nats", "above collapse, nats", "settled",
)  # fmt: skip


def main() -> None:
    arguments = _arguments()
    keep_freed_memory()
    torch.set_num_threads(1)
    _print_row(COLUMNS)
    _print_row(["---"] * len(COLUMNS))
    trainings = itertools.product(arguments.seeds, arguments.weights, arguments.warm_ups)
    for seed, (model, weight), warm_up in trainings:
        spec = _spec(model, weight, warm_up, seed, arguments.steps)
        result = _result(spec, arguments.out)
        _print_row([model, f"{weight:g}", warm_up, seed, *_summary(result, weight)])


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--weights", nargs="+", required=True, metavar="MODEL=A,B")
    parser.add_argument("--warm-ups", nargs="+", choices=WARM_UPS, default=list(WARM_UPS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--steps", type=int, default=2000)
    arguments = parser.parse_args()
    arguments.weights = [
        (model, float(weight))
        for model, weights in (text.split("=", 1) for text in arguments.weights)
        for weight in weights.split(",")
    ]
    return arguments


def _spec(model: str, weight: float, warm_up: str, seed: int, steps: int) -> ExperimentSpec:
    return ExperimentSpec.model_validate(
        {
            "dataset": {"name": "digits"},
            "model": {
                "name": model,
                str(MODELS[model].weight_name): weight,
                "latent_dim": 16,
                "widths": [8, 8, 16, 16, 32],
            },
            "training": {
                "steps": steps,
                "batch_size": 64,
                "learning_rate": 4e-3,
                "weight_warm_up": WARM_UPS[warm_up],
            },
            "diagnostics": {"information_images": 0},
            "seeds": [seed],
        }
    )


def _result(spec: ExperimentSpec, folder: Path) -> Result:
    path = folder / f"{spec.content_hash()[:16]}.json"
    if not path.exists():
        *_, result = run(spec, device="cpu")
        assert isinstance(result, Result)
        folder.mkdir(parents=True, exist_ok=True)
        with written_aside(path) as aside:
            aside.write_text(result.model_dump_json())
    return Result.model_validate_json(path.read_bytes())


def _summary(result: Result, weight: float) -> list[object]:
    verdict, terms = result.final.verdict, result.loss_terms
    assert terms is not None
    above = f"{terms.above_collapse_nats(weight):.1f} ± {terms.se_nats(weight):.1f}"
    return [
        " ".join([verdict.regime.value, *(flaw.value for flaw in verdict.flaws)]),
        verdict.n_active,
        f"{verdict.explained:.2f}",
        f"{terms.loss_nats(weight):.1f}",
        above,
        "yes" if result.settled else "no",
    ]


def _print_row(cells: Sequence[object]) -> None:
    print("|", " | ".join(map(str, cells)), "|", flush=True)


if __name__ == "__main__":
    main()
