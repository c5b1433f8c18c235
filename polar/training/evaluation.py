"""Measures the latent space of a model on a fixed subset of the images.

Notation:
    L: loss of decoding the mean representation, summed over pixels, mean over the subset, in nats
        per image; it lies between the loss of a perfect reconstruction and that of the mean image.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields

import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn.utils import parametrize

from polar.entropy import MutualInformation, image_sigma, mutual_information
from polar.entropy.samples import Array
from polar.errors import Diverged, InvalidInput
from polar.models import Autoencoder, Encoding
from polar.models.likelihood import LossRange, loss_range, reconstruction_loss
from polar.records.events import Evaluation
from polar.records.latents import LatentMeasures
from polar.regime.codes import Codes, codes
from polar.regime.diagnostics import measure_latents
from polar.regime.polarisation import explained_part, judge
from polar.regime.threshold import group_cut, tau_or_fixed
from polar.spec import DiagnosticsSpec, ExperimentSpec, LikelihoodSpec
from polar.training.inputs import Inputs
from polar.training.schedule import steps_per_epoch

#: Images encoded at once; larger ones are no faster.
BATCH = 256


@dataclass(frozen=True)
class EvaluationSubset:
    """The images that a run is evaluated on, and what their measures are compared with."""

    inputs: Inputs
    #: The losses between which L lies.
    losses: LossRange
    #: Kernel width of the images, for the information; none where that is not measured.
    image_sigma: float | None


def evaluation_subset(inputs: Inputs, spec: ExperimentSpec) -> EvaluationSubset:
    """The first images, in the dataset's fixed order."""
    subset = inputs.first(spec.diagnostics.images)
    return EvaluationSubset(
        inputs=subset,
        losses=loss_range(spec.model.likelihood, subset.images),
        image_sigma=_image_sigma(subset.images[: spec.diagnostics.information_images]),
    )


def evaluate(
    model: Autoencoder, subset: EvaluationSubset, spec: ExperimentSpec, step: int
) -> Evaluation:
    """Measures every latent, labels them, and gives the verdict on their regime.

    Raises:
        Diverged: a loss, mean or variance is not finite.
    """
    with measured(model):
        encoding = encode(model, subset.inputs)
        loss = decoding_loss(model, encoding.mean, subset.inputs, spec.model.likelihood)
    try:
        measured_codes = _codes(encoding)
    except InvalidInput as error:
        raise Diverged(f"the model is not finite any more at step {step}: {error}") from error
    if not math.isfinite(loss):
        raise Diverged(f"the model is not finite any more at step {step}: its loss is {loss}")
    diagnostics = spec.diagnostics
    measures = measure_latents(
        measured_codes,
        u=subset.inputs.u.cpu().numpy() if spec.u else None,
        information=_information(measured_codes, subset, diagnostics),
        sigma=diagnostics.sigma,
        renyi_alpha=diagnostics.renyi_alpha,
    )
    explained = explained_part(loss, subset.losses.mean_image, subset.losses.floor)
    judgement = judge(measures, tau=_tau(measures, diagnostics), explained=explained)
    return Evaluation(
        step=step,
        epoch=step / steps_per_epoch(spec),
        reconstruction_nats=loss,
        latents=judgement.latents,
        verdict=judgement.verdict,
    )


def encode_subset(model: Autoencoder, subset: EvaluationSubset) -> Codes:
    """The codes of the subset, for the criteria.

    Raises:
        InvalidInput: a mean or variance is not finite.
    """
    with measured(model):
        return _codes(encode(model, subset.inputs))


@contextmanager
def measured(model: Autoencoder) -> Iterator[None]:
    """A model inside is not trained: it has no gradients, and computes its norms only once."""
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad(), parametrize.cached():
            yield
    finally:
        model.train(was_training)


def encode(model: Autoencoder, inputs: Inputs) -> Encoding:
    """The encodings of all inputs, on the device of the model."""
    parts = [model.encode(*inputs.batch(rows)) for rows in _batches(inputs)]
    columns = {
        field.name: [getattr(part, field.name) for part in parts] for field in fields(Encoding)
    }
    return Encoding(
        **{name: torch.cat(column) for name, column in columns.items() if column[0] is not None}
    )


def decoding_loss(
    model: Autoencoder,
    latents: Float[Tensor, "n m"],
    inputs: Inputs,
    likelihood: LikelihoodSpec,
) -> float:
    """Reconstruction loss of the latents of all inputs, in nats: sum over pixels, mean over n."""
    total = 0.0
    for rows in _batches(inputs):
        pixels, _ = inputs.batch(rows)
        outputs = model.decode(latents.index_select(0, rows))
        mean_loss = reconstruction_loss(likelihood, outputs.double(), pixels.double())
        total += mean_loss.item() * len(rows)
    return total / len(inputs)


def _batches(inputs: Inputs) -> tuple[Tensor, ...]:
    """The row numbers of each batch."""
    return torch.split(torch.arange(len(inputs), device=inputs.images.device), BATCH)


def _codes(encoding: Encoding) -> Codes:
    def variance(log_var: Tensor | None) -> Tensor | None:
        return None if log_var is None else log_var.double().exp()

    return codes(
        encoding.mean,
        variance(encoding.log_var),
        encoding.prior_mean,
        variance(encoding.prior_log_var),
    )


def _image_sigma(images: UInt8[Tensor, "n 1 side side"]) -> float | None:
    """The kernel width of the images; none where no two images differ."""
    if len(images) < 2 or (images == images[:1]).all():
        return None
    return image_sigma(images)


def _information(
    measured_codes: Codes, subset: EvaluationSubset, diagnostics: DiagnosticsSpec
) -> MutualInformation[Array] | None:
    if subset.image_sigma is None:
        return None
    n = diagnostics.information_images
    return mutual_information(
        subset.inputs.images[:n],
        measured_codes.mean[:n],
        sigma_x=subset.image_sigma,
        sigma=diagnostics.sigma,
    )


def _tau(latents: tuple[LatentMeasures, ...], diagnostics: DiagnosticsSpec) -> float:
    """The threshold of the verdict, in nats."""
    if diagnostics.tau_rule == "fixed":
        return diagnostics.tau
    cut = group_cut(
        diagnostics.tau_rule,
        [latent.judged_entropy_nats for latent in latents],
        sigma=diagnostics.sigma,
        renyi_alpha=diagnostics.renyi_alpha,
    )
    return tau_or_fixed(cut.tau_nats, diagnostics.tau)
