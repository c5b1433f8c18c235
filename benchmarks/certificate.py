"""Certificates of right edges: trainings from scratch against models trained in other ways.

    python -m benchmarks.certificate --out FOLDER [--steps 2000]

Trains the study net on the digits, from scratch and while the weight rises over the first half of
the steps. Asks of every training whether it is the optimum, and of each family's right edge
whether it is one of the objective. Writes a figure for each family. A training takes about a
minute.
"""

import argparse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

import polar
from benchmarks.trainings import known_model, spec_of
from polar.certificate import certify_edge, not_optimal
from polar.figures import loss_envelope, save
from polar.records.certificates import KnownModel
from polar.records.events import Result

RISE = {"fraction": 0.5}
#: For each family its weights from scratch, those that rise, and the end of its figure's axis.
FAMILIES: Mapping[str, tuple[str, Sequence[float], Sequence[float], float]] = {
    "beta_vae": ("beta", (8.0, 15.0, 18.0, 22.0, 40.0), (18.0, 22.0), 45.0),
    "lv_ae": ("lambda", (1e-3, 2.7e-3, 1.02e-2), (), 0.04),
}
HEAD = ["training", "regime", "R", "loss above total collapse, nats", "better", "by, nats"]


@dataclass(frozen=True)
class Training:
    known: KnownModel
    is_rising: bool
    result: Result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=2000)
    arguments = parser.parse_args()
    for family, (name, scratch, rising, end) in FAMILIES.items():
        trainings = [
            train(family, name, weight, arguments.steps, is_rising)
            for is_rising, weights in ((False, scratch), (True, rising))
            for weight in weights
        ]
        models = [training.known for training in trainings]
        print(f"\n{family}\n")
        for cells in (
            HEAD,
            ["---"] * len(HEAD),
            *(row(training, models) for training in trainings),
        ):
            print(f"| {' | '.join(cells)} |", flush=True)
        from_scratch = [training.known for training in trainings if not training.is_rising]
        print(f"\n{about_edge(from_scratch, models)}")
        table = pd.DataFrame(columns_of(family, name, trainings))
        save(loss_envelope(table, (0.0, end)), table, arguments.out / f"{family}.png")


def train(family: str, name: str, weight: float, steps: int, is_rising: bool) -> Training:
    rise = RISE if is_rising else None
    spec = spec_of({"name": family, name: weight}, steps=steps, weight_warm_up=rise)
    *_, result = polar.run(spec)
    assert isinstance(result, Result)
    return Training(known_model(spec, result), is_rising, result)


def row(training: Training, models: Sequence[KnownModel]) -> list[str]:
    known, verdict = training.known, training.result.final.verdict
    refuted = not_optimal(known, models)
    better = "" if refuted is None else refuted.better.words() if refuted.better else "collapse"
    return [
        f"{known.weight:g}{', rising' if training.is_rising else ''}",
        " ".join([verdict.regime, *verdict.flaws]),
        f"{verdict.explained:.3f}",
        f"{known.terms.above_collapse_nats(known.weight):.2f} ± "
        f"{known.terms.se_nats(known.weight):.2f}",
        better,
        "" if refuted is None else f"{refuted.by_nats:.2f} ± {refuted.se_nats:.2f}",
    ]


def about_edge(scratch: Sequence[KnownModel], models: Sequence[KnownModel]) -> str:
    """What is said of the right edge that trainings from scratch show."""
    reached = max((known.weight for known in scratch if known.is_inside), default=None)
    beyond = [known.weight for known in scratch if reached is not None and known.weight > reached]
    if not beyond:
        return "Trainings from scratch show no right edge."
    edge = certify_edge("right", reached=reached, beyond=min(beyond), models=models)
    words = edge.words("clean", len(models))
    return f"Right edge from scratch: {reached:g}..{min(beyond):g}; {words}."


def columns_of(family: str, name: str, trainings: Sequence[Training]) -> Iterator[dict[str, Any]]:
    models = [training.known for training in trainings]
    for known, result in ((training.known, training.result) for training in trainings):
        at_0, at_1 = (known.terms.above_collapse_nats(weight) for weight in (0.0, 1.0))
        yield {
            "model": family,
            "dataset": "digits",
            "weight_name": name,
            "weight": known.weight,
            "seed": known.seed,
            "steps": known.steps,
            "regime": result.final.verdict.regime.value,
            "gain_nats": -at_0,
            "rise_nats": at_1 - at_0,
            "not_optimal": not_optimal(known, models) is not None,
        }


if __name__ == "__main__":
    main()
