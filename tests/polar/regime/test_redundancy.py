import numpy as np
import pytest

from polar.entropy.information import mutual_information
from polar.regime.redundancy import redundancy
from polar.report import Redundancy

N = 600
RNG = np.random.default_rng(0)
ACTIVE = RNG.normal(size=(N, 2))
NOISE = RNG.normal(size=N)


def found(passive: np.ndarray, seed: int = 0) -> Redundancy:
    mean = np.column_stack([ACTIVE, passive])
    rng = np.random.default_rng(seed)
    return redundancy(mean, actives=[0, 1], passives=[2], rng=rng)[0]


def test_a_copy_is_wholly_determined() -> None:
    one = found(1e-3 * ACTIVE[:, 1] + 5)

    assert one.r_squared == pytest.approx(1.0)
    assert (one.latent, one.nearest_active) == (2, 1)


def test_a_sum_with_noise_is_determined_in_its_share() -> None:
    one = found(0.01 * (ACTIVE[:, 0] + ACTIVE[:, 1] + NOISE))

    assert one.r_squared == pytest.approx(2 / 3, abs=0.05)  # a sample of 600


def test_unrelated_noise_is_not_determined() -> None:
    one = found(0.01 * NOISE)

    assert one.r_squared == pytest.approx(0.0, abs=0.03)  # a sample of 600
    assert one.information_nats < 2 * one.information_baseline_nats + 0.05


def test_what_is_not_linear_shows_in_the_information_alone() -> None:
    one = found(0.01 * ACTIVE[:, 0] ** 2)

    assert one.r_squared is not None
    assert one.r_squared < 0.1
    assert one.nearest_active == 0
    assert one.information_nats > 5 * one.information_baseline_nats


def test_the_scale_of_the_passive_latent_does_not_matter() -> None:
    one, other = found(NOISE + ACTIVE[:, 0]), found(1e-4 * (NOISE + ACTIVE[:, 0]))

    # rounding of the standardisation
    assert one.r_squared == pytest.approx(other.r_squared, rel=1e-9)
    assert one.information_nats == pytest.approx(other.information_nats, rel=1e-6)


def test_the_information_is_that_of_the_standardised_latents() -> None:
    passive = 0.01 * (ACTIVE[:, 0] + NOISE)
    x, y = (values / values.std() for values in (ACTIVE[:, 0], passive))

    expected = mutual_information(y[:, None], x[:, None], sigma_x=0.5, sigma=0.5)

    # the order of the images and a shift leave rounding
    assert found(passive).information_nats == pytest.approx(float(expected.nats[0]), rel=1e-6)


@pytest.mark.parametrize(
    ("actives", "passives"), [([], [0, 1]), ([0, 1], []), ([0, 1], [2]), ([], [])]
)
def test_without_actives_or_passives_that_vary_there_is_nothing(
    actives: list[int], passives: list[int]
) -> None:
    mean = np.column_stack([ACTIVE, np.ones(N)])

    assert redundancy(mean, actives=actives, passives=passives, rng=RNG) == ()


def test_rounding_is_not_a_latent() -> None:
    mean = np.column_stack([ACTIVE, 1e-8 * NOISE])

    assert redundancy(mean, actives=[0, 1], passives=[2], rng=RNG) == ()


@pytest.mark.parametrize("n", [2, 3, 4])
def test_fewer_than_five_images_have_no_folds(n: int) -> None:
    mean = np.column_stack([10.0 * np.arange(n), 0.01 * np.arange(n)])

    (one,) = redundancy(mean, actives=[0], passives=[1], rng=RNG)

    assert one.r_squared is None


def test_the_same_seed_gives_the_same_numbers() -> None:
    assert found(NOISE) == found(NOISE)
