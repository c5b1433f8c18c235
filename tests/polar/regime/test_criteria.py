import math

import pytest

from polar.errors import InvalidInput
from polar.events import Label
from polar.regime.criteria import label_by_entropy


@pytest.mark.parametrize(
    ("entropy_nats", "tau", "label"),
    [
        (0.26, 0.25, Label.ACTIVE),
        (0.24, 0.25, Label.PASSIVE),
        (math.nextafter(0.25, 1), 0.25, Label.ACTIVE),
        (math.nextafter(0, 1), 0.0, Label.ACTIVE),
        (0.0, 0.0, Label.PASSIVE),
    ],
)
def test_a_latent_above_the_threshold_is_active(
    entropy_nats: float, tau: float, label: Label
) -> None:
    assert label_by_entropy(entropy_nats, tau) is label


def test_a_latent_on_the_threshold_is_passive() -> None:
    assert label_by_entropy(0.25, 0.25) is Label.PASSIVE


@pytest.mark.parametrize("entropy_nats", [math.nan, math.inf, -math.inf])
def test_an_entropy_that_is_not_finite_is_refused(entropy_nats: float) -> None:
    with pytest.raises(InvalidInput, match=f"{entropy_nats}; allowed: finite"):
        label_by_entropy(entropy_nats, 0.25)


@pytest.mark.parametrize("tau", [math.nan, math.inf, -0.1])
def test_a_threshold_out_of_range_is_refused(tau: float) -> None:
    with pytest.raises(InvalidInput, match=f"tau is {tau} nats; allowed: 0 and above"):
        label_by_entropy(1.0, tau)
