"""The measures of a trial, and their names in the spec of a study."""

from typing import get_args

import pytest

from polar.records.trials import Measured, Measures
from polar.spec.objectives import Measure

MEASURES = Measures(
    clean_polarisation=0.5,
    polarisation=0.75,
    explained=0.25,
    reconstruction=100.0,
    n_active=6,
    kl=8.0,
)


def test_every_measure_of_a_spec_has_a_field_and_every_field_is_a_measure() -> None:
    assert set(get_args(Measure)) == Measures.model_fields.keys()


@pytest.mark.parametrize("measure", get_args(Measure))
def test_a_measure_is_found_by_its_name(measure: Measure) -> None:
    assert MEASURES.value(measure) == MEASURES.model_dump()[measure]


def test_a_deterministic_autoencoder_has_no_kl() -> None:
    assert MEASURES.model_copy(update={"kl": None}).value("kl") is None


def test_a_stored_trial_of_an_autoencoder_may_leave_its_kl_out() -> None:
    means = MEASURES.model_dump(exclude={"kl"})
    of_seed = {"regimes": ["polarised"], "settled": [True], "observations": []}

    measured = Measured.model_validate({**means, **of_seed, "of_seeds": [means]})

    assert measured.value("kl") is None
    assert measured.of_seeds[0].value("n_active") == 6.0
