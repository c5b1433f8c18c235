"""Do the labels say what the decoder uses? Fresh trainings of five families on three datasets.

    python -m benchmarks.league --out DIR
    python -m benchmarks.league --out DIR --report docs/league.md

The first command makes the trainings, the second writes the report on those that are finished. No
constant of a rule may be chosen on these trainings: they are what the rules are judged by.

Finished trainings are not made again, and one that was cut short goes on from its checkpoint. So
the work can be done in slices: `--only 'digits-*'` makes the trainings whose names match, and
`--names` prints the names of those that are left. MNIST is read from `POLAR_DATA_DIR`.
"""

import argparse
import shutil
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from fnmatch import fnmatch
from itertools import product
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch

from benchmarks.league_report import write_report
from benchmarks.league_scores import outcome
from benchmarks.trainings import DIGITS, spec_of
from polar import run
from polar.records.events import RESULT_FILE
from polar.spec import ExperimentSpec

SEEDS = (0, 1, 2)
#: A weight at either edge of the band that a beta-VAE and an iVAE have, and two between.
_KL_WEIGHTS = (0.15, 0.6, 2.5, 10.0)
#: The model of each family, the field of its weight, and its weights: from models that use most
#: latents to models that use few.
FAMILIES: dict[str, tuple[dict[str, Any], str, tuple[float, ...]]] = {
    "beta_vae": ({"name": "beta_vae"}, "beta", _KL_WEIGHTS),
    "ivae_learned": ({"name": "ivae", "prior_mean": "learned"}, "alpha", _KL_WEIGHTS),
    "ivae_fixed": ({"name": "ivae", "prior_mean": "fixed"}, "alpha", _KL_WEIGHTS),
    "lv_ae": ({"name": "lv_ae"}, "lambda", (3e-6, 3e-5, 3e-4, 1e-3)),
    "l2_ae": ({"name": "l2_ae"}, "gamma", (1e-3, 1e-2, 1e-1, 1.0)),
}
#: Each dataset with the factor that an iVAE is told, and the steps.
DATASETS: dict[str, tuple[Mapping[str, Any], str, int]] = {
    "digits": (DIGITS, "digit", 6000),
    "mnist": ({"name": "mnist", "images": 10_000}, "digit", 4000),
    "sprites": ({"name": "sprites", "side": 32, "images": 5000}, "shape", 4000),
}


@dataclass(frozen=True)
class Training:
    """One training of the league."""

    dataset: str
    seed: int
    family: str
    weight: float

    @property
    def name(self) -> str:
        """The name of its folder."""
        return f"{self.dataset}-{self.family}-{self.weight:g}-{self.seed}"

    def spec(self) -> ExperimentSpec:
        dataset, factor, steps = DATASETS[self.dataset]
        model = model_of(self.family, self.weight, factor)
        return spec_of(model, dataset, seed=self.seed, steps=steps)


def model_of(family: str, weight: float, factor: str) -> dict[str, Any]:
    """The model of a family at a weight; an iVAE is told this factor."""
    model, weight_name, _ = FAMILIES[family]
    u = {"u": [factor]} if model["name"] == "ivae" else {}
    return {**model, **u, weight_name: weight}


def trainings() -> Iterator[Training]:
    """All trainings, dataset by dataset and there seed by seed."""
    for dataset, seed, family in product(DATASETS, SEEDS, FAMILIES):
        for weight in FAMILIES[family][2]:
            yield Training(dataset, seed, family, weight)


def make(training: Training, out: Path) -> None:
    """Makes one training on one thread, and keeps its tables, figures and last state."""
    torch.set_num_threads(1)
    folder, checkpoints = out / training.name, out / training.name / "checkpoints"
    checkpoints.mkdir(parents=True, exist_ok=True)
    for _ in run(
        training.spec(),
        out=folder,
        device="cpu",
        checkpoints=checkpoints,
        resume_from=checkpoints,
    ):
        pass
    shutil.rmtree(checkpoints)


def main() -> None:
    arguments = _parser().parse_args()
    if arguments.report is not None:
        outcomes = [
            outcome(arguments.out / made.name, dataset=made.dataset, family=made.family)
            for made in trainings()
            if _is_finished(made, arguments.out)
        ]
        write_report(outcomes, arguments.report)
        return
    left = [
        training
        for training in trainings()
        if fnmatch(training.name, arguments.only) and not _is_finished(training, arguments.out)
    ]
    if arguments.names:
        print(*(training.name for training in left), sep="\n")
        return
    # A process each: a training takes its memory with it, and another thread count other bits.
    pool = ProcessPoolExecutor(
        arguments.jobs, mp_context=get_context("spawn"), max_tasks_per_child=1
    )
    with pool:
        made = {training: pool.submit(make, training, arguments.out) for training in left}
        for training, future in made.items():
            future.result()
            print(training.name, flush=True)


def _is_finished(training: Training, out: Path) -> bool:
    return (out / training.name / RESULT_FILE).exists()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="folder of the trainings")
    parser.add_argument("--only", default="*", metavar="PATTERN", help="names, with * and ?")
    parser.add_argument("--jobs", type=int, default=1, help="trainings at the same time")
    parser.add_argument("--names", action="store_true", help="print the names that are left")
    parser.add_argument("--report", type=Path, metavar="FILE", help="write the report instead")
    return parser


if __name__ == "__main__":
    main()
