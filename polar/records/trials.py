"""What a trial measured: the measures that can be objectives, of each seed and over all seeds."""

import math
from collections.abc import Iterable
from typing import Self

from polar.records.latents import Regime, Verdict
from polar.records.ranges import SeedOutcome
from polar.records.record import Record
from polar.spec.objectives import Measure


class Measures(Record):
    """Every measure that can be an objective, each under its name in the spec."""

    #: Polarisation P times explained part R, 0 to 1.
    clean_polarisation: float
    #: Polarisation P, 0 to 1.
    polarisation: float
    #: Explained part R of the reconstruction loss, at most 1.
    explained: float
    #: Reconstruction loss by samples of the posterior, or by the codes of a deterministic
    #: autoencoder, nats per image.
    reconstruction: float
    #: Number of active latents; a mean over seeds need not be whole.
    n_active: float
    #: KL divergence summed over the latents, nats per image; none for a deterministic autoencoder.
    kl: float | None = None

    @classmethod
    def of(
        cls, verdict: Verdict, reconstruction_nats: float, kl_nats: Iterable[float | None]
    ) -> Self:
        """The measures of one latent space.

        Args:
            verdict: The verdict on it.
            reconstruction_nats: Its reconstruction loss, nats per image.
            kl_nats: KL divergence of each latent, nats per image; none without a prior.
        """
        kl = [of_latent for of_latent in kl_nats if of_latent is not None]
        return cls(
            clean_polarisation=verdict.clean_polarisation or 0.0,
            polarisation=verdict.polarisation,
            explained=verdict.explained or 0.0,
            reconstruction=reconstruction_nats,
            n_active=verdict.n_active,
            kl=math.fsum(kl) if kl else None,
        )

    def value(self, measure: Measure) -> float | None:
        """The value of the measure with this name; None if it was not measured."""
        value: float | None = getattr(self, measure)
        return value


class Measured(Measures):
    """What a completed trial measured: the means over its seeds, and the measures of each seed."""

    #: The measures of each seed; this and all that follows is in the order of the trial's seeds.
    of_seeds: tuple[Measures, ...]
    regimes: tuple[Regime, ...]
    #: Whether each training had settled; none if an earlier version stored the trial.
    settled: tuple[bool | None, ...]
    #: What each seed says about the range; empty if an earlier version stored the trial.
    observations: tuple[SeedOutcome, ...]
