import numpy as np
import pytest

from polar.entropy.information import mutual_information
from polar.records.measurement import Redundancy
from polar.regime import redundancy as module
from polar.regime.redundancy import can_regress, images_compared, redundancy

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


@pytest.mark.parametrize("seed", range(3))
def test_the_nearest_active_is_the_one_of_most_information(seed: int) -> None:
    rng = np.random.default_rng(seed)
    actives = rng.standard_t(3, size=(200, 6))
    mixing = rng.normal(size=(6, 5)) ** 3
    passives = 0.01 * (np.sin(actives) @ mixing + rng.normal(size=(200, 5)))
    mean = np.column_stack([actives, passives])
    x, y = ((one - one.mean(axis=0)) / one.std(axis=0) for one in (actives, passives))

    found = redundancy(mean, actives=range(6), passives=range(6, 11), rng=rng)

    nats = np.stack(
        [mutual_information(one[:, None], y, sigma_x=0.5, sigma=0.5).nats for one in x.T]
    )
    assert [one.nearest_active for one in found] == nats.argmax(axis=0).tolist()
    # the order of the images leaves rounding
    assert [one.information_nats for one in found] == pytest.approx(nats.max(axis=0), rel=1e-5)


def test_the_search_in_pieces_finds_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = found(NOISE + ACTIVE[:, 1])
    monkeypatch.setattr(module, "AT_ONCE", 1000)

    assert found(NOISE + ACTIVE[:, 1]) == whole


def test_the_work_of_the_search_is_bounded() -> None:
    assert images_compared(10_000, 64, 64) == 1000  # the usual sizes are searched in full
    for actives, passives in ((750, 750), (5000, 5000), (1, 9999), (9999, 1)):
        n = images_compared(10**6, actives, passives)
        assert n >= 50
        assert (n - 1) ** 2 / 2 * actives * passives <= module.MOST_PRODUCTS
        assert (n - 1) ** 2 / 2 * (actives + passives) <= module.MOST_KERNELS


@pytest.mark.parametrize(
    ("n", "actives", "can"), [(4, 1, False), (5, 3, True), (5, 4, False), (300, 240, False)]
)
def test_a_fit_needs_more_images_than_actives(n: int, actives: int, can: bool) -> None:
    assert can_regress(n, actives) is can
