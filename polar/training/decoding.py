"""What a model makes of its latents: how much it explains, and with which of them.

A latent is taken away by replacing it by its mean, for an iVAE with a learned prior mean by its
mean given u: what u alone says at no cost is not the latent's work.
"""

from collections.abc import Iterator, Sequence
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
from polar.training.subset import EvaluationSubset, batches

#: Images that are decoded, and those on which the usage of each latent is measured. Chosen by us,
#: because R then has a standard error of 0.006 on digits, and each latent costs a decoding of all.
MOST_DECODED, MOST_USAGE_IMAGES = 512, 256


@dataclass(frozen=True)
class Decoder:
    """A model's decoder at work on the first images of the evaluation subset.

    Every method decodes without gradients; call them where the model is `measured`.
    """

    model: Autoencoder
    subset: EvaluationSubset
    #: Samples of the posteriors by the fixed noise, or the codes of a deterministic model: a
    #: tensor of shape (n, m) for each draw.
    samples: tuple[Float[Tensor, "n m"], ...]
    #: What stands in for latents that are taken away: their means, given u if u costs nothing.
    replacement: Float[Tensor, "n m"]
    #: Samples of an iVAE's prior; empty for other models.
    prior_samples: tuple[Float[Tensor, "n m"], ...]
    likelihood: LikelihoodSpec

    @classmethod
    def of(
        cls,
        model: Autoencoder,
        encoding: Encoding,
        subset: EvaluationSubset,
        likelihood: LikelihoodSpec,
        at_most: int = MOST_DECODED,
    ) -> "Decoder":
        """The decoder of a model, with the encoding of the subset, for its first images."""
        few = subset.first(at_most)
        replacement = subset.groups.guesses(encoding.mean).to(encoding.mean.dtype)
        return cls(
            model=model,
            subset=few,
            samples=tuple(_samples(encoding.mean, encoding.log_var, few.noise)),
            replacement=replacement[: len(few.inputs)],
            prior_samples=()
            if encoding.prior_mean is None
            else tuple(_samples(encoding.prior_mean, encoding.prior_log_var, few.noise)),
            likelihood=likelihood,
        )

    def decoding(self, actives: Sequence[int]) -> Decoding:
        """What decoding shows of all latents, given which are active.

        Raises:
            Diverged: a loss is not finite.
        """
        by_draw = [self.losses([latents]) for latents in self.samples]
        loss = np.stack(by_draw).mean(0)
        prior = self._explained(self.losses(self.prior_samples)) if self.prior_samples else None
        return Decoding(
            reconstruction_nats=float(loss.mean()),
            explained=self._explained(loss),
            explained_by_prior=None if prior is None else prior.part,
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
        losses = (self._losses_with(()), self._losses_with(actives), with_all)
        none, active, every = (self._explained(loss).part for loss in losses)
        return (active - none) / (every - none) if every > none else 0.0

    def losses(self, draws: Sequence[Float[Tensor, "n m"]]) -> Float64[np.ndarray, " n"]:
        """The loss of each image in nats, mean over the draws of its latents.

        Raises:
            Diverged: a loss is not finite.
        """
        losses = torch.stack([self._losses(latents) for latents in draws]).mean(0).cpu().numpy()
        if not np.isfinite(losses).all():
            raise Diverged("the loss of an image is not finite")
        return losses

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
        return self.losses([latents])

    def _usage(self, losses: Float64[np.ndarray, " n"]) -> tuple[float, ...]:
        """The rise of the first draw's loss when one latent alone is replaced, nats per image."""
        sample = self.samples[0][:MOST_USAGE_IMAGES]
        replacement = self.replacement[:MOST_USAGE_IMAGES]
        loss = losses[:MOST_USAGE_IMAGES].mean()
        rises = []
        for j in range(sample.shape[1]):
            without = sample.clone()
            without[:, j] = replacement[:, j]
            rises.append(self._losses(without).mean().item() - loss)
        if not np.isfinite(rises).all():
            raise Diverged(f"usage cannot be measured: the losses rise by {rises} nats")
        return tuple(rises)

    def _losses(self, latents: Float[Tensor, "k m"]) -> Float64[Tensor, " k"]:
        """The losses of the first k images with these latents."""
        inputs = self.subset.inputs.first(len(latents))
        return torch.cat(
            [
                image_losses(
                    self.likelihood, self.model.decode(latents[rows]), inputs.batch(rows)[0]
                )
                for rows in batches(inputs)
            ]
        )


def _samples(
    mean: Float[Tensor, "N m"],
    log_var: Float[Tensor, "N m"] | None,
    noise: Float[Tensor, "draws n m"],
) -> Iterator[Float[Tensor, "n m"]]:
    n = noise.shape[1]
    if log_var is None:
        yield mean[:n]
        return
    for draw in noise:
        yield mean[:n] + torch.exp(log_var[:n] / 2) * draw
