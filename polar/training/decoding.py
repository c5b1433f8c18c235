"""What a model makes of its latents: how much it explains, and with which of them.

A latent is taken away by replacing it by its mean, for an iVAE by its mean given u: what u alone
says is not the latent's work.
"""

from collections.abc import Iterable, Sequence
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

#: Images on which the usage of each latent is measured. Chosen by us, because each latent costs a
#: decoding of all.
MOST_USAGE_IMAGES = 1000


@dataclass(frozen=True)
class Decoder:
    """A model's decoder at work on one encoding of the evaluation subset.

    Every method decodes without gradients; call them where the model is `measured`.
    """

    model: Autoencoder
    encoding: Encoding
    subset: EvaluationSubset
    likelihood: LikelihoodSpec

    def decoding(self, actives: Sequence[int]) -> Decoding:
        """What decoding shows of all latents, given which are active.

        Raises:
            Diverged: a loss is not finite.
        """
        return Decoding(
            explained=self.explained(self.samples()),
            explained_by_prior=self._explained_by_prior(),
            explained_by_none=self.explained([self.replacement()]).part,
            explained_by_actives=self.explained_by(actives),
            usage_nats=self._usage(),
        )

    def loss(self) -> float:
        """The reconstruction loss by samples of the posteriors, nats per image.

        Raises:
            Diverged: a loss is not finite.
        """
        return float(self.losses(self.samples()).mean())

    def samples(self) -> list[Float[Tensor, "n m"]]:
        """Samples of the posteriors, with the fixed noise; the codes of a deterministic model."""
        mean, log_var = self.encoding.mean, self.encoding.log_var
        if log_var is None:
            return [mean]
        return [mean + torch.exp(log_var / 2) * noise for noise in self.subset.noise]

    def replacement(self) -> Float[Tensor, "n m"]:
        """What stands in for latents that are taken away: their means, for an iVAE given u."""
        mean = self.encoding.mean
        return self.subset.groups.means(mean).to(mean.dtype)

    def losses(self, draws: Iterable[Float[Tensor, "n m"]]) -> Float64[np.ndarray, " n"]:
        """The loss of each image in nats, mean over the draws of its latents.

        Raises:
            Diverged: a loss is not finite.
        """
        losses = torch.stack([self._losses(latents) for latents in draws]).mean(0).cpu().numpy()
        if not np.isfinite(losses).all():
            raise Diverged("the loss of an image is not finite")
        return losses

    def explained(self, draws: Iterable[Float[Tensor, "n m"]]) -> Explained:
        """R of these latents."""
        return explained(self.losses(draws), self.subset.mean_image, self.subset.floor)

    def explained_by(self, kept: Sequence[int]) -> float:
        """R when only these latents are kept, and all others are replaced."""
        is_kept = torch.zeros(self.encoding.mean.shape[1], dtype=torch.bool)
        is_kept[list(kept)] = True
        replacement = self.replacement()
        chosen = is_kept.to(replacement.device)
        draws = [torch.where(chosen, sample, replacement) for sample in self.samples()]
        return self.explained(draws).part

    def keep_curve(self, order: Sequence[int]) -> list[float]:
        """R when the first k latents of the order are kept, for k from 0 to all."""
        return [self.explained_by(order[:k]) for k in range(len(order) + 1)]

    def _explained_by_prior(self) -> float | None:
        mean, log_var = self.encoding.prior_mean, self.encoding.prior_log_var
        if mean is None or log_var is None:
            return None
        std = torch.exp(log_var / 2)
        return self.explained(mean + std * noise for noise in self.subset.noise).part

    def _usage(self) -> tuple[float, ...]:
        """The rise of the loss when one latent alone is replaced, nats per image."""
        sample = self.samples()[0][:MOST_USAGE_IMAGES]
        replacement = self.replacement()[:MOST_USAGE_IMAGES]
        loss = self._losses(sample).mean()
        rises = []
        for j in range(sample.shape[1]):
            without = sample.clone()
            without[:, j] = replacement[:, j]
            rises.append((self._losses(without).mean() - loss).item())
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
