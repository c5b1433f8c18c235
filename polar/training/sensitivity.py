"""How far the verdict on a trained model depends on the choices by which it was measured."""

from dataclasses import replace

from polar.records.events import Evaluation
from polar.records.sensitivity import Sensitivity
from polar.regime.codes import Codes
from polar.regime.decoding import Decoding
from polar.regime.sensitivity import sensitivity
from polar.spec import ExperimentSpec
from polar.training.decoding import Decoder


def run_sensitivity(
    codes: Codes, decoder: Decoder, spec: ExperimentSpec, final: Evaluation
) -> tuple[Sensitivity, ...]:
    """The verdict of a run as measured, and then under every variant.

    What the active latents of a variant carry of R is decoded once for each set of them. Call it
    where the model is `measured`.

    Args:
        codes: The codes of the evaluation subset.
        decoder: The decoder of the model after its last step.
        spec: The spec of the run.
        final: The last evaluation.

    Raises:
        Diverged: a loss is not finite.
    """
    decoding = decoder.decoding(())

    def decode(actives: tuple[int, ...]) -> Decoding:
        return replace(decoding, carried_by_actives=decoder.carried_by(actives))

    return sensitivity(
        codes,
        final.latents,
        final.verdict,
        ruler=spec.diagnostics.ruler,
        sigma=spec.diagnostics.sigma,
        renyi_alpha=spec.diagnostics.renyi_alpha,
        tau_std=spec.diagnostics.tau_std,
        decode=decode,
    )
