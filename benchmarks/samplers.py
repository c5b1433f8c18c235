"""Samplers that look for the band: ours, and what is compared with it."""

import itertools
import math
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np
import optuna

from polar.ranges import Search, propose
from polar.ranges.votes import Side
from polar.records.latents import Regime
from polar.records.ranges import Action, Observation

#: Chooses the next training from the observations and the trainings in flight.
Sampler = Callable[[Sequence[Observation], Sequence[Action]], Action]
#: Chooses the next weight from the same.
Choose = Callable[[Sequence[Observation], Sequence[Action], Search], float]

STEPS = 2000
#: Samplers that are slow to find the band, or slow themselves.
SLOW = ("grid", "random", "TPE")
MAJORITY = "our weights by majority, three seeds each"
THREE_SEEDS = ("our weights, three seeds each", "bisection, three seeds each", MAJORITY)


class ThreeSeeds:
    """Weights that a rule chooses, each trained with all seeds."""

    def __init__(self, search: Search, choose: Choose) -> None:
        self.search, self.choose = search, choose
        self.waiting: list[Action] = []

    def __call__(self, history: Sequence[Observation], in_flight: Sequence[Action]) -> Action:
        if not self.waiting:
            known = {seen.weight for seen in history} | {action.weight for action in in_flight}
            weight = self.choose(history, in_flight, self.search)
            while weight in known:  # all its seeds are in use
                weight = min(weight * 1.001, self.search.high)
            self.waiting = [
                Action(weight=weight, seed=seed, steps=STEPS) for seed in self.search.seeds
            ]
        return self.waiting.pop(0)


def our_weight(
    history: Sequence[Observation], in_flight: Sequence[Action], search: Search
) -> float:
    """The weight that we propose."""
    return propose(history, in_flight, search).weight


def our_weight_by_majority(
    history: Sequence[Observation], in_flight: Sequence[Action], search: Search
) -> float:
    """The same, where the verdict of most seeds is believed as if trainings repeated exactly."""
    seen = majorities(history, search)
    flying = unjudged(history, in_flight, seen)
    actions = [Action(weight=weight, seed=0, steps=STEPS) for weight in flying]
    return propose(seen, actions, one_seed(search)).weight


def bisected_weight(
    history: Sequence[Observation], in_flight: Sequence[Action], search: Search
) -> float:
    """The middle of the widest stretch over whose ends the verdict of most seeds changes."""
    seen = majorities(history, search)
    low, high = max(stretches(seen, unjudged(history, in_flight, seen), search), key=ratio)
    return math.sqrt(low * high)


def one_seed(search: Search) -> Search:
    return search.model_copy(update={"seeds": (0,)})


def majorities(history: Sequence[Observation], search: Search) -> list[Observation]:
    """One observation for each weight that has been trained with all seeds."""
    by_weight: dict[float, list[Observation]] = defaultdict(list)
    for seen in history:
        by_weight[seen.weight].append(seen)
    whole = [seen for seen in by_weight.values() if len(seen) == len(search.seeds)]
    sides = [Counter(side_of(one) for one in seen).most_common(1)[0][0] for seen in whole]
    first = [
        next(one for one in seen if side_of(one) is side)
        for seen, side in zip(whole, sides, strict=True)
    ]
    return [one.model_copy(update={"seed": 0}) for one in first]


def unjudged(
    history: Sequence[Observation], in_flight: Sequence[Action], judged: Sequence[Observation]
) -> list[float]:
    """The weights, some of whose seeds are in flight."""
    weights = {action.weight for action in in_flight} | {seen.weight for seen in history}
    return sorted(weights - {seen.weight for seen in judged})


def side_of(seen: Observation) -> Side:
    """The side of a space; forming spaces are on the side that their active latents suggest."""
    if seen.regime is Regime.CLEAN:
        return Side.INSIDE
    few = (seen.n_active or 0) < (seen.n_passive or 0)
    return Side.RIGHT if seen.regime is Regime.COLLAPSED or few else Side.LEFT


def stretches(
    seen: Sequence[Observation], flying: Sequence[float], search: Search
) -> list[tuple[float, float]]:
    """The stretches that may contain an edge, because their ends are on different sides.

    Trainings in flight divide stretches. The ends of the search count as outside the band.
    """
    sides = {search.low: Side.LEFT, search.high: Side.RIGHT}
    sides |= {one.weight: side_of(one) for one in seen}
    found: list[tuple[float, float]] = []
    for low, high in itertools.pairwise(sorted(sides)):
        if sides[low] is not sides[high]:
            between = {weight for weight in flying if low < weight < high}
            found += itertools.pairwise(sorted({low, high, *between}))
    return found


def ratio(stretch: tuple[float, float]) -> float:
    return stretch[1] / stretch[0]


class Cycle:
    """Cycles through fixed weights, and through the seeds meanwhile."""

    def __init__(self, weights: Sequence[float], search: Search) -> None:
        self.weights, self.search = weights, search

    def __call__(self, history: Sequence[Observation], in_flight: Sequence[Action]) -> Action:
        number = len(history) + len(in_flight)
        round_, place = divmod(number, len(self.weights))
        weight = self.weights[place] * 1.001**round_
        seed = self.search.seeds[number % len(self.search.seeds)]
        return Action(weight=min(weight, self.search.high), seed=seed, steps=STEPS)


class Bisection:
    """Halves the widest stretch that may contain an edge, and starts over when all are narrow.

    It believes every verdict, and after a restart only those of new trainings count.
    """

    def __init__(self, search: Search) -> None:
        self.search = search
        self.begun = 0

    def __call__(self, history: Sequence[Observation], in_flight: Sequence[Action]) -> Action:
        flying = [action.weight for action in in_flight]
        wide = self._wide(history[self.begun :], flying)
        if not wide:
            self.begun = len(history)
            wide = self._wide((), flying) or [(self.search.low, self.search.high)]
        low, high = max(wide, key=ratio)
        seed = self.search.seeds[(len(history) + len(in_flight)) % len(self.search.seeds)]
        return Action(weight=math.sqrt(low * high), seed=seed, steps=STEPS)

    def _wide(
        self, history: Sequence[Observation], flying: Sequence[float]
    ) -> list[tuple[float, float]]:
        may_be = stretches(history, flying, self.search)
        return [(low, high) for low, high in may_be if not self.search.is_fine(low, high)]


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


def _grid(search: Search) -> Sampler:
    return Cycle(np.geomspace(search.low, search.high, search.cells + 1).tolist(), search)


def _random(search: Search, seed: int) -> Sampler:
    chances = np.random.default_rng(seed).random(1000)
    return Cycle((search.low * (search.high / search.low) ** chances).tolist(), search)


#: What makes each sampler, from a search and a seed.
SAMPLERS: Mapping[str, Callable[[Search, int], Sampler]] = {
    "range": lambda search, _: partial(propose, search=search),
    "our weights, three seeds each": lambda search, _: ThreeSeeds(search, our_weight),
    "bisection, three seeds each": lambda search, _: ThreeSeeds(search, bisected_weight),
    MAJORITY: lambda search, _: ThreeSeeds(search, our_weight_by_majority),
    "bisection": lambda search, _: Bisection(search),
    "grid": lambda search, _: _grid(search),
    "random": _random,
    "TPE": Tpe,
}
