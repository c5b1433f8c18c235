"""How many trainings find both edges of the band, and do the intervals hold them?

    python -m benchmarks.ranges

The trainings are those of linear beta-VAEs with random spectra of three families
(`benchmarks.spectra`), whose edges are known in closed form. Four trainings are in flight, and a
proposal knows the outcomes of all trainings but the last three, as in a study.

Without noise there is one seed; a sampler has found the band when both brackets span at most a
factor 1.1. With noise the verdicts of seeds differ around each edge, over a width that is drawn
for each edge of each spectrum, and there are three seeds. A sampler has then found the band when
`find_range` says so, by the trainings of any sampler. Only where the majority of three seeds is
believed at each weight, brackets of a factor 1.1 between the majorities are asked for, which is
what a study did that trained all its seeds at each weight.

The samplers were developed on other seeds than the default: 777 and 12345.
"""

import argparse
import itertools
import math
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import optuna

from benchmarks.spectra import Noise, Problem, draw_spectrum
from benchmarks.timing import print_table
from polar.ranges import Search, find_range, propose
from polar.records.latents import Regime
from polar.records.ranges import Action, Observation, Outcome, RangeReport

#: Chooses the next training from the observations and the trainings in flight.
Sampler = Callable[[Sequence[Observation], Sequence[Action]], Action]

IN_FLIGHT = 4
STEPS = 2000
SEEDS = 3
#: Trainings after which the intervals are judged, without and with noise.
BUDGETS = {False: 16, True: 40}
#: Most trainings of a study.
MOST = {False: 60, True: 120}
#: Samplers that are slow to find the band, or slow themselves.
SLOW = ("grid", "random", "TPE")
MAJORITY = "three seeds everywhere, by majority"
THREE_SEEDS = ("three seeds everywhere", MAJORITY)
SAMPLERS = ("range", *THREE_SEEDS, "bisection", *SLOW)
HEAD = (
    "widths", "sampler", "family", "spectra", "found within the budget", "trainings: median",
    "mean", "90 %", "edges covered when found", "after the budget", "CPU s per study",
)  # fmt: skip


class ThreeSeeds:
    """Our proposals of weights, each trained with all seeds."""

    def __init__(self, search: Search) -> None:
        self.search = search
        self.waiting: list[Action] = []

    def __call__(self, history: Sequence[Observation], in_flight: Sequence[Action]) -> Action:
        if not self.waiting:
            known = {seen.weight for seen in history} | {action.weight for action in in_flight}
            weight = self._propose(history, in_flight)
            while weight in known:  # all its seeds are in use
                weight = min(weight * 1.001, self.search.high)
            self.waiting = [
                Action(weight=weight, seed=seed, steps=STEPS) for seed in self.search.seeds
            ]
        return self.waiting.pop(0)

    def _propose(self, history: Sequence[Observation], in_flight: Sequence[Action]) -> float:
        return propose(history, in_flight, self.search).weight


class Majority(ThreeSeeds):
    """The same, where the verdict of most seeds is believed as if trainings repeated exactly."""

    def _propose(self, history: Sequence[Observation], in_flight: Sequence[Action]) -> float:
        seen = majorities(history, self.search)
        flying = {action.weight for action in in_flight} | {one.weight for one in history}
        flying -= {one.weight for one in seen}
        actions = [Action(weight=weight, seed=0, steps=STEPS) for weight in sorted(flying)]
        return propose(seen, actions, one_seed(self.search)).weight


def one_seed(search: Search) -> Search:
    return search.model_copy(update={"seeds": (0,)})


def majorities(history: Sequence[Observation], search: Search) -> list[Observation]:
    """One observation for each weight that has been trained with all seeds."""
    by_weight: dict[float, list[Observation]] = defaultdict(list)
    for seen in history:
        by_weight[seen.weight].append(seen)
    whole = [seen for seen in by_weight.values() if len(seen) == len(search.seeds)]
    names = [Counter(one.regime for one in seen).most_common(1)[0][0] for seen in whole]
    first = [
        next(one for one in seen if one.regime is name)
        for seen, name in zip(whole, names, strict=True)
    ]
    return [one.model_copy(update={"seed": 0}) for one in first]


class Cycle:
    """Cycles through fixed weights, with the next seed each time."""

    def __init__(self, weights: Sequence[float], search: Search) -> None:
        self.weights, self.search = weights, search

    def __call__(self, history: Sequence[Observation], in_flight: Sequence[Action]) -> Action:
        round_, place = divmod(len(history) + len(in_flight), len(self.weights))
        weight = self.weights[place] * 1.001 ** (round_ // len(self.search.seeds))
        seed = self.search.seeds[round_ % len(self.search.seeds)]
        return Action(weight=min(weight, self.search.high), seed=seed, steps=STEPS)


class Bisection:
    """Halves the widest stretch that may contain an edge, and starts over when all are narrow.

    It believes every verdict, and after a restart only those of new trainings count. Trainings in
    flight divide stretches. The ends of the search count as outside the band.
    """

    def __init__(self, search: Search) -> None:
        self.search = search
        self.begun = 0

    def __call__(self, history: Sequence[Observation], in_flight: Sequence[Action]) -> Action:
        flying = [action.weight for action in in_flight]
        widest = self._widest(history[self.begun :], flying)
        if widest is None:
            self.begun = len(history)
            widest = self._widest((), flying) or (self.search.low, self.search.high)
        seed = self.search.seeds[(len(history) + len(in_flight)) % len(self.search.seeds)]
        return Action(weight=math.sqrt(widest[0] * widest[1]), seed=seed, steps=STEPS)

    def _widest(
        self, history: Sequence[Observation], flying: Sequence[float]
    ) -> tuple[float, float] | None:
        states = {self.search.low: Regime.UNDER_REGULARISED, self.search.high: Regime.COLLAPSED}
        states |= {seen.weight: seen.regime for seen in history}
        stretches: list[tuple[float, float]] = []
        for low, high in itertools.pairwise(sorted(states)):
            if states[low] is states[high]:
                continue
            points = sorted({low, high, *(w for w in flying if low < w < high)})
            stretches += itertools.pairwise(points)
        wide = [(low, high) for low, high in stretches if not self.search.is_fine(low, high)]
        return max(wide, key=lambda pair: pair[1] / pair[0], default=None)


class Tpe:
    """Optuna's TPE, which maximises being clean."""

    def __init__(self, search: Search, seed: int) -> None:
        self.search = search
        sampler = optuna.samplers.TPESampler(seed=seed, constant_liar=True)
        self.study = optuna.create_study(sampler=sampler, direction="maximize")
        self.trials: list[optuna.Trial] = []
        self.told = 0

    def __call__(self, history: Sequence[Observation], _in_flight: Sequence[Action]) -> Action:
        for seen, trial in zip(history[self.told :], self.trials[self.told :], strict=False):
            self.study.tell(trial, float(seen.regime is Regime.CLEAN))
        self.told = len(history)
        self.trials.append(self.study.ask())
        weight = self.trials[-1].suggest_float(
            "weight", self.search.low, self.search.high, log=True
        )
        seed = self.search.seeds[len(self.trials) % len(self.search.seeds)]
        return Action(weight=weight, seed=seed, steps=STEPS)


@dataclass(frozen=True)
class Score:
    """Result of a study."""

    #: Number of trainings after which the band was found; None if it never was.
    found_after: int | None
    #: Whether each interval contained its edge when the band was found.
    covered_then: tuple[bool, bool] | None
    #: Whether each interval contained its edge after the budget.
    covered_in_the_end: tuple[bool, bool]


#: What is known of the band after some trainings.
Judge = Callable[[Sequence[Observation]], RangeReport]


def run(problem: Problem, sampler: Sampler, judge: Judge, budget: int, most: int) -> Score:
    """Train until the budget is spent and the band is found, or there are too many trainings."""
    actions: list[Action] = []
    history: list[Observation] = []
    found_after, then, in_the_end = None, None, (False, False)
    while len(history) < budget or (found_after is None and len(history) < most):
        known = max(len(actions) - IN_FLIGHT + 1, 0)
        actions.append(sampler(history[:known], actions[known:]))
        history.append(problem.train(actions[-1]))
        if found_after is not None and len(history) != budget:
            continue
        report = judge(history)
        if found_after is None and report.outcome is Outcome.FOUND:
            found_after, then = len(history), problem.covered(report.envelope)
        if len(history) == budget:
            in_the_end = problem.covered(report.envelope)
    return Score(found_after, then, in_the_end)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--spectra", type=int, default=200, help="spectra of each family")
    parser.add_argument("--few", type=int, default=20, help="the same for grid, random and TPE")
    parser.add_argument("--seed", type=int, default=2026)
    parser.add_argument("--sampler", action="append", help="only this sampler; may be repeated")
    parser.add_argument(
        "--widths",
        type=float,
        nargs=2,
        default=(0.02, 0.3),
        help="least and largest width of an edge; 0 0 for no noise",
    )
    parser.add_argument(
        "--seeds", type=int, default=SEEDS, help="number of seeds in the pool, with noise"
    )
    parser.add_argument(
        "--edges-of-seeds",
        action="store_true",
        help="each seed has edges of its own, instead of independent trainings",
    )
    arguments = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    is_noisy = arguments.widths[1] > 0
    search = Search(
        low=1e-2, high=1e2, steps=STEPS, seeds=tuple(range(arguments.seeds if is_noisy else 1))
    )
    print(f"{vars(arguments)}; {IN_FLIGHT} trainings in flight; {search}\n")
    samplers = arguments.sampler or SAMPLERS
    rows = (
        row_of(search, name, family, arguments)
        for name in samplers
        for family in "ABC"
        if is_noisy or name not in THREE_SEEDS
    )
    print_table(HEAD, list(rows))


def judge_majorities(history: Sequence[Observation], search: Search) -> RangeReport:
    return find_range(majorities(history, search), one_seed(search))


def sampler_of(name: str, search: Search, seed: int) -> Sampler:
    match name:
        case "range":
            return partial(propose, search=search)
        case "three seeds everywhere":
            return ThreeSeeds(search)
        case "three seeds everywhere, by majority":
            return Majority(search)
        case "bisection":
            return Bisection(search)
        case "grid":
            grid = np.geomspace(search.low, search.high, search.cells + 1)
            return Cycle(grid.tolist(), search)
        case "random":
            chances = np.random.default_rng(seed).random(1000)
            return Cycle((search.low * (search.high / search.low) ** chances).tolist(), search)
        case "TPE":
            return Tpe(search, seed)
    raise LookupError(name)


def row_of(search: Search, name: str, family: str, arguments: argparse.Namespace) -> list[str]:
    begin = time.process_time()
    is_noisy = len(search.seeds) > 1
    budget, most = BUDGETS[is_noisy], MOST[is_noisy]
    spectra = arguments.few if name in SLOW else arguments.spectra
    judge = partial(judge_majorities if name == MAJORITY else find_range, search=search)
    scores = []
    for number in range(spectra):
        # all samplers see the same spectra and the same noise
        rng = np.random.default_rng([arguments.seed, ord(family), number])
        values = draw_spectrum(family, search, rng)
        least, largest = arguments.widths
        left, right = least * (largest / least) ** rng.random(2) if is_noisy else (0.0, 0.0)
        noise = Noise((float(left), float(right)), arguments.edges_of_seeds)
        problem = Problem(values, noise, int(rng.integers(2**31)))
        scores.append(run(problem, sampler_of(name, search, number), judge, budget, most))
    seconds = (time.process_time() - begin) / spectra
    found_after = [s.found_after or math.inf for s in scores]
    within = [after for after in found_after if after <= most]
    then = [edge for s in scores if s.covered_then for edge in s.covered_then]
    end = [edge for s in scores for edge in s.covered_in_the_end]
    return [
        "0" if not is_noisy else f"{least:g} to {largest:g}", name, family, str(spectra),
        f"{np.mean(np.array(found_after) <= budget):.1%} in {budget}",
        trainings_of(np.quantile(found_after, 0.5, method="higher"), most),
        f"{np.minimum(found_after, most).mean():.1f}" if within else "-",
        trainings_of(np.quantile(found_after, 0.9, method="higher"), most),
        f"{np.mean(then):.1%}" if then else "-", f"{np.mean(end):.1%}", f"{seconds:.2f}",
    ]  # fmt: skip


def trainings_of(trainings: float, most: int) -> str:
    return f"{trainings:.0f}" if trainings <= most else f"not in {most}"


if __name__ == "__main__":
    main()
