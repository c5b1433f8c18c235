"""What a model makes of its latents: how much it explains, and with which of them.

A latent is taken away by replacing it by its mean, for an iVAE with a learned prior mean by its
mean given u: what u alone says at no cost is not the latent's work.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor

from polar.errors import Diverged
from polar.models import Autoencoder, Encoding
from polar.models.likelihood import image_losses
from polar.regime.decoding import Decoding, Explained, explained
from polar.spec import LikelihoodSpec
from polar.training.subset import BATCH, EvaluationSubset

#: Images that are decoded from this step on; R then has a standard error of 0.006 on digits. Both
#: are chosen by us.
MOST_DECODED, MOST_DECODED_FROM = 512, 1000
#: Images that are decoded in the first steps, when hardly anything is explained yet. Chosen by us,
#: because most evaluations of a short training are there, and the steps up to them cost less than
#: decoding more.
FEWEST_DECODED = 64


@dataclass(frozen=True)
class Decoder:
    """A model's decoder at work on the first images of the evaluation subset.

    Every method decodes without gradients; call them where the model is `measured`.
    """

    model: Autoencoder
    subset: EvaluationSubset
    #: Samples of the posteriors by the fixed noise, or the codes of a deterministic model as the
    #: only draw.
    samples: Float[Tensor, "draws n m"]
    #: What stands in for latents that are taken away: their means, given u if u costs nothing.
    replacement: Float[Tensor, "n m"]
    #: Samples of an iVAE's prior; None for other models.
    prior_samples: Float[Tensor, "draws n m"] | None
    likelihood: LikelihoodSpec
    #: Images on which the usage of each latent is measured, because each costs a decoding of all.
    usage_images: int

    @classmethod
    def of(
        cls,
        model: Autoencoder,
        encoding: Encoding,
        subset: EvaluationSubset,
        likelihood: LikelihoodSpec,
        at_most: int = MOST_DECODED,
    ) -> "Decoder":
        """The decoder of a model, with the encoding of the subset, for its first images.

        Args:
            model: The model.
            encoding: The encoding of all images of the subset.
            subset: What the model is evaluated on.
            likelihood: The likelihood of a pixel.
            at_most: The number of images to decode if the subset has as many. Usage is measured on
                half of this number, which may be all images of a small subset.
        """
        few = subset.first(at_most)
        replacement = subset.groups.guesses(encoding.mean).to(encoding.mean.dtype)
        return cls(
            model=model,
            subset=few,
            samples=_samples(encoding.mean, encoding.log_var, few.noise),
            replacement=replacement[: len(few.inputs)],
            prior_samples=None
            if encoding.prior_mean is None
            else _samples(encoding.prior_mean, encoding.prior_log_var, few.noise),
            likelihood=likelihood,
            usage_images=(at_most + 1) // 2,
        )

    def decoding(self, actives: Sequence[int]) -> Decoding:
        """What decoding shows of all latents, given which are active.

        Raises:
            Diverged: a loss is not finite.
        """
        by_draw = self._losses(self.samples)
        loss = _finite(by_draw.mean(0))
        prior = None
        if self.prior_samples is not None:
            prior = self._explained(self.losses(self.prior_samples)).part
        return Decoding(
            reconstruction_nats=float(loss.mean()),
            explained=self._explained(loss),
            explained_by_prior=prior,
            carried_by_actives=self.carried_by(actives, by_draw[0]),
            usage_nats=self._usage(by_draw[0]),
        )

    def carried_by(self, actives: Sequence[int], with_all: Float64[np.ndarray, " n"]) -> float:
        """The part of what all latents carry of R that these carry alone, by one draw.

        Args:
            actives: The numbers of the latents.
            with_all: The losses with all latents, by the first draw.

        Raises:
            Diverged: a loss is not finite.
        """
        every_latent = len(actives) == self.replacement.shape[1]
        with_actives = with_all if every_latent else self._losses_with(actives)
        losses = (self._losses_with(()), with_actives, with_all)
        none, active, every = (self._explained(loss).part for loss in losses)
        return (active - none) / (every - none) if every > none else 0.0

    def losses(self, draws: Float[Tensor, "draws n m"]) -> Float64[np.ndarray, " n"]:
        """The loss of each image in nats, mean over the draws of its latents.

        Raises:
            Diverged: a loss is not finite.
        """
        return _finite(self._losses(draws).mean(0))

    def explained(self) -> Explained:
        """R of the model."""
        return self._explained(self.losses(self.samples))

    def keep_curve(self, order: Sequence[int]) -> list[float]:
        """R when the first k latents of the order are kept, for k from 0 to all, by one draw."""
        counts = range(len(order) + 1)
        return [self._explained(self._losses_with(order[:k])).part for k in counts]

    def _explained(self, losses: Float64[np.ndarray, " n"]) -> Explained:
        return explained(losses, self.subset.mean_image, self.subset.floor)

    def _losses_with(self, kept: Sequence[int]) -> Float64[np.ndarray, " n"]:
        """The losses when only these latents are kept and all others are replaced, by one draw."""
        is_kept = torch.zeros(self.replacement.shape[1], dtype=torch.bool)
        is_kept[list(kept)] = True
        latents = torch.where(
            is_kept.to(self.replacement.device), self.samples[0], self.replacement
        )
        return self.losses(latents[None])

    def _usage(self, losses: Float64[np.ndarray, " n"]) -> tuple[float, ...]:
        """The rise of the first draw's loss when one latent alone is replaced, nats per image."""
        sample = self.samples[0, : self.usage_images]
        replacement = self.replacement[: self.usage_images]
        together = max(1, BATCH // len(sample))  # latents, so that every batch is full
        mean_losses: list[float] = []
        for latents in torch.split(torch.arange(sample.shape[1]), together):
            without = sample.repeat(len(latents), 1, 1)
            for place, j in enumerate(latents):
                without[place, :, j] = replacement[:, j]
            mean_losses += self._losses(without).mean(1).tolist()
        rises = [loss - losses[: self.usage_images].mean() for loss in mean_losses]
        if not np.isfinite(rises).all():
            raise Diverged(f"usage cannot be measured: the losses rise by {rises} nats")
        return tuple(rises)

    def _losses(self, latents: Float[Tensor, "r k m"]) -> Float64[np.ndarray, "r k"]:
        """The losses of the first k images with each of r sets of latents."""
        flat = latents.flatten(0, 1)
        images = torch.arange(latents.shape[1], device=flat.device).repeat(len(latents))
        are_alike = bool((flat == flat[0]).all())  # as where all are replaced, and there is no u
        losses = []
        for rows in torch.split(torch.arange(len(flat), device=flat.device), BATCH):
            drawn = self.model.decode(flat[:1] if are_alike else flat[rows])
            pixels, _ = self.subset.inputs.batch(images[rows])
            losses.append(image_losses(self.likelihood, drawn.expand_as(pixels), pixels))
        return torch.cat(losses).view(latents.shape[:2]).cpu().numpy()


def images_decoded(step: int) -> int:
    """How many images an evaluation decodes: 512 from step 1,000 on, before that in proportion.

    They are at least 64, and always the first ones. The number depends on the step alone, so that
    a longer training has the same evaluations. So the end of a training of fewer steps decodes
    fewer images too, and its R has a larger standard error; and where two evaluations before step
    1,000 are compared, a part of the change of R is that of the images: on the digits up to
    0.005 between steps 724 and 1,000 (`docs/log.md`).
    """
    in_proportion = MOST_DECODED * step // MOST_DECODED_FROM
    return min(max(in_proportion, FEWEST_DECODED), MOST_DECODED)


def _samples(
    mean: Float[Tensor, "N m"],
    log_var: Float[Tensor, "N m"] | None,
    noise: Float[Tensor, "draws n m"],
) -> Float[Tensor, "few n m"]:
    n = noise.shape[1]
    if log_var is None:
        return mean[None, :n]
    return mean[:n] + torch.exp(log_var[:n] / 2) * noise


def _finite(losses: Float64[np.ndarray, " n"]) -> Float64[np.ndarray, " n"]:
    if not np.isfinite(losses).all():
        raise Diverged("the loss of an image is not finite")
    return losses
