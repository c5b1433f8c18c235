import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from torch import Tensor

from polar.entropy import mutual_information, renyi_entropy
from polar.records.latents import Label, LatentMeasures
from polar.regime.codes import codes
from polar.regime.diagnostics import measure_latents, with_information
from polar.regime.verdict import labelled


def measure(mean: Tensor, log_var: Tensor | None = None) -> tuple[LatentMeasures, ...]:
    variance = torch.ones_like(mean) if log_var is None else log_var.double().exp()
    return measure_latents(codes(mean, variance), ruler="scaled", sigma=0.5, renyi_alpha=1.01)


def label_of(measures: LatentMeasures) -> Label:
    (latent,) = labelled([measures], 0.25)
    return latent.label


@pytest.mark.parametrize(
    ("mean", "variance", "kl_nats"),
    [
        (0, 1, 0.0),
        (1, 1, 0.5),
        (2, 1, 2.0),
        (0, 0.5, 0.0965735903),
        (0, 0.01, 1.8075850930),
        (1, 0.01, 2.3075850930),
        (0, 2, 0.1534264097),
    ],
)
def test_the_kl_divergence_has_the_values_of_the_closed_form(
    mean: float, variance: float, kl_nats: float
) -> None:
    means = torch.full((3, 1), mean, dtype=torch.float64)
    log_vars = torch.full((3, 1), variance, dtype=torch.float64).log()

    (latent,) = measure(means, log_vars)

    assert latent.kl_nats == pytest.approx(kl_nats, abs=1e-10)  # ten decimals are given
    assert latent.kl_mean_part_nats == mean**2 / 2
    assert latent.kl_mean_part_nats is not None
    assert latent.kl_variance_part_nats is not None
    assert latent.kl_nats == latent.kl_mean_part_nats + latent.kl_variance_part_nats


def test_the_kl_divergence_is_the_mean_over_images() -> None:
    (latent,) = measure(torch.tensor([[2.0], [-1.0]]))

    assert latent.kl_nats == (2.0 + 0.5) / 2


def test_moments_are_those_of_the_population() -> None:
    variances = torch.tensor([[1.0], [3.0]], dtype=torch.float64)

    (latent,) = measure(torch.tensor([[1.0], [3.0]]), variances.log())

    assert (latent.mean_of_mean, latent.var_of_mean) == (2.0, 1.0)
    # exp(log 3) is 3 up to rounding
    assert latent.mean_of_variance == pytest.approx(2.0, rel=1e-15)
    assert latent.var_of_variance == pytest.approx(1.0, rel=1e-15)


def test_two_values_far_apart_have_the_renyi_entropy_of_their_frequencies() -> None:
    mean = torch.tensor([0.0] * 3 + [1000.0] * 7).unsqueeze(1)
    alpha = 1.01
    expected = math.log(0.3**alpha + 0.7**alpha) / (1 - alpha)

    (latent,) = measure(mean)

    # the estimator promises 1e-6, and says how near it came
    assert latent.entropy_nats == pytest.approx(expected, abs=1e-6)
    assert latent.entropy_error_bound_nats <= 1e-6
    assert latent.entropy_relative == latent.entropy_nats / math.log(10)
    assert label_of(latent) is Label.ACTIVE


def test_values_all_far_apart_have_the_relative_entropy_one() -> None:
    (latent,) = measure(1000.0 * torch.arange(50).unsqueeze(1))

    assert latent.entropy_relative == pytest.approx(1.0, abs=1e-6)  # promised by the estimator
    assert latent.entropy_relative <= 1.0


def test_a_gaussian_latent_has_its_own_standard_deviation_as_the_equivalent_one() -> None:
    uniform = (torch.arange(4000, dtype=torch.float64) + 0.5) / 4000
    normal = torch.special.ndtri(uniform).unsqueeze(1)

    latents = measure(torch.hstack([0.02 * normal, 0.2 * normal, normal]))

    # quantiles lack the outermost tails of the Gaussian
    stds = [latent.equivalent_std for latent in latents]
    assert stds == pytest.approx([0.02, 0.2, 1.0], rel=0.01)


@pytest.mark.parametrize("value", [0.0, 0.1, -1e3, 1e30])
def test_a_constant_latent_has_no_entropy_at_all(value: float) -> None:
    (latent,) = measure(torch.full((100, 1), value))

    assert latent.entropy_nats == 0.0
    assert latent.entropy_relative == 0.0
    assert latent.equivalent_std == 0.0
    assert label_of(latent) is Label.PASSIVE


def test_one_image_is_enough() -> None:
    latents = measure(torch.tensor([[1.0, -2.0]]), torch.tensor([[0.0, 0.0]]))

    assert [latent.entropy_nats for latent in latents] == [0.0, 0.0]
    assert [latent.entropy_relative for latent in latents] == [0.0, 0.0]
    assert [latent.var_of_mean for latent in latents] == [0.0, 0.0]
    assert [latent.kl_nats for latent in latents] == [0.5, 2.0]


def test_latents_are_numbered_from_zero_and_measured_each_alone() -> None:
    # multiples of a power of two, whose sums are exact in any order
    mean = torch.randint(-8, 8, (64, 3), generator=torch.Generator().manual_seed(0)) / 4

    together = measure(mean)

    assert [latent.latent for latent in together] == [0, 1, 2]
    for j, latent in enumerate(together):
        (alone,) = measure(mean[:, [j]])
        assert latent.entropy_nats == alone.entropy_nats
        assert latent.mean_of_mean == alone.mean_of_mean
        assert latent.kl_nats == alone.kl_nats


def test_measures_are_in_double_precision_whatever_the_model_computed_in() -> None:
    generator = torch.Generator().manual_seed(0)
    mean = torch.randn(1000, 2, generator=generator, dtype=torch.float32)
    log_var = torch.randn(1000, 2, generator=generator, dtype=torch.float32)

    assert measure(mean, log_var) == measure(mean.double(), log_var.double())


def test_the_entropy_depends_on_the_spread_in_units_of_the_kernel_only() -> None:
    mean = torch.randn(500, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    one_variance = torch.ones_like(mean)

    (one,) = measure_latents(
        codes(mean, one_variance), ruler="scaled", sigma=0.5, renyi_alpha=1.01
    )
    (eight,) = measure_latents(
        codes(8 * mean, one_variance), ruler="scaled", sigma=4.0, renyi_alpha=1.01
    )

    # a factor that is a power of two is exact
    assert eight.entropy_nats == one.entropy_nats
    assert eight.equivalent_std == pytest.approx(8 * one.equivalent_std, rel=1e-12)  # root finding
    assert one.kl_mean_part_nats is not None
    assert eight.kl_mean_part_nats == 64 * one.kl_mean_part_nats


unhurried = settings(deadline=None)  # other processes may have the machine
REPRESENTATIONS = arrays("float64", (7, 3), elements=st.floats(-50, 50))


@unhurried
@given(mean=REPRESENTATIONS, log_var=REPRESENTATIONS)
def test_measures_keep_their_bounds(mean: NDArray, log_var: NDArray) -> None:  # type: ignore[type-arg]
    for latent in measure(torch.from_numpy(mean), torch.from_numpy(log_var)):
        assert 0 <= latent.entropy_nats <= math.log(7) + latent.entropy_error_bound_nats
        assert 0 <= latent.entropy_relative <= 1
        parts = (latent.kl_mean_part_nats, latent.kl_variance_part_nats)
        for value in (*parts, latent.var_of_mean, latent.var_of_variance):
            assert value is not None
            assert value >= 0


def test_without_a_variance_only_the_mean_is_measured() -> None:
    mean = torch.randn(50, 2, generator=torch.Generator().manual_seed(0))

    with_variance = measure(mean)
    without = measure_latents(codes(mean), ruler="scaled", sigma=0.5, renyi_alpha=1.01)

    for some, all_ in zip(without, with_variance, strict=True):
        missing = {name for name, value in some.model_dump().items() if value is None}
        assert missing - {name for name, value in all_.model_dump().items() if value is None} == {
            "mean_of_variance",
            "var_of_variance",
            "kl_nats",
            "kl_mean_part_nats",
            "kl_variance_part_nats",
        }
        assert some.entropy_nats == all_.entropy_nats


U = np.arange(300) % 3


def test_a_latent_that_follows_u_alone_is_judged_without_it() -> None:
    # Three values of u, three means of the prior; the posterior is the prior.
    prior_mean = 10.0 * U[:, None]
    variance = np.full((300, 1), 0.5)
    of_an_ivae = codes(prior_mean, variance, prior_mean, variance)

    (latent,) = measure_latents(of_an_ivae, u=U, ruler="scaled", sigma=0.5, renyi_alpha=1.01)

    # the estimator promises 1e-6
    assert latent.entropy_nats == pytest.approx(math.log(3), abs=1e-6)
    assert latent.judged_entropy_nats == 0
    assert latent.entropy_given_u_nats == 0
    assert latent.kl_nats == 0
    assert label_of(latent) is Label.PASSIVE
    assert (latent.entropy_relative, latent.equivalent_std) == (0, 0)


def test_the_judged_entropy_is_in_units_of_the_prior() -> None:
    generator = np.random.default_rng(0)
    standard = generator.standard_normal((300, 1))
    prior_mean, prior_variance = 10.0 * U[:, None], 4.0 ** U[:, None]
    mean = prior_mean + np.sqrt(prior_variance) * standard
    of_an_ivae = codes(mean, 0.1 * prior_variance, prior_mean, prior_variance)

    (latent,) = measure_latents(of_an_ivae, u=U, ruler="scaled", sigma=0.5, renyi_alpha=1.01)

    expected = renyi_entropy(standard).nats[0]
    assert latent.judged_entropy_nats == pytest.approx(expected, abs=2e-6)  # 1e-6 each
    kl = (standard**2 + 0.1 - math.log(0.1) - 1).mean() / 2
    assert latent.kl_nats == pytest.approx(kl, rel=1e-12)  # rounding of float64
    assert label_of(latent) is Label.ACTIVE


def test_information_is_taken_over_and_away() -> None:
    generator = np.random.default_rng(0)
    mean = generator.standard_normal((40, 2))
    information = mutual_information(generator.standard_normal((40, 5)), mean)
    without = measure_latents(codes(mean), ruler="scaled", sigma=0.5, renyi_alpha=1.01)

    latents = with_information(without, information)

    assert [latent.information_nats for latent in latents] == information.nats.tolist()
    assert [
        latent.information_baseline_nats for latent in latents
    ] == information.baseline_nats.tolist()
    assert with_information(latents, None) == without
