"""How far the verdict on a trained model depends on the choices by which it was measured."""

from polar.records.events import Evaluation
from polar.records.sensitivity import Sensitivity
from polar.regime.codes import Codes
from polar.regime.decoding import Decoding, Explained
from polar.regime.sensitivity import sensitivity
from polar.spec import ExperimentSpec
from polar.training.decoding import Decoder


def run_sensitivity(
    codes: Codes, decoder: Decoder, spec: ExperimentSpec, final: Evaluation
) -> tuple[Sensitivity, ...]:
    """The verdict of a run as measured, and then under every variant.

    What the active latents of a variant carry of R is decoded once for each set of them; all else
    that decoding shows is in the last evaluation. Call it where the model is `measured`.

    Args:
        codes: The codes of the evaluation subset.
        decoder: The decoder of the model after its last step.
        spec: The spec of the run.
        final: The last evaluation.

    Raises:
        Diverged: a loss is not finite.
    """
    verdict, usage = final.verdict, [latent.usage_nats for latent in final.latents]
    assert verdict.explained is not None  # because a run has a decoder
    assert verdict.explained_se is not None
    part = Explained(verdict.explained, verdict.explained_se)
    with_all = decoder.losses(decoder.samples[:1])

    def decode(actives: tuple[int, ...]) -> Decoding:
        return Decoding(
            reconstruction_nats=final.reconstruction_nats,
            explained=part,
            explained_by_prior=verdict.explained_by_prior,
            carried_by_actives=decoder.carried_by(actives, with_all),
            usage_nats=tuple(nats for nats in usage if nats is not None),
        )

    return sensitivity(
        codes,
        final.latents,
        verdict,
        ruler=spec.diagnostics.ruler,
        sigma=spec.diagnostics.sigma,
        renyi_alpha=spec.diagnostics.renyi_alpha,
        tau_std=spec.diagnostics.tau_std,
        decode=decode,
    )
