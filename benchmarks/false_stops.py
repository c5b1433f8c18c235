"""Counts false stops: trainings that were called settled, and whose verdict more steps changed.

    python -m benchmarks.false_stops --out DIR
    python -m benchmarks.false_stops --out DIR --only 'beta_vae-*' --jobs 2

The trainings are those of `benchmarks.league` on the digits, with other seeds, and those of a
dense network on the digits (`benchmarks.dense`), with more seeds, because its steps are cheaper.
Each is trained until it has settled, which is where `until: settled` stops it, at most for `CAP`
steps, and then on to at least five times as many. A stop is false where the regime, its flaws or
the number of active latents differ in the end, or where R rises by more than 0.05. The evaluations
of finished trainings are kept in DIR.
"""

import argparse
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from fnmatch import fnmatch
from itertools import product
from multiprocessing import get_context
from pathlib import Path

from benchmarks.dense import WEIGHTS, DenseTraining
from benchmarks.league import FAMILIES, Training
from benchmarks.timing import print_table
from benchmarks.trainings import kept
from polar.experiment.run import run
from polar.records.events import Evaluation
from polar.spec import ExperimentSpec

SEEDS = (10, 11, 12)
DENSE_SEEDS = range(10, 16)
CAP = 4096
TIMES = 5
#: A larger rise of R makes a stop false.
RISE = 0.05
HEAD = ("family", "weight", "seed", "stop", "at the stop", "at the end", "end", "changed")


@dataclass(frozen=True)
class Pair:
    """A training when it first counted as settled, and in the end."""

    #: None if it did not settle within `CAP` steps.
    stop: Evaluation | None
    end: Evaluation

    @property
    def changes(self) -> list[str]:
        """What makes the stop false."""
        if self.stop is None:
            return []
        then, now = self.stop.verdict, self.end.verdict
        rise = (now.explained or 0.0) - (then.explained or 0.0)
        changes = {
            "another regime": then.regime != now.regime,
            "other flaws": then.flaws != now.flaws,
            f"{now.n_active - then.n_active:+} active": then.n_active != now.n_active,
            f"R rose by {rise:.2f}": rise > RISE,
        }
        return [change for change, has_happened in changes.items() if has_happened]


def pair_of(evaluations: Sequence[Evaluation]) -> Pair | None:
    """What there is to compare after these evaluations; None if training must go on."""
    settled = [seen for seen in evaluations if seen.verdict.settled and seen.step <= CAP]
    last = evaluations[-1]
    if settled:
        return Pair(settled[0], last) if last.step >= TIMES * settled[0].step else None
    return Pair(None, last) if last.step >= CAP else None


def every_training() -> Iterator[Training | DenseTraining]:
    for seed, family in product(SEEDS, FAMILIES):
        for weight in FAMILIES[family][2]:
            yield Training("digits", seed, family, weight)
    for seed, penalty in product(DENSE_SEEDS, WEIGHTS):
        for weight in WEIGHTS[penalty]:
            yield DenseTraining(penalty, weight, seed)


def make(training: Training | DenseTraining, out: Path) -> Pair:
    events = kept(out / f"{training.name}.jsonl", lambda: _evaluations(training))
    pair = pair_of([event for event in events if isinstance(event, Evaluation)])
    assert pair is not None
    return pair


def _evaluations(training: Training | DenseTraining) -> list[Evaluation]:
    content = training.spec().model_dump(by_alias=True)
    content["training"]["steps"] = 2 * TIMES * CAP
    seen: list[Evaluation] = []
    for event in run(ExperimentSpec.from_content(content), device="cpu"):
        if isinstance(event, Evaluation):
            seen.append(event)
            if pair_of(seen):
                break
    return seen


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder of the trainings")
    parser.add_argument("--only", default="*", metavar="PATTERN", help="names, with * and ?")
    parser.add_argument("--jobs", type=int, default=1, help="trainings at the same time")
    arguments = parser.parse_args()
    trainings = [
        training
        for training in every_training()
        if fnmatch(training.name.removeprefix("digits-"), arguments.only)
    ]
    # A process each: a training takes its memory with it.
    pool = ProcessPoolExecutor(
        arguments.jobs, mp_context=get_context("spawn"), max_tasks_per_child=1
    )
    with pool:
        futures = [pool.submit(make, training, arguments.out) for training in trainings]
        pairs = [future.result() for future in futures]
    print_table(HEAD, [_row(*both) for both in zip(trainings, pairs, strict=True)])
    stopped = [pair for pair in pairs if pair.stop is not None]
    print(
        f"\n{len(stopped)} of {len(pairs)} trainings settled within {CAP:,} steps; "
        f"{sum(bool(pair.changes) for pair in stopped)} stops were false."
    )


def _row(training: Training | DenseTraining, pair: Pair) -> list[str]:
    row = [training.family, f"{training.weight:g}", str(training.seed)]
    end = [_words(pair.end), f"{pair.end.step:,}"]
    if pair.stop is None:
        return [*row, "none", "", *end, ""]
    return [*row, f"{pair.stop.step:,}", _words(pair.stop), *end, ", ".join(pair.changes)]


def _words(evaluation: Evaluation) -> str:
    verdict = evaluation.verdict
    flaws = "".join(f" {flaw.value}" for flaw in verdict.flaws)
    return f"{verdict.regime}{flaws}, {verdict.n_active} active, R {verdict.explained:.2f}"


if __name__ == "__main__":
    main()
