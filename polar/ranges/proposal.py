"""Proposes the next training: at a new weight, with a new seed, or for more steps.

The proposal is the training whose verdict says most about the edges for each step that it takes.
What a verdict says is its mutual information with place and width of an edge, in nats, conditional
on the verdicts of the trainings in flight. The width counts, because it decides how much verdicts
say of the place: without it an edge that looks sharp by chance would be believed to be sharp.

Costs are counted in steps, not in seconds. Within a study both are proportional, but for the start
of a training, and seconds differ from one machine to the next, so that the same study would not
try the same trainings again.
"""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Float64
from scipy.special import entr

from polar.ranges.belief import PARTS, EdgeBelief, Row, middles, passed
from polar.ranges.edges import is_done
from polar.ranges.fading import guess_edges, odds_of_places
from polar.ranges.gaps import doubtful, gap_odds
from polar.ranges.holding import holding
from polar.ranges.level import Level, answering
from polar.ranges.search import History, InFlight, Search, by_start, canonical
from polar.ranges.votes import Side, trainings_of
from polar.records.ranges import Action

#: Least information that counts, in nats. Chosen by us without a measurement: it is less than half
#: a per cent of ln 2, the most that a verdict may say.
LEAST_GAIN = 0.003
#: Most outcomes of the trainings in flight that are thought through. Chosen by us: four trainings
#: have 16, and of those of more only the ones in which an edge lies between neighbours count.
MOST_OUTCOMES = 32
#: New weights are chosen from a grid, two in a cell of the search, so that several seeds have the
#: same weight, and only near this many quantiles of the belief about an edge, for speed. Chosen by
#: us.
QUANTILES = 64
#: Weights count as the same if their ratio differs from 1 by at most this, as after rounding in
#: storage.
SAME = 1e-9
#: Least chance that a training begins to learn at all, unless no larger budget is left. Chosen by
#: us: two close neighbours that have not begun are enough.
LEAST_CHANCE = 0.34
#: Distance in natural logarithms of the weight within which trainings that have not begun to learn
#: warn of each other. Chosen by us without a measurement.
WARNS_WITHIN = math.log(2)


def propose(history: History, in_flight: InFlight, search: Search) -> Action:
    """The training to start next.

    The proposal depends neither on the order of the history nor on that of the trainings in
    flight. The pair of weight and seed is new, unless a training is to go on for more steps. How
    far the band is held is asked once trainings from scratch tell no more about its edges.

    Args:
        history: All observations so far.
        in_flight: Trainings without an outcome: those that run, and those that failed.
        search: Where the band is searched, with which seeds and for how many steps.

    Raises:
        InvalidInput: a weight lies outside the search.
    """
    search.check([*(seen.weight for seen in history), *(action.weight for action in in_flight)])
    scratch, held = by_start(history)
    flying, held_flying = by_start(in_flight)
    # The longest observation of a training comes last and replaces the others.
    latest = {(seen.weight, seen.seed): seen for seen in canonical(scratch)}
    guesses = guess_edges(list(latest.values()))
    trainings = trainings_of(scratch)
    for budget in search.budgets:
        level = Level(trainings, flying, search, budget)
        if action := _most_telling(level, guesses):
            return action
        if not level.may_change():
            break
    answer = replace(answering(trainings, search), in_flight=flying)
    if search.held:
        held_level = holding(answer, trainings_of(held), held_flying)
        if action := _most_telling(held_level, (None, None)):
            return action
    return _in_search_of_gaps(answer)


def _most_telling(level: Level, guesses: tuple[float | None, float | None]) -> Action | None:
    """The training that tells most about unknown edges for its steps; None if none tells."""
    edges = (level.envelope.left, level.envelope.right) if level.envelope else (None, None)
    unknown = [edge is None or not is_done(edge, level.search) for edge in edges]
    if not any(unknown):
        return None
    beliefs = [
        _guessed(belief, guess, level.search)
        for belief, guess in zip((level.belief.left, level.belief.right), guesses, strict=True)
    ]
    possible = (level.training_at(weight) for weight in _weights(level, beliefs))
    actions = [action for action in possible if action]
    weights = np.array([action.weight for action in actions])
    flying = np.array([action.weight for action in level.in_flight])
    # First it shows whether it has passed the right edge, and only otherwise the left edge.
    gains = [unknown[0] * (1 - beliefs[1].passed(weights)), np.full(len(weights), unknown[1])]
    gain = sum(
        part * information(belief, weights, flying)
        for part, belief in zip(gains, beliefs, strict=True)
    )
    chance = _chance_to_say_anything(level, weights)
    # Where training does not begin, more steps say more than more weights.
    is_hopeless = (chance < LEAST_CHANCE) & (level.budget < level.search.last_budget)
    gain = np.where(is_hopeless, 0, gain * chance)
    if not len(gain) or gain.max() < LEAST_GAIN:
        return None
    per_step = gain / np.array([action.cost for action in actions])
    return actions[int(per_step.argmax())]


def _weights(level: Level, beliefs: Sequence[EdgeBelief]) -> list[float]:
    """The weights to choose from: those of other trainings, and where the edges may well lie."""
    search = level.search
    grid = np.geomspace(search.low, search.high, 2 * search.cells + 1)
    chances = np.linspace(0, 1, QUANTILES + 1)
    may_be = [np.searchsorted(np.cumsum(belief.places), chances) for belief in beliefs]
    places = np.unique(np.round((np.concatenate(may_be) - 0.5) / (PARTS // 2)).astype(int))
    likely = grid[np.clip(places, 0, len(grid) - 1)]
    known = {training.weight for training in level.trainings}
    known |= {action.weight for action in level.in_flight}
    apart = np.abs(likely[:, None] / sorted(known) - 1).min(1, initial=np.inf)
    return sorted(known | set(likely[apart > SAME].tolist()))


def _guessed(belief: EdgeBelief, guess: float | None, search: Search) -> EdgeBelief:
    odds = odds_of_places(middles(belief.bounds), guess, search)
    mass = belief.mass * odds[:, None]
    return replace(belief, mass=mass / mass.sum())


def information(belief: EdgeBelief, weights: Row, flying: Float64[np.ndarray, " f"]) -> Row:
    """What the verdict at each weight says about the place and the width of an edge, in nats.

    Args:
        belief: What is believed of the edge.
        weights: The weights, of shape (k,).
        flying: Weights of the trainings in flight, of shape (f,), whose verdicts come first.
    """
    chances = _passed(belief, weights)  # (k, edges)
    of_outcome = _outcomes(belief, flying) * belief.mass.ravel()  # (outcomes, edges)
    whole, passed_it = of_outcome.sum(1), chances @ of_outcome.T  # (k, outcomes)
    before = entr(passed_it).sum(1) + entr(whole - passed_it).sum(1) - entr(whole).sum()
    after = (entr(chances) + entr(1 - chances)) @ of_outcome.sum(0)
    return before - after


def _outcomes(
    belief: EdgeBelief, flying: Float64[np.ndarray, " f"]
) -> Float64[np.ndarray, "outcomes edges"]:
    """Chance of each outcome of the trainings in flight, for each place and width of the edge.

    An outcome says of each of them whether it has passed the edge. The least probable outcomes are
    left out where there are many.
    """
    outcomes = np.ones((1, belief.mass.size))
    for has_passed in _passed(belief, np.sort(flying)):
        outcomes = np.concatenate([outcomes * has_passed, outcomes * (1 - has_passed)])
        if len(outcomes) > MOST_OUTCOMES:
            chances = outcomes @ belief.mass.ravel()
            outcomes = outcomes[np.argsort(-chances, kind="stable")[:MOST_OUTCOMES]]
    return outcomes


def _passed(belief: EdgeBelief, weights: Row) -> Float64[np.ndarray, "k edges"]:
    """Chance of having passed the edge at each weight, for each of its places and widths."""
    return passed(weights, belief.bounds, belief.widths).reshape(len(weights), belief.mass.size)


def _chance_to_say_anything(level: Level, weights: Row) -> Row:
    """Chance that a training at each weight begins to learn, by what its neighbours did."""
    known = [
        (training.weight, training.vote(level.budget, level.search.of) is not None)
        for training in level.trainings
        if training.at(level.budget) is not None
    ]
    at, has_begun = np.array(known).reshape(-1, 2).T
    near = np.exp(-(((np.log(weights)[:, None] - np.log(at)) / WARNS_WITHIN) ** 2) / 2)
    return (1 + near @ has_begun) / (1 + near.sum(1))


def _in_search_of_gaps(level: Level) -> Action:
    """A training where a gap is in doubt, or else in the middle of the widest stretch.

    Stretches between whose ends the verdict changes come first, as long as they are wider than the
    search wants.
    """
    odds = gap_odds(level.votes, level.belief, seeds=len(level.search.seeds))
    for weight in doubtful(odds, level.votes):
        if action := level.training_at(weight):
            return action
    search = level.search
    ends = {search.low, search.high, *(action.weight for action in level.in_flight)}
    ends |= {training.weight for training in level.trainings}
    points = np.array(sorted(ends))
    inside = {vote.weight for vote in level.votes if vote.side is Side.INSIDE}
    lengths = np.diff(np.log(points))
    changes = np.diff([point in inside for point in points]) & (
        lengths > math.log(search.factor) + SAME
    )
    widest = int((lengths + changes * lengths.sum()).argmax())
    middle = math.sqrt(points[widest] * points[widest + 1])
    seed = level.farthest(search.seeds, middle)
    return Action(weight=middle, seed=seed, steps=level.budget)
