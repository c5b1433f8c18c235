"""Measures the latent space of a model on a fixed subset of the images."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields

import torch
from jaxtyping import Float32
from torch import Tensor
from torch.nn.utils import parametrize

from polar.entropy import MutualInformation, mutual_information
from polar.entropy.samples import Array
from polar.errors import Diverged, InvalidInput
from polar.models import Autoencoder, Encoding
from polar.records.events import Evaluation
from polar.records.latents import Label
from polar.regime.codes import Codes, codes
from polar.regime.diagnostics import measure_latents, with_information
from polar.regime.settling import Look, Settling, settling
from polar.regime.threshold import tau_in_nats
from polar.regime.verdict import judge, labelled
from polar.spec import DiagnosticsSpec, ExperimentSpec
from polar.spec.course import warm_up_steps
from polar.training.decoding import Decoder, images_decoded
from polar.training.inputs import Inputs
from polar.training.precision import exact_float32
from polar.training.schedule import measures_information, steps_per_epoch
from polar.training.subset import EvaluationSubset, batches


def evaluate(
    model: Autoencoder,
    subset: EvaluationSubset,
    spec: ExperimentSpec,
    step: int,
    earlier: Sequence[Evaluation] = (),
) -> Evaluation:
    """Measures every latent, labels them, and gives the verdict on their regime.

    Args:
        model: The model after `step` steps.
        subset: The images to evaluate on.
        spec: The spec of the run.
        step: Number of steps made.
        earlier: The evaluations so far, by ascending step; they show what has settled.

    Raises:
        Diverged: a loss, mean or variance is not finite.
    """
    diagnostics = spec.diagnostics
    with measured(model):
        encoding = encode(model, subset.inputs)
        try:
            measured_codes = as_codes(encoding)
        except InvalidInput as error:
            raise Diverged(f"the model is not finite any more at step {step}: {error}") from error
        measures = measure_latents(
            measured_codes,
            u=subset.inputs.u.cpu().numpy() if spec.u else None,
            ruler=diagnostics.ruler,
            sigma=diagnostics.sigma,
            renyi_alpha=diagnostics.renyi_alpha,
        )
        tau_nats = tau_in_nats(
            diagnostics.tau_std,
            n=len(subset.inputs),
            sigma=diagnostics.sigma,
            renyi_alpha=diagnostics.renyi_alpha,
        )
        actives = [
            latent.latent
            for latent in labelled(measures, tau_nats)
            if latent.label is Label.ACTIVE
        ]
        decoder = Decoder.of(
            model, encoding, subset, spec.model.likelihood, at_most=images_decoded(step)
        )
        try:
            decoding = decoder.decoding(actives)
        except Diverged as error:
            raise Diverged(f"the model is not finite any more at step {step}: {error}") from error
    latents = labelled(measures, tau_nats, decoding.usage_nats)
    look = Look(step, latents, decoding.explained, decoding.explains_nothing)
    looks = [*map(Look.of, earlier), look]
    has_settled = settling(looks, warm_up_steps(spec.training)).settled
    if measures_information(spec, step, has_settled=has_settled):
        latents = with_information(latents, _information(measured_codes, subset, diagnostics))
    return Evaluation(
        step=step,
        epoch=step / steps_per_epoch(spec),
        reconstruction_nats=decoding.reconstruction_nats,
        latents=latents,
        verdict=judge(
            latents,
            tau_std=diagnostics.tau_std,
            tau_nats=tau_nats,
            decoding=decoding,
            settled=has_settled,
        ),
    )


def settling_of(evaluations: Sequence[Evaluation], spec: ExperimentSpec) -> Settling:
    """Whether the training of a spec has settled by the last of its evaluations.

    Raises:
        InvalidInput: there are no evaluations.
    """
    return settling([Look.of(seen) for seen in evaluations], warm_up_steps(spec.training))


@contextmanager
def measured(model: Autoencoder) -> Iterator[None]:
    """A model inside is not trained: it has no gradients, and computes its norms only once."""
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad(), parametrize.cached(), exact_float32():
            yield
    finally:
        model.train(was_training)


def encode(model: Autoencoder, inputs: Inputs) -> Encoding:
    """The encodings of all inputs, on the device of the model."""
    return encode_batches(model, (inputs.batch(rows) for rows in batches(inputs)))


def encode_batches(
    model: Autoencoder,
    pairs: Iterable[tuple[Float32[Tensor, "b c side side"], Float32[Tensor, "b k"]]],
) -> Encoding:
    """The encodings of batches of pixels and u, one after the other as rows."""
    parts = [model.encode(pixels, u) for pixels, u in pairs]
    columns = {
        field.name: [getattr(part, field.name) for part in parts] for field in fields(Encoding)
    }
    return Encoding(
        **{name: torch.cat(column) for name, column in columns.items() if column[0] is not None}
    )


def as_codes(encoding: Encoding) -> Codes:
    """The same codes for the criteria, with variances instead of their logarithms.

    Raises:
        InvalidInput: a mean or variance is not finite.
    """

    def variance(log_var: Tensor | None) -> Tensor | None:
        return None if log_var is None else log_var.double().exp()

    return codes(
        encoding.mean,
        variance(encoding.log_var),
        encoding.prior_mean,
        variance(encoding.prior_log_var),
    )


def _information(
    measured_codes: Codes, subset: EvaluationSubset, diagnostics: DiagnosticsSpec
) -> MutualInformation[Array] | None:
    if subset.image_sigma is None:
        return None
    n = diagnostics.information_images
    return mutual_information(
        subset.inputs.images[:n],
        measured_codes.in_units_of(diagnostics.ruler).mean[:n],
        sigma_x=subset.image_sigma,
        sigma=diagnostics.sigma,
    )
