"""What a trial measured: each measure that can be an objective, over its seeds and of each."""

from polar.records.latents import Regime
from polar.records.ranges import SeedOutcome
from polar.records.record import Record
from polar.spec.study import Measure


class Measures(Record):
    """Every measure that can be an objective, each under its name in the spec."""

    #: P times R, 0 to 1.
    clean_polarisation: float
    #: P, 0 to 1.
    polarisation: float
    #: R, at most 1.
    explained: float
    #: Reconstruction loss of decoding the mean, nats per image.
    reconstruction: float
    #: Active latents; a mean over seeds need not be whole.
    n_active: float
    #: Summed over the latents, nats per image; none for a deterministic autoencoder.
    kl: float | None = None

    def value(self, measure: Measure) -> float | None:
        """The measure of this name; none where it was not measured."""
        value: float | None = getattr(self, measure)
        return value


class Measured(Measures):
    """What a completed trial measured: the means over its seeds, then each seed by itself."""

    #: Seed by seed, like all that follows, in the order of the study's seeds.
    of_seeds: tuple[Measures, ...]
    regimes: tuple[Regime, ...]
    converged: tuple[bool, ...]
    #: What each seed says of the range; empty where an earlier version did not keep it.
    observations: tuple[SeedOutcome, ...]
