import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polar.errors import InvalidInput
from polar.regime.codes import codes
from polar.regime.divergence import divergence

unhurried = settings(deadline=None)  # other processes may have the machine


def one(value: float) -> np.ndarray:
    return np.full((1, 1), value)


@pytest.mark.parametrize(
    ("mean", "variance", "nats"),
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
def test_the_divergence_from_the_standard_prior_is_the_closed_form(
    mean: float, variance: float, nats: float
) -> None:
    found = divergence(codes(one(mean), one(variance)))

    assert found.total[0, 0] == pytest.approx(nats, abs=1e-10)  # ten decimals are given
    assert found.mean_part[0, 0] == mean**2 / 2


@pytest.mark.parametrize(
    ("posterior", "prior", "nats"),
    [((0, 1), (0, 2), 0.0965735903), ((1, 0.5), (0, 2), 0.5681471806), ((3, 2), (3, 2), 0.0)],
)
def test_the_divergence_from_a_conditional_prior_is_the_closed_form(
    posterior: tuple[float, float], prior: tuple[float, float], nats: float
) -> None:
    found = divergence(codes(*map(one, posterior), *map(one, prior)))

    assert found.total[0, 0] == pytest.approx(nats, abs=1e-10)  # ten decimals are given


@unhurried
@given(mean=st.floats(-1e3, 1e3), variance=st.floats(1e-300, 1e3))
def test_neither_part_is_negative_or_infinite(mean: float, variance: float) -> None:
    found = divergence(codes(one(mean), one(variance)))

    assert 0 <= found.mean_part[0, 0] < np.inf
    assert 0 <= found.variance_part[0, 0] < np.inf


def test_codes_without_a_variance_have_no_divergence() -> None:
    with pytest.raises(InvalidInput, match="without a variance; allowed: variational"):
        divergence(codes(one(0)))
