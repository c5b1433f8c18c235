"""Linear beta-VAEs with random spectra and seeds, whose bands are known in closed form.

Latent i of a linear beta-VAE has a mean of variance 1 - beta / l_i, where l_i is an eigenvalue,
and is active while that is above tau^2. So the weakest latent becomes passive at the left edge,
l_min (1 - tau^2), and the strongest at the right edge, l_max (1 - tau^2).

A training behaves as if its weight were shifted by a logistic random number, one for each edge, in
natural logarithms of the weight. Its scale is the width of that edge. This is the very noise that
`polar.ranges.belief` assumes, so that coverage on these trainings shows that the belief is
computed and proposed rightly, and not that real trainings are like this.
"""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from polar.ranges import Search
from polar.records.latents import Regime
from polar.records.ranges import Action, Interval, Observation
from polar.spec.training import DEFAULT_TAU_STD

Array = Float64[np.ndarray, "..."]
LATENTS, DECADES = 16, 4
#: Least distance of the band's edges from the ends of the search, in decades.
CLEARANCE = 0.1
#: Spaces outside the band are forming with this chance up to this factor from the edge.
FORMING, FORMING_WITHIN = 0.5, 2.0


@dataclass(frozen=True)
class Noise:
    """How trainings at the same weight differ."""

    #: Width of the left and the right edge; 0 where all seeds agree.
    widths: tuple[float, float]
    #: Whether a seed has the same shift at all weights, so that it has edges of its own; otherwise
    #: the shifts of all trainings are independent.
    is_of_seeds: bool = False

    def shifts(self, action: Action, study: int) -> tuple[float, float]:
        """The shifts of a training at both edges; the same for the same training of a study."""
        of_weight = () if self.is_of_seeds else np.array([action.weight]).view(np.uint32).tolist()
        rng = np.random.default_rng([study, action.seed, *of_weight])
        left, right = (float(width * rng.logistic()) for width in self.widths)
        return left, right


@dataclass(frozen=True)
class Problem:
    """A spectrum and its noise."""

    #: Ascending.
    eigenvalues: Array
    noise: Noise
    #: Number of the study, from which its random numbers follow.
    number: int

    @property
    def edges(self) -> tuple[float, float]:
        """The left and the right edge, which half of the seeds have passed."""
        last = 1 - DEFAULT_TAU_STD**2
        return float(self.eigenvalues[0] * last), float(self.eigenvalues[-1] * last)

    def train(self, action: Action) -> Observation:
        """The outcome of a training."""
        shifted = [action.weight * math.exp(by) for by in self.noise.shifts(action, self.number)]
        past = [weight > edge for weight, edge in zip(shifted, self.edges, strict=True)]
        stds = np.sqrt(np.maximum(1 - action.weight / self.eigenvalues, 0))
        active = int((stds > DEFAULT_TAU_STD).sum())
        regime, active = Regime.CLEAN, min(max(active, 1), LATENTS - 1)
        if past[1]:
            regime, active = Regime.COLLAPSED, 0
        elif not past[0]:
            regime, active = Regime.UNDER_REGULARISED, LATENTS
        if regime is not Regime.CLEAN and self._is_forming(action, past[1]):
            regime, active = Regime.FORMING, 2 if past[1] else LATENTS - 3
        weakest = max(1 - shifted[0] / self.eigenvalues[0], 0) ** 0.5
        strongest = max(1 - shifted[1] / self.eigenvalues[-1], 0) ** 0.5
        return Observation(
            weight=action.weight,
            seed=action.seed,
            steps=action.steps,
            regime=regime,
            n_active=active,
            n_passive=LATENTS - active,
            weakest_std=weakest,
            strongest_std=strongest,
            settled=True,
        )

    def _is_forming(self, action: Action, is_right: bool) -> bool:
        distance = abs(math.log(action.weight / self.edges[is_right]))
        rng = np.random.default_rng([self.number, action.seed, int(1e6 * action.weight)])
        return distance < math.log(FORMING_WITHIN) and rng.random() < FORMING

    def covered(self, envelope: Interval | None) -> tuple[bool, bool]:
        """Whether the interval of each edge contains the edge."""
        if envelope is None:
            return False, False
        left, right = (
            (edge.low or 0) <= truth <= (edge.high or math.inf)
            for edge, truth in zip((envelope.left, envelope.right), self.edges, strict=True)
        )
        return left, right


def draw_eigenvalues(family: str, rng: np.random.Generator) -> Array:
    """Eigenvalues in ascending order, whose scale is arbitrary."""
    if family == "A":
        large = rng.integers(3, 12)
        small = 10 ** rng.uniform(-math.log10(300), -math.log10(30), LATENTS - large)
        values = np.concatenate([1.5 ** rng.random(large), small])
    elif family == "B":
        values = 10 ** rng.uniform(-rng.uniform(1, 3), 0, LATENTS)
    else:
        ratios = rng.uniform(1.25, 1.6, LATENTS)
        ratios[rng.integers(1, LATENTS)] = 10 ** rng.uniform(math.log10(5), math.log10(50))
        values = 1 / np.cumprod(ratios)
    return np.sort(values)


def draw_spectrum(family: str, search: Search, rng: np.random.Generator) -> Array:
    """A random spectrum whose band fits into the search; spectra that do not are drawn again."""
    while True:
        values = draw_eigenvalues(family, rng)
        decades = math.log10(search.high / search.low) - 2 * CLEARANCE
        room = 10**decades * values[0] / values[-1]
        if room > 1:
            start = search.low * 10**CLEARANCE * room ** rng.random()
            return values * start / values[0]
