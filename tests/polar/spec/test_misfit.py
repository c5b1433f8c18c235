"""Faults of parts that are each right and do not fit together."""

import pytest
from pydantic import ValidationError

from polar.spec import DigitsSpec, ExperimentSpec
from polar.spec.misfit import misfit, raise_misfits


def test_all_misfits_are_raised_at_once_each_at_its_own_place() -> None:
    misfits = [
        misfit("too_large", "this is too large", "/model/beta", 3, "a number below 2"),
        misfit("unknown", "there is no such field", "/modle", "x", "/model", suggestion="/model"),
    ]

    with pytest.raises(ValidationError) as caught:
        raise_misfits(DigitsSpec(), misfits)

    first, second = ExperimentSpec.faults_of(caught.value)
    assert (first.pointer, first.value, first.allowed) == ("/model/beta", "3", "a number below 2")
    assert (first.message, first.suggestion) == ("this is too large", None)
    assert (second.pointer, second.suggestion) == ("/modle", "/model")


def test_nothing_is_raised_where_all_fits() -> None:
    spec = DigitsSpec()

    raise_misfits(spec, [])

    assert spec == DigitsSpec()
