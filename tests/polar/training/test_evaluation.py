import math
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import torch

from polar.errors import Diverged
from polar.events import Label, Regime
from polar.models import Losses, Posterior, build
from polar.spec import ExperimentSpec
from polar.training.evaluation import evaluate, evaluation_subset

SPEC = ExperimentSpec.model_validate(
    {
        "dataset": {"name": "digits", "images": 100},
        "model": {"latent_dim": 3, "widths": [4, 4, 4, 4, 4]},
        "training": {"batch_size": 25},
    }
)
PIXELS = 32 * 32


class FakeModel:
    """Draws what it is told, whatever the latents; latent j has the given deviation."""

    def __init__(self, logits: torch.Tensor, stds: tuple[float, ...] = (1.0,)) -> None:
        self.logits = logits
        self.stds = torch.tensor(stds)
        self.decoded = 0

    def encode(self, images: torch.Tensor) -> Posterior:
        positions = torch.linspace(-2, 2, len(images))
        mean = positions[:, None] * self.stds
        return Posterior(mean, torch.zeros_like(mean))

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        first, self.decoded = self.decoded, self.decoded + len(latents)
        return self.logits[first : self.decoded]

    def losses(self, images: torch.Tensor, noise: torch.Generator) -> Losses:
        raise NotImplementedError

    def parameters(self) -> Iterator[torch.nn.Parameter]:
        raise NotImplementedError

    def state_dict(self) -> dict[str, Any]:
        raise NotImplementedError

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        raise NotImplementedError


def black_and_white(n: int = 100) -> torch.Tensor:
    """As many black images as white ones."""
    return (torch.arange(n) % 2 * 255).to(torch.uint8).view(n, 1, 1, 1).repeat(1, 1, 32, 32)


def test_black_and_white_images_cost_nothing_at_best_and_ln_2_a_pixel_at_worst() -> None:
    subset = evaluation_subset(black_and_white(), at_most=100)

    assert subset.floor == 0
    assert subset.mean_image_loss == pytest.approx(PIXELS * math.log(2), rel=1e-12)


def test_grey_images_have_the_entropy_of_their_pixels_as_floor() -> None:
    images = torch.full((7, 1, 32, 32), 51, dtype=torch.uint8)  # 51 / 255 = 0.2

    subset = evaluation_subset(images, at_most=100)

    entropy = -0.2 * math.log(0.2) - 0.8 * math.log(0.8)
    # Pixels are float32.
    assert subset.floor == pytest.approx(PIXELS * entropy, rel=1e-6)
    assert subset.mean_image_loss == pytest.approx(subset.floor, rel=1e-12)


def test_the_subset_is_the_first_images() -> None:
    images = black_and_white()

    subset = evaluation_subset(images, at_most=10)

    assert torch.equal(subset.images, images[:10])


def test_the_loss_of_the_mean_image_is_that_of_a_decoder_that_draws_it() -> None:
    images = torch.randint(0, 256, (300, 1, 32, 32), generator=torch.Generator().manual_seed(0))
    subset = evaluation_subset(images.to(torch.uint8), at_most=300)
    mean_image = images.double().mean(0) / 255
    drawing = FakeModel(mean_image.logit().float().repeat(300, 1, 1, 1))

    evaluation = evaluate(drawing, subset, SPEC, step=8)

    # Pixels and logits are float32.
    assert evaluation.reconstruction_nats == pytest.approx(subset.mean_image_loss, rel=1e-6)
    assert evaluation.verdict.explained == pytest.approx(0, abs=1e-6)
    assert evaluation.verdict.no_reconstruction_gain


def test_a_perfect_reconstruction_reaches_the_floor_and_explains_everything() -> None:
    images = torch.randint(1, 255, (300, 1, 32, 32), generator=torch.Generator().manual_seed(0))
    subset = evaluation_subset(images.to(torch.uint8), at_most=300)
    drawing = FakeModel((images.double() / 255).logit().float())

    evaluation = evaluate(drawing, subset, SPEC, step=8)

    assert evaluation.reconstruction_nats == pytest.approx(subset.floor, rel=1e-6)
    assert evaluation.verdict.explained == pytest.approx(1, abs=1e-5)


def test_a_wide_latent_is_active_and_a_narrow_one_passive() -> None:
    subset = evaluation_subset(black_and_white(), at_most=100)
    model = FakeModel(torch.zeros(100, 1, 32, 32), stds=(1.0, 1e-3))

    evaluation = evaluate(model, subset, SPEC, step=8)

    assert [latent.label for latent in evaluation.latents] == [Label.ACTIVE, Label.PASSIVE]
    assert evaluation.verdict.regime == Regime.POLARISED
    assert evaluation.step == 8
    assert evaluation.epoch == 2.0  # of four batches


def test_an_evaluation_draws_no_chance_and_keeps_no_gradients() -> None:
    model = build(SPEC.model, torch.Generator().manual_seed(0))
    subset = evaluation_subset(black_and_white(), at_most=100)
    before = torch.get_rng_state()

    first = evaluate(model, subset, SPEC, step=1)
    second = evaluate(model, subset, SPEC, step=1)

    assert first == second
    assert torch.equal(torch.get_rng_state(), before)
    assert all(parameter.grad is None for parameter in model.parameters())


def test_a_model_that_is_not_finite_has_diverged() -> None:
    subset = evaluation_subset(black_and_white(), at_most=100)
    model = FakeModel(torch.full((100, 1, 32, 32), math.nan))

    with pytest.raises(Diverged, match="not finite any more at step 7"):
        evaluate(model, subset, SPEC, step=7)
