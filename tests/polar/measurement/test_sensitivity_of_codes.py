import numpy as np
import pytest

from polar.measurement import economy
from polar.measurement.measure import measure
from polar.measurement.tables import measurement_tables
from polar.records.latents import Regime
from polar.records.sensitivity import Variant, flips

MEAN = np.random.default_rng(0).standard_normal((60, 4)) * np.array([1.0, 1.0, 0.01, 0.01])


def test_the_measurement_of_codes_has_the_sensitivity_of_label_and_gap() -> None:
    measured = measure(MEAN)

    assert measured.sensitivity is not None
    assert [row.variant for row in measured.sensitivity] == list(Variant)
    assert {row.regime for row in measured.sensitivity} == {Regime.POLARISED}
    assert flips(measured.sensitivity) == ()
    assert "The verdict stands under half the kernel width" in measured.explanation
    table = measurement_tables(measured)["sensitivity"]
    assert table["n_active"].tolist() == [2] * len(Variant)


def test_the_sensitivity_of_many_codes_is_left_out_with_a_remark(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(economy, "MOST_SENSITIVITY_NUMBERS", 239)

    measured = measure(MEAN)

    assert measured.sensitivity is None
    assert "sensitivity" not in measurement_tables(measured)
    (remark,) = (text for text in measured.remarks if "sensitivity" in text)
    assert remark in measured.explanation
    assert "stands under" not in measured.explanation
