"""Pythae's training of the plain network, for `benchmarks.steps`, in pythae's own environment.

It is started with the options of `plain_training`.
"""

import argparse
import tempfile
from collections.abc import Callable

from pythae.data.datasets import BaseDataset
from pythae.models import BetaVAE, BetaVAEConfig
from pythae.models.base.base_utils import ModelOutput
from pythae.models.nn import BaseDecoder, BaseEncoder
from pythae.trainers import BaseTrainer, BaseTrainerConfig
from pythae.trainers.training_callbacks import TrainingCallback
from torch import Tensor, zeros

from benchmarks.plain_training import VAE, OnStep, load, serve


class Encoder(BaseEncoder):  # type: ignore[misc]
    """The encoder of the plain network, as pythae wants it."""

    def __init__(self, network: VAE) -> None:
        super().__init__()
        self.features, self.mean, self.log_var = network.encoder, network.mean, network.log_var

    def forward(self, x: Tensor) -> ModelOutput:
        features = self.features(x)
        return ModelOutput(embedding=self.mean(features), log_covariance=self.log_var(features))


class Decoder(BaseDecoder):  # type: ignore[misc]
    """The decoder of the plain network; pythae wants probabilities."""

    def __init__(self, network: VAE) -> None:
        super().__init__()
        self.layers = network.decoder

    def forward(self, z: Tensor) -> ModelOutput:
        return ModelOutput(reconstruction=self.layers(z).sigmoid())


class Counter(TrainingCallback):  # type: ignore[misc]
    """Says how many steps were made."""

    def __init__(self, on_step: OnStep) -> None:
        super().__init__()
        self._on_step = on_step
        self._step = 0

    def on_train_step_end(self, training_config: BaseTrainerConfig, **_: object) -> None:  # noqa: ARG002
        self._step += 1
        self._on_step(self._step)


def prepare(options: argparse.Namespace) -> Callable[[OnStep], None]:
    """A training of one epoch with the defaults of pythae for everything else."""
    images = load(options.images)
    network = VAE(options.latents, options.widths, images.shape[-1])
    config = BetaVAEConfig(
        input_dim=tuple(images.shape[1:]),
        latent_dim=options.latents,
        reconstruction_loss="bce",
        beta=1.0,
    )
    model = BetaVAE(config, encoder=Encoder(network), decoder=Decoder(network))
    folder = tempfile.TemporaryDirectory(prefix="pythae-")
    training = BaseTrainerConfig(
        output_dir=folder.name,
        per_device_train_batch_size=options.batch,
        num_epochs=1,
        learning_rate=1e-3,
        no_cuda=True,
    )

    def make(on_step: OnStep) -> None:
        dataset = BaseDataset(images, zeros(len(images)))
        with folder:
            BaseTrainer(model, dataset, None, training, [Counter(on_step)]).train()

    return make


if __name__ == "__main__":
    serve(prepare)
