import math
from typing import Any

import pytest
import torch

from polar.spec import ExperimentSpec
from polar.training.inputs import Inputs
from polar.training.subset import DRAWS, EvaluationSubset, evaluation_subset

PIXELS = 32 * 32


def spec_of(model: dict[str, Any] | None = None, **diagnostics: object) -> ExperimentSpec:
    return ExperimentSpec.model_validate(
        {
            "dataset": {"name": "digits", "images": 100},
            "model": {"latent_dim": 3, "widths": [4, 4, 4, 4, 4], **(model or {})},
            "training": {"batch_size": 25},
            "diagnostics": diagnostics,
        }
    )


def subset_of(images: torch.Tensor, spec: ExperimentSpec) -> EvaluationSubset:
    return evaluation_subset(Inputs(images, torch.empty(len(images), 0).byte()), spec)


def grey(values: list[int]) -> torch.Tensor:
    """Images of one grey value each."""
    return torch.tensor(values, dtype=torch.uint8).view(-1, 1, 1, 1).repeat(1, 1, 32, 32)


def test_the_subset_is_the_first_images() -> None:
    images = grey([0, 255] * 50)

    subset = subset_of(images, spec_of(images=10))

    assert torch.equal(subset.inputs.images, images[:10])
    assert len(subset.inputs.u) == len(subset.inputs) == 10
    assert len(subset.mean_image) == len(subset.floor) == 10
    assert subset.noise.shape == (DRAWS, 10, 3)


def test_black_and_white_images_cost_nothing_at_best_and_ln_2_a_pixel_at_worst() -> None:
    subset = subset_of(grey([0, 255] * 5), spec_of())

    assert subset.floor.tolist() == [0.0] * 10
    assert subset.mean_image == pytest.approx(PIXELS * math.log(2), rel=1e-12)


def test_a_gaussian_costs_the_distance_from_the_mean_image() -> None:
    spec = spec_of({"likelihood": {"name": "gaussian", "std": 0.5}})

    subset = subset_of(grey([0, 0, 0, 255, 255]), spec)

    density = PIXELS * math.log(0.5 * math.sqrt(2 * math.pi))
    squares = [0.4**2 / (2 * 0.25)] * 3 + [0.6**2 / (2 * 0.25)] * 2
    assert subset.floor == pytest.approx(density, rel=1e-12)
    assert subset.mean_image - density == pytest.approx(
        [PIXELS * square for square in squares], rel=1e-12
    )


def test_with_u_the_mean_image_is_what_images_with_the_same_u_say() -> None:
    images = grey([0, 0, 51, 51])
    u = torch.eye(2).byte().repeat_interleave(2, 0)

    subset = evaluation_subset(Inputs(images, u), spec_of({"name": "ivae"}))

    # halfway from the mean of both images to that of the other and the mean over all, 25.5
    drawn = torch.tensor([6.375, 6.375, 44.625, 44.625]).double() / 255
    truth = torch.tensor([0.0, 0.0, 0.2, 0.2]).double()
    losses = -torch.xlogy(truth, drawn) - torch.xlogy(1 - truth, 1 - drawn)
    assert subset.mean_image == pytest.approx(PIXELS * losses.numpy(), rel=1e-6)


def test_held_out_images_are_compared_with_what_training_images_say_of_their_u() -> None:
    training = Inputs(grey([0, 0, 0, 102]), torch.eye(2).byte()[[0, 0, 0, 1]])
    held_out = Inputs(grey([0, 255]), torch.eye(2).byte()[[0, 1]])

    subset = evaluation_subset(held_out, spec_of({"name": "ivae"}), training)

    # u = 0: black three times, and the mean over all, .1. u = 1: .4 once and .1 once. A grey image
    # counts as one of the four.
    drawn = [(4 * (0.1 / 4) + 0.5) / 5, (4 * 0.25 + 0.5) / 5]
    losses = [-math.log(1 - drawn[0]), -math.log(drawn[1])]
    assert subset.mean_image == pytest.approx([PIXELS * loss for loss in losses], rel=1e-6)


def test_without_u_held_out_images_are_compared_with_the_mean_of_training_images() -> None:
    training, held_out = grey([0, 0, 0, 204]), grey([255, 255])
    no_u = torch.empty(4, 0).byte()

    subset = evaluation_subset(Inputs(held_out, no_u[:2]), spec_of(), Inputs(training, no_u))

    drawn = (4 * 0.2 + 0.5) / 5  # the mean of the held-out images would be perfect
    assert subset.mean_image == pytest.approx([-PIXELS * math.log(drawn)] * 2, rel=1e-6)


def test_held_out_images_that_no_training_image_is_like_cost_a_finite_loss() -> None:
    u = torch.eye(2).byte()

    subset = evaluation_subset(
        Inputs(grey([255, 255]), u), spec_of({"name": "ivae"}), Inputs(grey([0, 0]), u)
    )

    assert (subset.mean_image < 1e4).all()


def test_a_fixed_prior_mean_says_nothing_of_u_so_that_the_mean_image_is_that_of_all() -> None:
    images = grey([0] * 5 + [255] * 5)
    u = torch.eye(2).byte().repeat_interleave(5, 0)
    spec = spec_of({"name": "ivae", "prior_mean": "fixed"})

    subset = evaluation_subset(Inputs(images, u), spec)

    assert subset.mean_image == pytest.approx(PIXELS * math.log(2), rel=1e-12)
    latents = torch.arange(10.0)[:, None]
    assert subset.groups.guesses(latents).squeeze(1).tolist() == [4.5] * 10


def test_the_noise_is_the_same_for_every_seed_and_every_number_of_images() -> None:
    images = grey([0, 255] * 50)

    one = subset_of(images, spec_of())
    other = subset_of(images, spec_of().for_seed(7))

    assert torch.equal(one.noise, other.noise)
    # 1,200 numbers of a standard normal: three standard errors
    assert abs(one.noise.mean().item()) < 3 / math.sqrt(1200)
    assert one.noise.std().item() == pytest.approx(1, abs=3 / math.sqrt(2400))


def test_the_first_images_of_a_subset_keep_what_belongs_to_them() -> None:
    subset = subset_of(grey(list(range(0, 200, 2))), spec_of())

    few = subset.first(7)

    assert len(few.inputs) == len(few.groups.of_image) == 7
    assert few.mean_image.tolist() == subset.mean_image[:7].tolist()
    assert few.floor.tolist() == subset.floor[:7].tolist()
    assert torch.equal(few.noise, subset.noise[:, :7])


def test_images_that_are_all_the_same_have_no_width() -> None:
    assert subset_of(grey([255] * 10), spec_of()).image_sigma is None
    assert subset_of(grey([0, 255] * 5), spec_of(information_images=0)).image_sigma is None
    assert subset_of(grey([0, 255] * 5), spec_of()).image_sigma is not None
