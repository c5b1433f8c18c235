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


def test_with_u_the_mean_image_is_that_of_the_same_u() -> None:
    images = grey([0] * 5 + [51] * 5)
    u = torch.eye(2).byte().repeat_interleave(5, 0)

    subset = evaluation_subset(Inputs(images, u), spec_of({"name": "ivae"}))

    # u says everything about these images.
    assert subset.mean_image == pytest.approx(subset.floor, rel=1e-12)
    assert subset.floor[0] == 0 < subset.floor[5]


def test_a_fixed_prior_mean_says_nothing_of_u_so_that_the_mean_image_is_that_of_all() -> None:
    images = grey([0] * 5 + [255] * 5)
    u = torch.eye(2).byte().repeat_interleave(5, 0)
    spec = spec_of({"name": "ivae", "prior_mean": "fixed"})

    subset = evaluation_subset(Inputs(images, u), spec)

    assert subset.mean_image == pytest.approx(PIXELS * math.log(2), rel=1e-12)
    latents = torch.arange(10.0)[:, None]
    assert subset.groups.means(latents).squeeze(1).tolist() == [4.5] * 10


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
