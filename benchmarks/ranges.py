"""How many trials bracket the polarised band: `python -m benchmarks.ranges`.

The trials are those of the linear beta-VAE, which has a closed form: 16 latents, where latent i is
active exactly if its eigenvalue l > beta s^2, and its mean then has the variance 1 - beta s^2 / l.
Four trials are in flight; each takes 0.8 to 1.2 of the mean time, at random. All samplers are
judged by the same `find_range`.

Without noise, a sampler has found the band when both brackets are within a factor 1.1 and contain
the true edges. With noise, 5 % of the verdicts are replaced by another verdict, drawn at random,
and trials report nothing but their verdict, because any other measure would give the flip away.
The sampler has then found the band when it says so; how often its brackets, which claim 90 %,
contain the true edges is counted separately.

The samplers were developed on other seeds: 777 and 12345.
"""

import argparse
import heapq
import itertools
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import optuna

from benchmarks.spectra import (
    FLIP_RATE,
    SEARCH,
    Array,
    Problem,
    draw_problem,
    measure,
)
from benchmarks.timing import print_table
from polar.ranges import Search, find_range, propose
from polar.records.latents import Regime
from polar.records.ranges import Observation, Outcome

#: Chooses the next weight from the observations so far and the weights in flight.
Sampler = Callable[[Sequence[Observation], Sequence[float]], float]

IN_FLIGHT = 4
#: Most trials of another sampler's study; a study of ours has at most twice its budget.
MOST = 200
BUDGETS = {0.0: 16, FLIP_RATE: 32}
#: Our samplers. With flips both are the same, because trials then report only verdicts.
OURS = ("range", "range, verdicts only")
QUICK = ("bisection", "9 points, then bisection")
SLOW = ("grid", "random", "TPE")
HEAD = (
    "flipped", "sampler", "family", "spectra", "found within the budget", "trials: median", "97 %",
    "most", "edges covered when found", "after the budget", "CPU s per study",
)  # fmt: skip


def propose_bare(
    observations: Sequence[Observation], in_flight: Sequence[float], *, search: Search
) -> float:
    """Our proposal, from verdicts alone."""
    bare = [Observation(weight=seen.weight, regime=seen.regime) for seen in observations]
    return propose(bare, in_flight, search)


class Points:
    """Cycles through fixed points."""

    def __init__(self, points: Array) -> None:
        self.points = points

    def __call__(self, observations: Sequence[Observation], in_flight: Sequence[float]) -> float:
        return float(self.points[(len(observations) + len(in_flight)) % len(self.points)])


class Bisection:
    """Halves the widest stretch that may contain an edge, and starts over when all are narrow.

    It believes every verdict, and after a restart only those of new trials count. Points in flight
    divide stretches. The ends of the search count as under-regularised and collapsed.
    """

    def __init__(self, first: Sequence[float] = ()) -> None:
        self.first = first
        self.begun = 0

    def __call__(self, observations: Sequence[Observation], in_flight: Sequence[float]) -> float:
        if len(observations) + len(in_flight) < len(self.first):
            return float(self.first[len(observations) + len(in_flight)])
        widest = self._widest(observations[self.begun :], in_flight)
        if widest is None:
            self.begun = len(observations)
            widest = self._widest((), in_flight) or (SEARCH.low, SEARCH.high)
        return math.sqrt(widest[0] * widest[1])

    def _widest(
        self, observations: Sequence[Observation], in_flight: Sequence[float]
    ) -> tuple[float, float] | None:
        states = {SEARCH.low: Regime.UNDER_REGULARISED, SEARCH.high: Regime.COLLAPSED}
        states |= {seen.weight: seen.regime for seen in observations}
        weights = sorted(states)
        stretches: list[tuple[float, float]] = []
        for low, high in itertools.pairwise(weights):
            if states[low] is states[high]:
                continue
            points = sorted({low, high, *(w for w in in_flight if low < w < high)})
            stretches += itertools.pairwise(points)
        wide = [(low, high) for low, high in stretches if not SEARCH.is_fine(low, high)]
        return max(wide, key=lambda pair: pair[1] / pair[0], default=None)


class Tpe:
    """Optuna's TPE, which knows all trials; it maximises P, or with noise being polarised."""

    def __init__(self, problem: Problem, *, noisy: bool, seed: int) -> None:
        self.problem, self.noisy = problem, noisy
        sampler = optuna.samplers.TPESampler(seed=seed, constant_liar=True)
        self.study = optuna.create_study(sampler=sampler, direction="maximize")
        self.trials: dict[float, optuna.Trial] = {}
        self.observations = 0

    def __call__(self, observations: Sequence[Observation], _in_flight: Sequence[float]) -> float:
        for seen in observations[self.observations :]:
            self.study.tell(self.trials[seen.weight], self._value(seen))
        self.observations = len(observations)
        trial = self.study.ask()
        weight = trial.suggest_float("weight", SEARCH.low, SEARCH.high, log=True)
        self.trials[weight] = trial
        return weight

    def _value(self, seen: Observation) -> float:
        if self.noisy:
            return float(seen.regime is Regime.POLARISED)
        return float(measure(self.problem.eigenvalues, np.array([seen.weight])).polarisation[0])


def run(
    problem: Problem, sampler: Sampler, trials: int, rng: np.random.Generator, *, noisy: bool
) -> list[Observation]:
    """The observations of a study, in the order in which its trials end."""
    observations: list[Observation] = []
    flying: list[tuple[float, float]] = []  # end, weight
    now = 0.0
    while len(observations) < trials:
        while len(flying) < min(IN_FLIGHT, trials - len(observations)):
            weight = sampler(observations, [weight for _, weight in flying])
            heapq.heappush(flying, (now + rng.uniform(0.8, 1.2), weight))
        now, weight = heapq.heappop(flying)
        observations.append(problem.train(weight, rng if noisy else None))
    return observations


@dataclass(frozen=True)
class Score:
    """Result of one study."""

    #: Number of trials after which the band was found; None if it never was.
    found_after: int | None
    #: Whether each bracket contained its edge when the band was found.
    covered_then: tuple[bool, bool] | None
    #: Whether each bracket contained its edge after the budget.
    covered_in_the_end: tuple[bool, bool]


def score(
    problem: Problem, observations: Sequence[Observation], search: Search, budget: int
) -> Score:
    def is_found(trials: int) -> bool:
        report = find_range(observations[:trials], search)
        right = search.flip_rate > 0 or all(problem.covered(report))
        return report.outcome is Outcome.FOUND and right

    found_after = next(
        (trials for trials in range(4, len(observations) + 1) if is_found(trials)), None
    )
    return Score(
        found_after,
        problem.covered(find_range(observations[:found_after], search)) if found_after else None,
        problem.covered(find_range(observations[:budget], search)),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--spectra", type=int, default=200, help="spectra of each family")
    parser.add_argument("--few", type=int, default=20, help="the same for grid, random and TPE")
    parser.add_argument("--seed", type=int, default=2026)
    parser.add_argument("--sampler", help="only this sampler, without flips")
    arguments = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    print(f"Seed {arguments.seed}; {IN_FLIGHT} trials in flight; {SEARCH}\n")
    names = {0.0: (*OURS, *QUICK, *SLOW), FLIP_RATE: (OURS[0], *QUICK, *SLOW)}
    if arguments.sampler:
        names = {0.0: (arguments.sampler,)}
    rows = [
        row_of(
            SEARCH.model_copy(update={"flip_rate": flip_rate}),
            name,
            family,
            arguments.few if name in SLOW else arguments.spectra,
            arguments.seed,
        )
        for flip_rate in names
        for name in names[flip_rate]
        for family in "ABC"
    ]
    print_table(HEAD, rows)


def sampler_of(name: str, problem: Problem, search: Search, seed: int) -> Sampler:
    match name:
        case "range":
            return partial(propose, search=search)
        case "range, verdicts only":
            return partial(propose_bare, search=search)
        case "bisection":
            return Bisection()
        case "9 points, then bisection":
            return Bisection(np.geomspace(search.low, search.high, 9).tolist())
        case "grid":
            return Points(np.geomspace(search.low, search.high, search.cells + 1))
        case "random":
            chances = np.random.default_rng(seed).random(MOST)
            return Points(search.low * (search.high / search.low) ** chances)
        case "TPE":
            return Tpe(problem, noisy=search.flip_rate > 0, seed=seed)
    raise LookupError(name)


def row_of(search: Search, name: str, family: str, spectra: int, seed: int) -> list[str]:
    begin = time.process_time()
    budget = BUDGETS[search.flip_rate]
    most = 2 * budget if name in OURS else MOST
    scores = []
    for number in range(spectra):
        # All samplers see the same spectra, with and without flips.
        problem = draw_problem(family, np.random.default_rng([seed, ord(family), number]))
        rng = np.random.default_rng([seed, ord(family), number, 1])
        sampler = sampler_of(name, problem, search, number)
        observations = run(problem, sampler, most, rng, noisy=search.flip_rate > 0)
        scores.append(score(problem, observations, search, budget))
    seconds = (time.process_time() - begin) / spectra
    found_after = [s.found_after or math.inf for s in scores]
    then = [edge for s in scores if s.covered_then for edge in s.covered_then]
    end = [edge for s in scores for edge in s.covered_in_the_end]
    return [
        f"{search.flip_rate:.0%}", name, family, str(spectra),
        f"{np.mean(np.array(found_after) <= budget):.1%} in {budget}",
        *(
            trials_of(np.quantile(found_after, part, method="higher"), most)
            for part in (0.5, 0.97, 1)
        ),
        f"{np.mean(then):.1%}" if then else "-", f"{np.mean(end):.1%}", f"{seconds:.2f}",
    ]  # fmt: skip


def trials_of(trials: float, most: int) -> str:
    return f"{trials:.0f}" if trials <= most else f"not reached in {most}"


if __name__ == "__main__":
    main()
