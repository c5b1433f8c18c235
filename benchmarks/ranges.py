"""How many trainings find both edges of the band, and do the intervals hold them?

    python -m benchmarks.ranges

The trainings are those of linear beta-VAEs with random spectra of three families
(`benchmarks.spectra`), whose edges are known in closed form. Four trainings are in flight, and a
proposal knows the outcomes of all trainings but the last three, as in a study.

Without noise there is one seed; a sampler has found the band when both brackets span at most a
factor 1.1. With noise the verdicts of seeds differ around each edge, over a width that is drawn
for each edge of each spectrum. A sampler has then found the band when `find_range` says so by its
trainings, whatever sampler it is. Samplers that choose a seed for each training choose from twelve
(`--seeds`), those that train three seeds at each weight have three.

What people do without a sampler is three seeds at each weight of a bisection that believes the
majority. The weights that we propose, with three seeds each, show what the choice of seeds is
worth. The last sampler also trains three seeds at each weight, believes the majority, and stops
when both brackets span at most a factor 1.1, as studies did before trials had one seed each.

The samplers were developed on other seeds than the default: 777 and 12345.
"""

import argparse
import itertools
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import optuna

from benchmarks.samplers import (
    MAJORITY,
    SAMPLERS,
    SLOW,
    STEPS,
    THREE_SEEDS,
    Sampler,
    majorities,
    one_seed,
)
from benchmarks.spectra import Noise, Problem, draw_spectrum
from benchmarks.timing import print_table
from polar.ranges import Search, find_range
from polar.records.ranges import Action, Interval, Observation, Outcome, RangeReport

IN_FLIGHT = 4
#: Seeds from which a sampler chooses, with noise.
SEEDS = 12
#: Trainings within which the band should be found, without and with noise.
BUDGETS = {False: 16, True: 32}
#: Bounds of the widths of edges for which coverage is counted.
CLASSES = (0.0, 0.05, 0.12, math.inf)
#: Most trainings of a study.
MOST = {False: 60, True: 120}
HEAD = (
    "widths", "sampler", "seeds", "family", "spectra", "found within the budget",
    "trainings: median", "mean", "90 %", "edges covered", "by width: < .05", "to .12", "above",
    "interval: median factor", "CPU s per study",
)  # fmt: skip


@dataclass(frozen=True)
class Score:
    """Result of a study."""

    #: Number of trainings after which the band was found; None if it never was.
    found_after: int | None
    #: The widths of both edges, whether their intervals hold them in the end, and the factors that
    #: these span.
    widths: tuple[float, float]
    covered: tuple[bool, bool]
    factors: tuple[float, float]


#: What is known of the band after some trainings.
Judge = Callable[[Sequence[Observation]], RangeReport]


def run(problem: Problem, sampler: Sampler, judge: Judge, most: int) -> Score:
    """Train until the band is found, or there are too many trainings."""
    actions: list[Action] = []
    history: list[Observation] = []
    while True:
        known = max(len(actions) - IN_FLIGHT + 1, 0)
        actions.append(sampler(history[:known], actions[known:]))
        history.append(problem.train(actions[-1]))
        report = judge(history)
        is_found = report.outcome is Outcome.FOUND
        if is_found or len(history) == most:
            return Score(
                found_after=len(history) if is_found else None,
                widths=problem.noise.widths,
                covered=problem.covered(report.envelope),
                factors=factors(report.envelope),
            )


def factors(envelope: Interval | None) -> tuple[float, float]:
    """The factor that the interval of each edge spans."""
    if envelope is None:
        return math.inf, math.inf
    left, right = (
        edge.high / edge.low if edge.low and edge.high else math.inf
        for edge in (envelope.left, envelope.right)
    )
    return left, right


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--spectra", type=int, default=40, help="spectra of each family")
    parser.add_argument("--few", type=int, default=10, help="the same for grid, random and TPE")
    parser.add_argument("--seed", type=int, default=2026)
    parser.add_argument(
        "--sampler", action="append", choices=SAMPLERS, help="only this sampler; may be repeated"
    )
    parser.add_argument(
        "--widths",
        type=float,
        nargs=2,
        default=(0.02, 0.3),
        help="least and largest width of an edge; 0 0 for no noise",
    )
    parser.add_argument(
        "--seeds", type=int, default=SEEDS, help="seeds to choose from, with noise"
    )
    parser.add_argument(
        "--edges-of-seeds",
        action="store_true",
        help="each seed has edges of its own, instead of independent trainings",
    )
    arguments = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    is_noisy = arguments.widths[1] > 0
    print(f"{vars(arguments)}; {IN_FLIGHT} trainings in flight; {search_of(1)}\n")
    samplers = arguments.sampler or SAMPLERS
    rows = (
        row_of(name, family, arguments)
        for name in samplers
        for family in "ABC"
        if is_noisy or name not in THREE_SEEDS
    )
    print_table(HEAD, list(rows))


def search_of(seeds: int) -> Search:
    return Search(low=1e-2, high=1e2, steps=STEPS, seeds=tuple(range(seeds)))


def judge_majorities(history: Sequence[Observation], search: Search) -> RangeReport:
    return find_range(majorities(history, search), one_seed(search))


def row_of(name: str, family: str, arguments: argparse.Namespace) -> list[str]:
    begin = time.process_time()
    least, largest = arguments.widths
    is_noisy = largest > 0
    seeds = (3 if name in THREE_SEEDS else arguments.seeds) if is_noisy else 1
    search, budget, most = search_of(seeds), BUDGETS[is_noisy], MOST[is_noisy]
    spectra = arguments.few if name in SLOW else arguments.spectra
    judge = partial(judge_majorities if name == MAJORITY else find_range, search=search)
    scores = []
    for number in range(spectra):
        # all samplers see the same spectra and the same noise
        rng = np.random.default_rng([arguments.seed, ord(family), number])
        values = draw_spectrum(family, search, rng)
        left, right = least * (largest / least) ** rng.random(2) if is_noisy else (0.0, 0.0)
        noise = Noise((float(left), float(right)), arguments.edges_of_seeds)
        problem = Problem(values, noise, int(rng.integers(2**31)))
        scores.append(run(problem, SAMPLERS[name](search, number), judge, most))
    seconds = (time.process_time() - begin) / spectra
    found_after = np.array([score.found_after or math.inf for score in scores])
    return [
        f"{least:g} to {largest:g}" if is_noisy else "0", name, str(seeds), family, str(spectra),
        f"{np.mean(found_after <= budget):.1%} in {budget}",
        trainings_of(np.quantile(found_after, 0.5, method="higher"), most),
        f"{np.minimum(found_after, most).mean():.1f}",
        trainings_of(np.quantile(found_after, 0.9, method="higher"), most),
        *coverages(scores),
        f"{np.median([factor for score in scores for factor in score.factors]):.3g}",
        f"{seconds:.2f}",
    ]  # fmt: skip


def coverages(scores: Sequence[Score]) -> list[str]:
    """How many intervals hold their edge: of all edges, and by the width of the edge."""
    widths = np.array([score.widths for score in scores]).ravel()
    covered = np.array([score.covered for score in scores]).ravel()
    classes = [
        (widths >= 0),
        *((low <= widths) & (widths < high) for low, high in itertools.pairwise(CLASSES)),
    ]
    return [f"{covered[of].mean():.1%} of {of.sum()}" if of.any() else "-" for of in classes]


def trainings_of(trainings: float, most: int) -> str:
    return f"{trainings:.0f}" if trainings <= most else f"not in {most}"


if __name__ == "__main__":
    main()
