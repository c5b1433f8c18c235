import pytest
from hypothesis import given
from hypothesis import strategies as st

from polar.spec.objectives import Bound


def test_a_bound_says_how_far_each_limit_is_missed() -> None:
    bound = Bound(measure="reconstruction", at_least=-0.5, at_most=90.0)

    assert bound.violations(92.0) == {
        "reconstruction at least -0.5": -92.5,
        "reconstruction at most 90": 2.0,
    }


@given(
    mean=st.floats(-1e38, 1e38),
    low=st.floats(-1e38, 1e38) | st.none(),
    high=st.floats(-1e38, 1e38) | st.none(),
)
def test_a_bound_is_kept_by_the_values_from_its_least_to_its_greatest(
    mean: float, low: float | None, high: float | None
) -> None:
    bound = Bound.model_construct(measure="kl", at_least=low, at_most=high)

    expected = (low is None or low <= mean) and (high is None or mean <= high)
    assert bound.is_kept(mean) is expected


@pytest.mark.parametrize("limit", ["at_least", "at_most"])
def test_a_limit_itself_keeps_the_bound(limit: str) -> None:
    assert Bound.model_validate({"measure": "kl", limit: 0.1}).is_kept(0.1)
