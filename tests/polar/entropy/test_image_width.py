import math

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA

from polar.entropy import image_sigma, joint_entropy, mutual_information
from polar.errors import InvalidInput

RNG = np.random.default_rng(41)
IMAGES = RNG.integers(0, 256, (300, 6, 6), dtype=np.uint8)


@pytest.mark.parametrize("n", [2, 10, 300])
def test_images_get_half_of_the_entropy_that_n_samples_can_have(n: int) -> None:
    sigma = image_sigma(IMAGES[:n])

    found = joint_entropy(IMAGES[:n], np.zeros(n), sigma_x=sigma)

    assert found.x_nats == pytest.approx(math.log(n) / 2, abs=1e-9)


def test_a_sample_of_the_pairs_is_enough_for_many_images() -> None:
    many = RNG.standard_normal((5000, 4))

    found = joint_entropy(many, np.zeros(5000), sigma_x=image_sigma(many))

    assert found.x_nats == pytest.approx(math.log(5000) / 2, abs=0.02)  # 2000 of 5000


def test_the_width_scales_with_the_images_and_pixels_are_parts_of_255() -> None:
    of_pixels = image_sigma(IMAGES)

    assert image_sigma(IMAGES / 255) == pytest.approx(of_pixels, rel=1e-12)
    assert image_sigma(1000 * (IMAGES / 255) + 3) == pytest.approx(1000 * of_pixels, rel=1e-9)
    assert image_sigma(torch.from_numpy(IMAGES)) == of_pixels


def test_copies_of_an_image_do_not_count() -> None:
    blank = np.concatenate([IMAGES, np.zeros((200, 6, 6), np.uint8)])

    found = joint_entropy(blank, np.zeros(500), sigma_x=image_sigma(blank))

    assert 0 < found.x_nats < math.log(500) / 2


def test_on_digits_shuffled_codes_are_at_the_baseline_and_real_ones_far_above() -> None:
    images = (load_digits().images * 15.9).astype(np.uint8)
    codes = PCA(3, random_state=0).fit_transform(images.reshape(len(images), -1) / 255.0)
    codes /= codes.std(0)
    shuffled = codes[RNG.permutation(len(codes))]

    found = mutual_information(images, np.hstack([codes, shuffled]), sigma_x=image_sigma(images))

    excess = found.nats - found.baseline_nats
    assert (excess[:3] > 0.3).all()
    assert (np.abs(excess[3:]) < 4 * found.baseline_std_nats[3:]).all()
    assert (found.baseline_nats < 0.1).all()  # little is left to chance at this width


@pytest.mark.parametrize("images", [np.zeros((9, 4), np.uint8), np.zeros((1, 4)), np.ones((3, 2))])
def test_images_all_the_same_have_no_width(images: np.ndarray) -> None:
    with pytest.raises(InvalidInput, match=rf"all {len(images)} samples of x are the same"):
        image_sigma(images)
