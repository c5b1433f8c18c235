"""How long agents idle because trials wait for earlier trials: `python -m benchmarks.waiting`.

Trial k of a study begins when all trials numbered up to k - concurrency have ended. The comparison
is with the rule that a trial begins as soon as fewer trials than the concurrency are in flight.
Each trial is one training, and each agent trains one at a time; times are simulated.
"""

import heapq
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float64

from benchmarks.timing import print_table

TRIALS = (32, 1000)
REPETITIONS = 200
#: Agents and concurrency.
STUDIES = ((4, 4), (4, 6), (4, 8), (8, 8), (8, 12), (8, 16))
#: Relative standard deviation of the training times; their logarithms are normal.
SPREADS = (0.2, 0.5)


def busy_share(
    seconds: Float64[np.ndarray, " trials"], agents: int, concurrency: int, *, in_order: bool
) -> float:
    """Share of the agents' time, until the last training has ended, in which they train."""
    free = [0.0] * agents
    ends: list[float] = []
    for number, duration in enumerate(seconds):
        place = number - concurrency
        due = _due(ends, place, in_order=in_order) if place >= 0 else 0.0
        end = max(heapq.heappop(free), due) + duration
        heapq.heappush(free, end)
        ends.append(end)
    return float(seconds.sum() / (agents * max(ends)))


def _due(ends: Sequence[float], place: int, *, in_order: bool) -> float:
    """When the next trial may begin, if these trials end at these times."""
    return max(ends[: place + 1]) if in_order else sorted(ends)[place]


def main() -> None:
    rng = np.random.default_rng(0)
    rows = []
    for spread in SPREADS:
        sigma = np.sqrt(np.log1p(spread**2))
        for agents, concurrency in STUDIES:
            for trials in TRIALS:
                times = rng.lognormal(0, sigma, (REPETITIONS * 32 // trials, trials))
                shares = [
                    [busy_share(one, agents, concurrency, in_order=rule) for rule in (True, False)]
                    for one in times
                ]
                in_order, at_once = np.mean(shares, 0)
                numbers = [f"{spread:.0%}", agents, concurrency, f"{trials:,}"]
                rows.append([*map(str, numbers), f"{in_order:.1%}", f"{at_once:.1%}"])
    columns = ("spread", "agents", "concurrency", "trials", "busy, in order", "busy, at once")
    print_table(columns, rows)


if __name__ == "__main__":
    main()
