from collections.abc import Callable

import pytest

from polar.records.latents import Regime
from polar.records.ranges import Observation

Verdicts = Callable[[float], Regime]


@pytest.fixture
def band_between() -> Callable[[float, float], Verdicts]:
    """The verdict on each weight, where the band goes from `left` up to below `right`."""

    def verdicts(left: float, right: float) -> Verdicts:
        def verdict(weight: float) -> Regime:
            if weight < left:
                return Regime.UNDER_REGULARISED
            return Regime.POLARISED if weight < right else Regime.COLLAPSED

        return verdict

    return verdicts


@pytest.fixture
def told() -> Callable[[str], list[Observation]]:
    """Observations from text such as `0.1 u, 1 p, 10 c`: weights, and initials of verdicts."""
    initials = {regime[0]: regime for regime in Regime}

    def observations(text: str) -> list[Observation]:
        pairs = [part.split() for part in text.split(",")]
        return [
            Observation(weight=float(weight), regime=initials[initial])
            for weight, initial in pairs
        ]

    return observations
