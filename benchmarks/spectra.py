"""Linear beta-VAEs with random spectra, whose bands are known in closed form."""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int64

from polar.entropy import gaussian_entropy
from polar.ranges import Search
from polar.records.latents import Regime
from polar.records.ranges import Observation, RangeReport
from polar.regime.polarisation import POLARISED_FROM
from polar.spec.training import DEFAULT_TAU

Array = Float64[np.ndarray, "..."]
LATENTS, TAU_NATS, DECADES = 16, DEFAULT_TAU, 4
SEARCH = Search(low=1e-2, high=1e2)
#: Chance that a verdict is replaced by another verdict, drawn at random.
FLIP_RATE = 0.05
#: Least distance of the band's edges from the ends of the search, in decades.
CLEARANCE = 0.1
GRID = np.geomspace(SEARCH.low, SEARCH.high, 10_000)
STDS = np.linspace(0, 1, 4001)
ENTROPIES = np.array([gaussian_entropy(std) for std in STDS])
REGIMES = tuple(Regime)


@dataclass(frozen=True)
class Measured:
    """Measures of a spectrum's latents at k weights."""

    stds: Array  # (k, latents)
    active: Bool[np.ndarray, "k latents"]
    regimes: Int64[np.ndarray, " k"]  # places in REGIMES
    polarisation: Array  # (k,)


def measure(eigenvalues: Array, weights: Array) -> Measured:
    stds = np.sqrt(np.maximum(1 - weights[:, None] / eigenvalues, 0))
    h = np.interp(stds, STDS, ENTROPIES)
    active = h > TAU_NATS
    n_active = active.sum(1)
    n_passive = LATENTS - n_active
    apart = (h * active).sum(1) / np.maximum(n_active, 1)
    apart -= (h * ~active).sum(1) / np.maximum(n_passive, 1)
    both = (n_active > 0) & (n_passive > 0)
    polarisation = np.where(both, apart / np.maximum(h.max(1), TAU_NATS), 0)
    verdicts = [n_active == 0, n_passive == 0, polarisation >= POLARISED_FROM]
    names = [Regime.COLLAPSED, Regime.UNDER_REGULARISED, Regime.POLARISED]
    places = [REGIMES.index(name) for name in names]
    regimes = np.select(verdicts, places, REGIMES.index(Regime.FORMING))
    return Measured(stds, active, regimes, polarisation)


@dataclass(frozen=True)
class Problem:
    """A spectrum, and the edges of its band."""

    eigenvalues: Array
    #: Neighbouring points of the fine grid, between which the edge lies.
    left: tuple[float, float]
    right: tuple[float, float]

    def train(self, weight: float, rng: np.random.Generator | None) -> Observation:
        """One trial; with a generator its verdict may flip, and it reports nothing else."""
        measured = measure(self.eigenvalues, np.array([weight]))
        regime = REGIMES[measured.regimes[0]]
        if rng is None:
            return Observation(
                weight=weight,
                regime=regime,
                n_active=int(measured.active.sum()),
                n_passive=int((~measured.active).sum()),
                weakest_std=float(measured.stds.min()),
                strongest_std=float(measured.stds.max()),
            )
        if rng.random() < FLIP_RATE:
            regime = rng.choice([other for other in REGIMES if other != regime])
        return Observation(weight=weight, regime=Regime(regime))

    def covered(self, report: RangeReport) -> tuple[bool, bool]:
        """Whether each bracket contains its edge."""
        if report.envelope is None:
            return False, False
        edges = (report.envelope.left, self.left), (report.envelope.right, self.right)
        left, right = (
            (edge.low or 0) <= truth[1] and truth[0] <= (edge.high or math.inf)
            for edge, truth in edges
        )
        return left, right


def draw_eigenvalues(family: str, rng: np.random.Generator) -> Array:
    """Eigenvalues in descending order, whose scale is arbitrary."""
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
    return np.sort(values)[::-1]


def draw_problem(family: str, rng: np.random.Generator) -> Problem:
    """A random spectrum whose band fits into the search; spectra that do not are drawn again."""
    while True:
        eigenvalues = draw_eigenvalues(family, rng)
        wide = np.geomspace(eigenvalues[-1] / 10, eigenvalues[0] * 2, 20_000)
        edges = band(wide, measure(eigenvalues, wide).regimes)
        room = 10 ** (DECADES - 2 * CLEARANCE) * edges[0][0] / edges[1][1] if edges else 0
        if room > 1:
            start = SEARCH.low * 10**CLEARANCE * room ** rng.random()
            eigenvalues *= start / edges[0][0]
            left, right = band(GRID, measure(eigenvalues, GRID).regimes)
            return Problem(eigenvalues, left, right)


def band(grid: Array, regimes: Int64[np.ndarray, " k"]) -> list[tuple[float, float]]:
    """The band's two edges, each as the two grid points around it; empty without a band.

    Only the outer edges count, and closing gaps below a factor 1.25 does not move them.
    """
    (inside,) = np.nonzero(regimes == REGIMES.index(Regime.POLARISED))
    if not len(inside):
        return []
    first, last = inside[0], inside[-1]
    return [(grid[first - 1], grid[first]), (grid[last], grid[last + 1])]
