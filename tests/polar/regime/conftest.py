"""Makes latents, decodings and evaluations of chosen numbers."""

from collections.abc import Callable, Sequence

import pytest

from polar.entropy import equivalent_std
from polar.records.events import Evaluation
from polar.records.latents import LatentMeasures
from polar.regime.decoding import Decoding, Explained
from polar.regime.verdict import judge, labelled


@pytest.fixture(scope="session")
def latents_of() -> Callable[[Sequence[float]], tuple[LatentMeasures, ...]]:
    """Makes latents of these entropies; their other measures are 0."""

    def make(entropies: Sequence[float]) -> tuple[LatentMeasures, ...]:
        own = {"latent", "entropy_nats", "judged_entropy_nats", "equivalent_std"}
        others = set(LatentMeasures.model_fields) - own
        return tuple(
            LatentMeasures(
                latent=j,
                entropy_nats=entropy,
                judged_entropy_nats=entropy,
                equivalent_std=equivalent_std(entropy),
                **dict.fromkeys(others, 0.0),
            )
            for j, entropy in enumerate(entropies)
        )

    return make


def _decoding(
    usage: Sequence[float], *, explained: float = 0.8, se: float = 0.01, carried: float = 0.99
) -> Decoding:
    return Decoding(
        reconstruction_nats=100.0,
        explained=Explained(explained, se),
        explained_by_prior=None,
        carried_by_actives=carried,
        usage_nats=tuple(map(float, usage)),
    )


@pytest.fixture(scope="session")
def decoding_of() -> Callable[..., Decoding]:
    """Makes what decoding shows of latents with this usage."""
    return _decoding


@pytest.fixture(scope="session")
def evaluation_of(
    latents_of: Callable[[Sequence[float]], tuple[LatentMeasures, ...]],
) -> Callable[..., Evaluation]:
    """Makes the evaluation of these entropies at a step; by default each latent is used."""

    def make(
        step: int,
        entropies: Sequence[float],
        *,
        tau: float = 0.25,
        explained: float = 0.8,
        carried: float = 0.99,
        usage: Sequence[float] | None = None,
        std: float = 0.0,
        mean: float = 0.0,
        settled: bool = False,
    ) -> Evaluation:
        decoding = _decoding(
            [1.0] * len(entropies) if usage is None else usage,
            explained=explained,
            carried=carried,
        )
        measures = [
            latent.model_copy(
                update={"var_of_mean": std**2, "mean_of_mean": mean, "kl_nats": std**2 / 2}
            )
            for latent in latents_of(entropies)
        ]
        latents = labelled(measures, tau, decoding.usage_nats)
        return Evaluation(
            step=step,
            epoch=step / 28,
            reconstruction_nats=decoding.reconstruction_nats,
            latents=latents,
            verdict=judge(
                latents, tau_std=0.134, tau_nats=tau, decoding=decoding, settled=settled
            ),
        )

    return make
