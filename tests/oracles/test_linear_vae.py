"""The closed form, and that training finds it: the end-to-end oracle of all criteria."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from polar.errors import InvalidInput
from polar.records.latents import Label
from polar.records.measurement import Criterion
from polar.regime.codes import Codes, codes
from polar.regime.diagnostics import measure_latents
from polar.regime.labels import label_latents
from polar.regime.mixed import variance_signals
from polar.regime.threshold import tau_in_nats
from polar.spec.training import DEFAULT_TAU_STD
from tests.oracles.linear_vae import LinearVAE, fit, optimum

N = 200
#: Eigenvalues l, beta and s^2; l / (beta s^2) is below 0.7 or above 12, where also Bonheme's rule
#: knows active from passive.
SETTINGS = [
    ((20.0, 13.0, 0.5, 0.3), 1.0, 1.0),
    ((80.0, 30.0, 13.0, 0.2), 1.0, 1.0),
    ((0.6, 0.4, 0.2, 0.1), 1.0, 1.0),
    ((300.0, 120.0, 60.0, 26.0), 2.0, 1.0),
    ((100.0, 52.0, 2.0, 0.5), 4.0, 1.0),
    ((120.0, 60.0, 26.0, 1.0), 4.0, 0.5),
    ((3.0, 0.05, 0.03, 0.01), 10.0, 0.02),
]
TAU = tau_in_nats(DEFAULT_TAU_STD, n=N, sigma=0.5, renyi_alpha=1.01)
each_setting = pytest.mark.parametrize(("eigenvalues", "beta", "noise"), SETTINGS)


def gaussian_data(eigenvalues: tuple[float, ...]) -> torch.Tensor:
    """Data of mean 0 whose own covariance has exactly these eigenvalues, in some directions."""
    generator = torch.Generator().manual_seed(0)
    d = len(eigenvalues)
    raw = torch.randn(N, d, generator=generator, dtype=torch.float64)
    raw = raw - raw.mean(0)
    white = raw @ torch.linalg.inv(torch.linalg.cholesky(raw.T @ raw / N)).T
    turn = torch.linalg.qr(torch.randn(d, d, generator=generator, dtype=torch.float64)).Q
    return white * torch.tensor(eigenvalues, dtype=torch.float64).sqrt() @ turn.T


def encoded(model: LinearVAE, data: torch.Tensor) -> Codes:
    with torch.no_grad():
        encoding = model.encode(data)
    assert encoding.log_var is not None
    return codes(encoding.mean, encoding.log_var.exp())


def labels_by_criterion(of: Codes) -> dict[Criterion, list[Label]]:
    """By every criterion: a standard prior is also a conditional one that all images share."""
    prior = np.zeros_like(of.mean), np.ones_like(of.mean)
    found: dict[Criterion, list[Label]] = {}
    for these in (of, codes(of.mean, of.variance, *prior)):
        measures = measure_latents(these, ruler="scaled", sigma=0.5, renyi_alpha=1.01)
        signals = variance_signals(these, renyi_alpha=1.01)
        labels = label_latents(these, measures, signals, tau=TAU)
        for criterion in {one.criterion for one in labels}:
            found[criterion] = [one.label for one in labels if one.criterion is criterion]
    return found


@pytest.fixture(scope="module")
def trained() -> dict[tuple[tuple[float, ...], float], Codes]:
    """The codes of a trained model for each setting."""
    found: dict[tuple[tuple[float, ...], float], Codes] = {}
    for eigenvalues, beta, noise in SETTINGS:
        data = gaussian_data(eigenvalues)
        model = fit(data, len(eigenvalues), beta=beta, noise_variance=noise)
        found[eigenvalues, beta] = encoded(model, data)
    return found


@pytest.mark.parametrize(
    ("eigenvalue", "beta", "posterior", "of_mean", "kl"),
    [
        (2.0, 1.0, 0.5, 0.5, 0.3466),
        (5.0, 1.0, 0.2, 0.8, 0.8047),
        (5.0, 4.0, 0.8, 0.2, 0.1116),
        (20.0, 4.0, 0.2, 0.8, 0.8047),
    ],
)
def test_an_active_latent_has_the_values_of_the_closed_form(
    eigenvalue: float, beta: float, posterior: float, of_mean: float, kl: float
) -> None:
    found = optimum(np.array([eigenvalue]), beta=beta)

    assert found.active.tolist() == [True]
    assert found.posterior_variance[0] == pytest.approx(posterior)
    assert found.mean_variance[0] == pytest.approx(of_mean)
    assert found.kl_nats[0] == pytest.approx(kl, abs=5e-5)  # four digits are given
    assert found.gain_squared[0] == pytest.approx(eigenvalue - beta)


@pytest.mark.parametrize("eigenvalue", [0.0, 0.5, 2.0])
def test_a_latent_at_or_below_the_noise_is_passive(eigenvalue: float) -> None:
    found = optimum(np.array([eigenvalue]), beta=4.0, noise_variance=0.5)

    assert found.active.tolist() == [False]
    assert (found.posterior_variance[0], found.mean_variance[0]) == (1, 0)
    assert (found.kl_nats[0], found.gain_squared[0]) == (0, 0)


@given(st.lists(st.floats(0, 100), min_size=1, max_size=8), st.floats(0.01, 10), st.floats(1, 5))
def test_with_a_larger_beta_no_latent_wakes_up(
    eigenvalues: list[float], beta: float, factor: float
) -> None:
    spectrum = np.array(sorted(eigenvalues, reverse=True))

    weak, strong = optimum(spectrum, beta=beta), optimum(spectrum, beta=beta * factor)

    assert not (strong.active & ~weak.active).any()
    assert (strong.mean_variance <= weak.mean_variance).all()
    assert (weak.mean_variance + weak.posterior_variance == pytest.approx(1)) or not len(spectrum)


@pytest.mark.parametrize(
    ("eigenvalues", "beta"),
    [([1.0, 2.0], 1.0), ([1.0, -1.0], 1.0), ([np.nan], 1.0), ([1.0], 0.0), ([1.0], np.inf)],
)
def test_what_has_no_optimum_is_refused(eigenvalues: list[float], beta: float) -> None:
    with pytest.raises(InvalidInput, match="allowed: finite eigenvalues that descend"):
        optimum(np.array(eigenvalues), beta=beta)


@each_setting
def test_training_finds_the_optimum(
    trained: dict[tuple[tuple[float, ...], float], Codes],
    eigenvalues: tuple[float, ...],
    beta: float,
    noise: float,
) -> None:
    found = trained[eigenvalues, beta]

    expected = optimum(np.array(eigenvalues), beta=beta, noise_variance=noise)
    assert found.variance is not None
    order = np.argsort(found.variance[0])
    # The nearest limit of a criterion is 0.02 away: Bonheme's 0.1, from 1 / 13. A twentieth of it.
    tolerance = 1e-3
    assert found.variance[0, order] == pytest.approx(expected.posterior_variance, abs=tolerance)
    assert found.mean.var(0)[order] == pytest.approx(expected.mean_variance, abs=tolerance)


@each_setting
def test_every_criterion_counts_the_active_latents(
    trained: dict[tuple[tuple[float, ...], float], Codes],
    eigenvalues: tuple[float, ...],
    beta: float,
    noise: float,
) -> None:
    found = trained[eigenvalues, beta]
    ratios = np.array(eigenvalues) / (beta * noise)

    labels = labels_by_criterion(found)

    assert ((ratios < 0.7) | (ratios > 12)).all()
    expected = sum(value > beta * noise for value in eigenvalues)
    assert set(labels) == set(Criterion)
    for criterion, said in labels.items():
        assert said.count(Label.ACTIVE) == expected, criterion
        assert said.count(Label.PASSIVE) == len(eigenvalues) - expected, criterion


def test_the_number_of_active_latents_falls_with_beta() -> None:
    data = gaussian_data((40.0, 6.0, 1.0))

    labels = [
        labels_by_criterion(encoded(fit(data, 3, beta=beta), data))
        for beta in (0.1, 3.0, 15.0, 80.0)
    ]

    counts = {
        criterion: [said[criterion].count(Label.ACTIVE) for said in labels]
        for criterion in Criterion
    }
    assert counts[Criterion.ENTROPY] == [3, 2, 1, 0]
    for of_criterion in counts.values():  # some ask for more than l > beta s^2
        assert of_criterion == sorted(of_criterion, reverse=True)
        assert of_criterion[-1] == 0
