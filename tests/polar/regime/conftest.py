"""Latents and evaluations with given entropies."""

from collections.abc import Callable, Sequence

import pytest

from polar.records.events import Evaluation
from polar.records.latents import LatentDiagnostics
from polar.regime.criteria import label_by_entropy
from polar.regime.polarisation import judge


@pytest.fixture(scope="session")
def latents_of() -> Callable[..., tuple[LatentDiagnostics, ...]]:
    """Makes latents of given entropies; their other measures are 0."""

    def make(entropies: Sequence[float], tau: float = 0.25) -> tuple[LatentDiagnostics, ...]:
        others = set(LatentDiagnostics.model_fields) - {
            "latent",
            "entropy_nats",
            "judged_entropy_nats",
            "label",
        }
        return tuple(
            LatentDiagnostics(
                latent=j,
                entropy_nats=entropy,
                judged_entropy_nats=entropy,
                label=label_by_entropy(entropy, tau),
                **dict.fromkeys(others, 0.0),
            )
            for j, entropy in enumerate(entropies)
        )

    return make


@pytest.fixture(scope="session")
def evaluation_of(
    latents_of: Callable[..., tuple[LatentDiagnostics, ...]],
) -> Callable[..., Evaluation]:
    """Makes an evaluation of given entropies at a step."""

    def make(
        step: int, entropies: Sequence[float], *, tau: float = 0.25, explained: float = 0.8
    ) -> Evaluation:
        latents = latents_of(entropies, tau)
        return Evaluation(
            step=step,
            epoch=step / 28,
            reconstruction_nats=100.0,
            latents=latents,
            verdict=judge(latents, tau=tau, explained=explained),
        )

    return make
