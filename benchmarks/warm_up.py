"""Compares trainings whose weight rises at the start with those that have it from the first step.

    python -m benchmarks.warm_up --out DIR
    python -m benchmarks.warm_up --out DIR --weights beta_vae=18,22 lv_ae=3e-3 --seeds 0

Each family of `benchmarks.league` is trained on the digits with a small network, at each weight,
with each warm-up of `WARM_UPS` and each seed. A row says how the seeds ended: regimes, active
latents, R, and by how much the loss of each trained model, by samples of the posteriors, is above
that of total collapse; a model below 0 that another warm-up did not reach shows that its
optimisation failed. Finished trainings are kept in DIR and not repeated; there are 168, and
`--jobs 2` makes two at a time.
"""

import argparse
import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from benchmarks.league import FAMILIES, model_of
from benchmarks.trainings import kept, spec_of
from polar.experiment.run import run
from polar.records.events import Result
from polar.spec import ExperimentSpec

WARM_UPS: Mapping[str, Mapping[str, object] | None] = {
    "none": None,
    "linear": {"fraction": 0.5, "scale": "linear"},
    "logarithmic": {"fraction": 0.5, "scale": "logarithmic"},
    "short": {"fraction": 0.25, "scale": "linear"},
}
#: Weights in the middle of the band and at its right edge; a beta-VAE also has one at its left.
WEIGHTS: Mapping[str, Sequence[float]] = {
    "beta_vae": (0.25, 1, 12, 18, 22),
    "ivae_learned": (4, 20),
    "ivae_fixed": (4, 20),
    "lv_ae": (3e-5, 1e-3, 3e-3),
    "l2_ae": (0.1, 1),
}
COLUMNS = (
    "model", "weight", "warm-up", "regimes", "active", "R", "above collapse, nats", "mean, nats",
    "settled",
)  # fmt: skip


def main() -> None:
    arguments = _arguments()
    cases = [
        (family, weight, warm_up)
        for family, weights in arguments.weights.items()
        for weight, warm_up in itertools.product(weights, arguments.warm_ups)
    ]
    _print_row(COLUMNS)
    _print_row(["---"] * len(COLUMNS))
    pool = ProcessPoolExecutor(arguments.jobs, mp_context=get_context("spawn"))
    with pool:
        futures = [
            [
                pool.submit(_result, _spec(*case, seed, arguments.steps), arguments.out)
                for seed in arguments.seeds
            ]
            for case in cases
        ]
        for (family, weight, warm_up), of_seeds in zip(cases, futures, strict=True):
            results = [future.result() for future in of_seeds]
            _print_row([family, f"{weight:g}", warm_up, *_summary(results, weight)])


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument(
        "--weights", nargs="+", type=_weights, metavar="FAMILY=A,B", help="instead of all"
    )
    parser.add_argument("--warm-ups", nargs="+", choices=WARM_UPS, default=list(WARM_UPS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--jobs", type=int, default=1, help="trainings at the same time")
    arguments = parser.parse_args()
    arguments.weights = WEIGHTS if arguments.weights is None else dict(arguments.weights)
    return arguments


def _weights(text: str) -> tuple[str, list[float]]:
    family, _, weights = text.partition("=")
    try:
        if family not in FAMILIES:
            raise ValueError(family)
        return family, [float(weight) for weight in weights.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a family with its weights, such as beta_vae=18,22; "
            f"allowed families: {', '.join(FAMILIES)}"
        ) from None


def _spec(family: str, weight: float, warm_up: str, seed: int, steps: int) -> ExperimentSpec:
    model = model_of(family, weight, "digit")
    return spec_of(model, seed=seed, steps=steps, weight_warm_up=WARM_UPS[warm_up])


def _result(spec: ExperimentSpec, folder: Path) -> Result:
    path = folder / f"{spec.content_hash()[:16]}.json"
    *_, result = kept(path, lambda: list(run(spec, device="cpu"))[-1:])
    assert isinstance(result, Result)
    return result


def _summary(results: Sequence[Result], weight: float) -> list[object]:
    verdicts = [result.final.verdict for result in results]
    regimes = Counter(
        " ".join([verdict.regime, *(flaw.value for flaw in verdict.flaws)]) for verdict in verdicts
    )
    above = [
        result.loss_terms.above_collapse_nats(weight) for result in results if result.loss_terms
    ]
    return [
        ", ".join(f"{count} {regime}" for regime, count in regimes.most_common()),
        " ".join(str(verdict.n_active) for verdict in verdicts),
        " ".join(f"{verdict.explained:.2f}" for verdict in verdicts),
        " ".join(f"{nats:.1f}" for nats in above),
        f"{np.mean(above):.1f}",
        f"{sum(bool(result.settled) for result in results)} of {len(results)}",
    ]


def _print_row(cells: Sequence[object]) -> None:
    print("|", " | ".join(map(str, cells)), "|", flush=True)


if __name__ == "__main__":
    main()
