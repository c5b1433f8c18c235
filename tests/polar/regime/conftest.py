"""Makes latents and evaluations of chosen entropies."""

from collections.abc import Callable, Sequence

import pytest

from polar.records.events import Evaluation
from polar.records.latents import LatentMeasures
from polar.regime.polarisation import judge


@pytest.fixture(scope="session")
def latents_of() -> Callable[[Sequence[float]], tuple[LatentMeasures, ...]]:
    """Makes latents of these entropies; their other measures are 0."""

    def make(entropies: Sequence[float]) -> tuple[LatentMeasures, ...]:
        own = {"latent", "entropy_nats", "judged_entropy_nats"}
        others = set(LatentMeasures.model_fields) - own
        return tuple(
            LatentMeasures(
                latent=j,
                entropy_nats=entropy,
                judged_entropy_nats=entropy,
                **dict.fromkeys(others, 0.0),
            )
            for j, entropy in enumerate(entropies)
        )

    return make


@pytest.fixture(scope="session")
def evaluation_of(
    latents_of: Callable[[Sequence[float]], tuple[LatentMeasures, ...]],
) -> Callable[..., Evaluation]:
    """Makes the evaluation of these entropies at a step."""

    def make(
        step: int, entropies: Sequence[float], *, tau: float = 0.25, explained: float = 0.8
    ) -> Evaluation:
        judgement = judge(latents_of(entropies), tau=tau, explained=explained)
        return Evaluation(
            step=step,
            epoch=step / 28,
            reconstruction_nats=100.0,
            latents=judgement.latents,
            verdict=judgement.verdict,
        )

    return make
