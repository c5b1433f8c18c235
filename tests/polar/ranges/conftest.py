from collections.abc import Callable, Sequence

import pytest

from polar.records.latents import Regime
from polar.records.ranges import Action, Observation, Snapshot

Verdicts = Callable[[float], Regime]
INITIALS = {
    "u": Regime.UNDER_REGULARISED,
    "i": Regime.CLEAN,
    "f": Regime.FORMING,
    "c": Regime.COLLAPSED,
    "n": Regime.UNTRAINED,
}


@pytest.fixture
def band_between() -> Callable[[float, float], Verdicts]:
    """The verdict on each weight, where the band goes from `left` up to below `right`."""

    def verdicts(left: float, right: float) -> Verdicts:
        def verdict(weight: float) -> Regime:
            if weight < left:
                return Regime.UNDER_REGULARISED
            return Regime.CLEAN if weight < right else Regime.COLLAPSED

        return verdict

    return verdicts


@pytest.fixture
def told() -> Callable[..., list[Observation]]:
    """Observations from text such as `0.1 u, 1 i, 10 c, 10 i 1`.

    Each part has a weight, the verdict (u under-regularised, i inside: clean, f forming,
    c collapsed, n untrained), and a seed unless that is 0.
    """

    def observations(text: str, steps: int = 2000) -> list[Observation]:
        parts = [part.split() for part in text.split(",")]
        return [
            Observation(
                weight=float(weight),
                regime=INITIALS[verdict],
                seed=int(seed[0]) if seed else 0,
                steps=steps,
            )
            for weight, verdict, *seed in parts
        ]

    return observations


@pytest.fixture
def train() -> Callable[..., Observation]:
    """The outcome of a training that passed these verdicts on its way."""

    def observation(
        action: Action, verdict_at: Callable[[float, int], Regime], evaluations: Sequence[int]
    ) -> Observation:
        course = [
            Snapshot(steps=steps, regime=verdict_at(action.weight, steps))
            for steps in (*(at for at in evaluations if at < action.steps), action.steps)
        ]
        return Observation(
            weight=action.weight,
            seed=action.seed,
            steps=action.steps,
            regime=course[-1].regime,
            settled=False,
            trajectory=tuple(course[:-1]),
        )

    return observation
