from typing import Any

import pytest
import torch

from polar.errors import Diverged
from polar.models import Encoding
from polar.spec import ExperimentSpec
from polar.training import usage
from polar.training.evaluation import EvaluationSubset, evaluation_subset
from polar.training.inputs import Inputs
from polar.training.usage import Usage, measure_usage

SPEC = ExperimentSpec.model_validate(
    {
        "dataset": {"name": "digits", "images": 100},
        "model": {"likelihood": {"name": "gaussian", "std": 1.0}},
    }
)
#: Loss of a Gaussian of deviation 1, half the sum of squares: 512 if each pixel is wrong by 1.
HALF_IMAGE = 32 * 32 / 2


class Painter(torch.nn.Module):
    """Paints every pixel with a weighted sum of the latents, which are bits of the grey value."""

    def __init__(self, weights: list[float]) -> None:
        super().__init__()
        self.weights = torch.tensor(weights)

    def encode(self, images: torch.Tensor, _u: torch.Tensor) -> Encoding:
        grey = images[:, 0, 0, 0]
        return Encoding(torch.stack([grey, 1 - grey, torch.ones_like(grey)], dim=1))

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        return (latents @ self.weights).view(-1, 1, 1, 1).expand(-1, 1, 32, 32)

    def losses(self, *arguments: Any) -> Any:  # noqa: ANN401
        raise NotImplementedError


def black_and_white(n: int = 100) -> EvaluationSubset:
    images = (torch.arange(n) % 2 * 255).to(torch.uint8).view(n, 1, 1, 1).repeat(1, 1, 32, 32)
    return evaluation_subset(Inputs(images, torch.empty(n, 0).byte()), SPEC)


def test_a_latent_that_the_decoder_follows_is_used_and_the_others_are_not() -> None:
    found = measure_usage(Painter([1.0, 0.0, 0.0]), black_and_white(), SPEC)

    # Its mean is a half: every pixel is then wrong by a half.
    assert found.rise_nats == (HALF_IMAGE / 4, 0, 0)
    assert found.all_rise_nats == HALF_IMAGE / 4
    assert found.relative == (1, 0, 0)


def test_a_latent_that_does_not_vary_is_not_used_however_much_weight_it_has() -> None:
    found = measure_usage(Painter([1.0, 0.0, 0.0]), black_and_white(), SPEC)
    heavy = measure_usage(Painter([1.0, 0.0, 5.0]), black_and_white(), SPEC)

    assert heavy.rise_nats[2] == 0
    assert found.rise_nats[2] == 0


def test_two_latents_that_share_the_work_are_used_each_alone() -> None:
    found = measure_usage(Painter([0.5, -0.5, 0.5]), black_and_white(), SPEC)

    # Each alone moves every pixel by a quarter.
    assert found.rise_nats == (HALF_IMAGE / 16, HALF_IMAGE / 16, 0)
    assert found.all_rise_nats == HALF_IMAGE / 4
    assert found.relative == (0.25, 0.25, 0)


def test_without_a_rise_no_part_of_it_is_known() -> None:
    # Paints negatives: grey is better.
    found = measure_usage(Painter([0.0, 1.0, 0.0]), black_and_white(), SPEC)

    assert found.all_rise_nats < 0
    assert found.relative is None
    assert Usage((0.0,), 0.0).relative is None


def test_only_some_of_the_images_are_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usage, "MOST_IMAGES", 1)

    found = measure_usage(Painter([1.0, 0.0, 0.0]), black_and_white(), SPEC)

    assert found.rise_nats == (0, 0, 0)  # one image is its own mean


def test_a_model_that_is_not_finite_has_diverged() -> None:
    with pytest.raises(Diverged, match="losses are nan"):
        measure_usage(Painter([float("nan"), 0.0, 0.0]), black_and_white(), SPEC)
