import math
from collections.abc import Sequence
from itertools import permutations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kendalltau, spearmanr

from polar.errors import InvalidInput
from polar.regime.dynamics import (
    dynamics_table,
    has_levelled,
    latent_curves,
    learning_order,
)
from polar.regime.table import table_to_parquet

STEPS = (1, 10, 100, 1000)
unhurried = settings(deadline=None, max_examples=25)  # each draws 9,999 orders


def history(*curves: Sequence[float], steps: Sequence[int] = STEPS) -> pd.DataFrame:
    """The diagnostics of a run, one curve a latent."""
    return pd.DataFrame(
        {"step": step, "latent": latent, "judged_entropy_nats": value}
        for row, step in enumerate(steps)
        for latent, value in enumerate(curve[row] for curve in curves)
    )


def activations(*steps: int | None) -> pd.DataFrame:
    return pd.DataFrame({"activation_step": pd.array(list(steps), dtype="Int64")})


def test_the_table_tells_what_became_of_each_latent() -> None:
    table = history([0.1, 0.5, 2.0, 1.9], [0.1, 0.9, 0.3, 0.01], [0.2, 0.1, 0.0, 0.0])

    dynamics = dynamics_table(table, tau_nats=0.25)

    expected = pd.DataFrame(
        {
            "latent": [0, 1, 2],
            "activation_step": pd.array([10, None, None], dtype="Int64"),
            "peak_nats": [2.0, 0.9, 0.2],
            "peak_step": [100, 10, 1],
            "final_nats": [1.9, 0.01, 0.0],
            "attempted": [False, True, False],
            "levelled": [True, False, False],
        }
    )
    pd.testing.assert_frame_equal(dynamics, expected)


@pytest.mark.parametrize(
    ("curve", "attempted"),
    [
        ([0.0, 0.3, 0.2, 0.1], True),
        ([0.0, 0.1, 0.3, 0.0], True),
        ([0.3, 0.2, 0.1, 0.0], False),  # it falls from the start
        ([0.3, 0.3, 0.1, 0.0], False),  # first reached at the start
        ([0.0, 0.1, 0.2, 0.3], False),  # it is there at the end
        ([0.0, 0.25, 0.1, 0.0], False),  # at tau is not above it
        ([0.0, 0.3, 0.2, 0.125], False),  # at tau / 2 is not below it
        ([0.0, 0.0, 0.0, 0.0], False),
    ],
)
def test_an_attempted_active_rises_above_tau_and_falls_below_its_half(
    curve: list[float], attempted: bool
) -> None:
    assert list(dynamics_table(history(curve), tau_nats=0.25)["attempted"]) == [attempted]


@pytest.mark.parametrize(
    ("curve", "step"),
    [
        ([0.3, 0.3, 0.3, 0.3], 1),
        ([0.3, 0.1, 0.3, 0.3], 100),  # not when it was active for a while
        ([0.0, 0.1, 0.2, 0.3], 1000),
        ([0.0, 0.25, 0.3, 0.3], 100),  # at tau is not above it
        ([0.3, 0.3, 0.3, 0.25], None),
        ([0.0, 0.0, 0.0, 0.0], None),
    ],
)
def test_a_latent_is_active_from_when_it_stays_above_tau(
    curve: list[float], step: int | None
) -> None:
    [found] = dynamics_table(history(curve), tau_nats=0.25)["activation_step"].tolist()

    assert found is pd.NA if step is None else found == step


def test_one_evaluation_has_no_dynamics() -> None:
    dynamics = dynamics_table(history([0.5], [0.1], steps=[7]), tau_nats=0.25)

    assert dynamics["activation_step"].tolist() == [7, pd.NA]
    assert list(dynamics["peak_step"]) == [7, 7]
    assert not dynamics["attempted"].any()


def test_the_table_survives_parquet(tmp_path: Path) -> None:
    dynamics = dynamics_table(history([0.1, 0.5, 2.0, 1.9], [0.0] * 4), tau_nats=0.25)

    table_to_parquet(dynamics, tmp_path / "dynamics.parquet")

    back = pd.read_parquet(tmp_path / "dynamics.parquet")
    pd.testing.assert_frame_equal(back, dynamics, check_exact=True)


@given(
    st.lists(st.lists(st.floats(0, 10), min_size=4, max_size=4), min_size=1, max_size=6),
    st.floats(0, 10),
)
def test_attempted_and_activated_exclude_each_other(curves: list[list[float]], tau: float) -> None:
    dynamics = dynamics_table(history(*curves), tau_nats=tau)

    activated = dynamics["activation_step"].notna()
    assert not (activated & dynamics["attempted"]).any()
    assert (activated == (dynamics["final_nats"] > tau)).all()
    assert (dynamics["peak_nats"] >= dynamics["final_nats"]).all()


def test_the_curves_are_ordered_by_step_and_latent() -> None:
    table = history([1, 2, 3, 4], [5, 6, 7, 8]).sample(frac=1, random_state=0)

    curves = latent_curves(table)

    assert curves.tolist() == [[1, 5], [2, 6], [3, 7], [4, 8]]


def test_the_curves_are_of_any_column() -> None:
    table = history([1, 2, 3, 4]).assign(kl_nats=[0.5, 0.25, 0.125, 0.0])

    assert latent_curves(table, "kl_nats").ravel().tolist() == [0.5, 0.25, 0.125, 0.0]


@pytest.mark.parametrize("value", [math.nan, math.inf, None])
def test_a_value_that_is_missing_or_not_finite_is_refused(value: float | None) -> None:
    table = history([1, 2, 3, 4], [1, 2, 3, 4]).astype(object)
    table.loc[3, "judged_entropy_nats"] = value

    with pytest.raises(InvalidInput, match="latent 1 at step 10 is missing or not finite"):
        dynamics_table(table, tau_nats=0.25)


def test_a_latent_that_is_missing_at_a_step_is_refused() -> None:
    table = history([1, 2, 3, 4], [1, 2, 3, 4]).drop(index=5)

    with pytest.raises(InvalidInput, match="latent 1 at step 100 is missing"):
        latent_curves(table)


def test_the_tables_of_two_runs_are_refused() -> None:
    table = pd.concat([history([1, 2, 3, 4]), history([1, 2, 3, 4])])

    with pytest.raises(InvalidInput, match="latent 0 has two rows at step 1; allowed: the table"):
        latent_curves(table)


def test_a_table_without_rows_or_columns_is_refused() -> None:
    with pytest.raises(InvalidInput, match="a table of 0 rows"):
        latent_curves(history([1, 2, 3, 4]).head(0))
    with pytest.raises(InvalidInput, match="allowed: at least 1 row, with step, latent and kl"):
        latent_curves(history([1, 2, 3, 4]), "kl_nats")


@pytest.mark.parametrize("tau", [-0.1, math.nan, math.inf])
def test_a_tau_that_is_no_threshold_is_refused(tau: float) -> None:
    with pytest.raises(InvalidInput, match=r"tau is .* nats; allowed: 0 and above, finite"):
        dynamics_table(history([1, 2, 3, 4]), tau_nats=tau)


@pytest.mark.parametrize(
    ("curve", "levelled"),
    [
        ([0, 1, 2, 2, 2], True),
        ([0, 1, 2, 2, 1.9], True),  # the last two: mean 1.95 of 2
        ([0, 1, 2, 2, 1.79], False),  # mean 1.895
        ([0, 2, 1, 1, 1], False),
        ([0, 0, 0, 0, 0], True),
    ],
)
def test_a_curve_has_levelled_when_the_last_tenth_of_the_steps_keeps_the_maximum(
    curve: list[float], levelled: bool
) -> None:
    steps = np.array([1.0, 10.0, 80.0, 90.0, 100.0])

    assert has_levelled(steps, np.array(curve, dtype=np.float64)) is levelled


def test_log_spaced_steps_leave_the_last_evaluation_to_level() -> None:
    steps = np.array([1.0, 10.0, 100.0])

    assert has_levelled(steps, np.array([0.0, 1.0, 0.95]))
    assert not has_levelled(steps, np.array([0.0, 1.0, 0.94]))


def test_the_most_used_first_is_an_order_of_one() -> None:
    order = learning_order(activations(10, 30, 100, 300), np.array([9.0, 5.0, 2.0, 1.0]))

    # of the 24 orders, this and its reverse
    assert order.latents == 4
    for found in (order.kendall, order.spearman):
        assert found is not None
        assert found.statistic == pytest.approx(1, abs=1e-12)
        assert found.p_value == pytest.approx(2 / 24)


def test_the_most_used_last_is_an_order_of_minus_one() -> None:
    order = learning_order(activations(300, 100, 30, 10), np.array([9.0, 5.0, 2.0, 1.0]))

    assert order.kendall is not None
    assert order.spearman is not None
    assert order.kendall.statistic == pytest.approx(-1, abs=1e-12)
    assert order.spearman.statistic == pytest.approx(-1, abs=1e-12)


def test_only_latents_that_ended_active_are_compared() -> None:
    steps = [10, None, 30, 100, None]

    order = learning_order(activations(*steps), np.array([9.0, 99.0, 5.0, 2.0, -1.0]))

    assert order.latents == 3
    assert order.kendall is not None
    assert order.kendall.statistic == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize(
    ("steps", "usage"),
    [
        ([None, None], [1.0, 2.0]),
        ([10, None], [1.0, 2.0]),
        ([10, 10, 10], [1.0, 2.0, 3.0]),
        ([10, 20, 30], [1.0, 1.0, 1.0]),
    ],
)
def test_an_order_that_is_undefined_is_none(steps: list[int | None], usage: list[float]) -> None:
    order = learning_order(activations(*steps), np.array(usage))

    assert (order.kendall, order.spearman) == (None, None)


@unhurried
@given(st.lists(st.tuples(st.integers(1, 5), st.integers(0, 4)), min_size=2, max_size=9))
def test_the_statistics_are_those_of_scipy(pairs: list[tuple[int, int]]) -> None:
    steps, usage = [step for step, _ in pairs], np.array([use for _, use in pairs], dtype=float)

    order = learning_order(activations(*steps), usage)

    if len(set(steps)) == 1 or len(set(usage)) == 1:
        assert order.kendall is order.spearman is None
    else:
        assert order.kendall is not None
        assert order.spearman is not None
        earliness = [-step for step in steps]
        # rounding of sums of a few products
        assert order.kendall.statistic == pytest.approx(
            kendalltau(earliness, usage).statistic, abs=1e-12
        )
        assert order.spearman.statistic == pytest.approx(
            spearmanr(earliness, usage).statistic, abs=1e-12
        )
        assert 0 < order.kendall.p_value <= 1
        assert 0 < order.spearman.p_value <= 1


def test_the_p_value_counts_the_orders_at_least_as_extreme() -> None:
    steps, usage = [10, 20, 30, 40, 50], np.array([5.0, 3.0, 4.0, 1.0, 2.0])

    order = learning_order(activations(*steps), usage)

    observed = kendalltau([-step for step in steps], usage).statistic
    orders = [kendalltau(order, usage).statistic for order in permutations(range(5))]
    extreme = sum(statistic >= observed - 1e-12 for statistic in orders)
    assert order.kendall is not None
    assert order.kendall.p_value == pytest.approx(2 * extreme / 120)


def test_a_long_order_without_relation_is_no_evidence() -> None:
    rng = np.random.default_rng(0)

    order = learning_order(activations(*rng.permutation(30).tolist()), rng.normal(size=30))

    assert order.kendall is not None
    assert order.kendall.p_value > 0.05


@pytest.mark.parametrize("usage", [[1.0], [1.0, math.nan], [1.0, 2.0, 3.0]])
def test_a_usage_of_other_latents_is_refused(usage: list[float]) -> None:
    with pytest.raises(InvalidInput, match="allowed: one finite number for each of 2 latents"):
        learning_order(activations(1, 2), np.array(usage))
