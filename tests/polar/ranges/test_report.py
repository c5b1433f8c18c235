from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polar.ranges import Search, find_range
from polar.records.latents import Regime
from polar.records.ranges import Edge, Observation, Outcome, RangeReport

Told = Callable[[str], list[Observation]]

SEARCH = Search(low=0.01, high=100)
NOISY = Search(low=0.01, high=100, flip_rate=0.05)

histories = st.lists(
    st.builds(
        Observation,
        weight=st.sampled_from([0.01, 0.3, 1.0, 7.0, 100.0]) | st.floats(0.01, 100),
        regime=st.sampled_from(Regime),
        converged=st.booleans() | st.none(),
    ),
    max_size=20,
)


def bracket(edge: Edge) -> tuple[float | None, float | None]:
    return edge.low, edge.high


def test_a_band_between_fine_brackets_is_found(told: Told) -> None:
    report = find_range(told("0.3 u, 0.32 p, 1 p, 7 p, 7.5 c"), SEARCH)

    assert report.outcome is Outcome.FOUND
    assert report.envelope is not None
    assert bracket(report.envelope.left) == (0.3, 0.32)
    assert bracket(report.envelope.right) == (7.0, 7.5)
    assert report.intervals == (report.envelope,)
    assert report.envelope.left.confidence > 0.95
    assert (report.weights, report.trainings, report.remarks) == (5, 5, ())


def test_wide_brackets_are_coarse_and_said_to_be(told: Told) -> None:
    report = find_range(told("0.1 u, 1 p, 7 p, 7.5 c"), SEARCH)

    assert report.outcome is Outcome.COARSE
    assert report.remarks == ("The left edge is known within a factor 10 (0.1..1); wanted: 1.1.",)


def test_a_band_at_the_end_of_the_search_is_open(told: Told) -> None:
    report = find_range(told("0.01 p, 1 p, 7 p, 7.5 c"), SEARCH)

    assert report.outcome is Outcome.OPEN
    assert report.envelope is not None
    assert bracket(report.envelope.left) == (None, 0.01)
    assert report.remarks == ("The left edge is open: it lies below 0.01.",)


def test_an_edge_beyond_which_nothing_was_tested_is_not_yet_open(told: Told) -> None:
    report = find_range(told("1 p, 7 p, 7.5 c"), SEARCH)

    assert report.outcome is Outcome.COARSE
    assert report.envelope is not None
    assert bracket(report.envelope.left) == (None, 1.0)


def test_without_a_polarised_weight_there_is_no_band(told: Told) -> None:
    report = find_range(told("0.01 u, 1 u, 1.05 c, 100 c"), SEARCH)

    assert report.outcome is Outcome.NO_BAND
    assert (report.envelope, report.intervals, report.converged) == (None, (), None)
    assert report.remarks == (
        "No band found: none of 4 tested weights, 0.01 to 100, is polarised. "
        "A band could still lie here: 1..1.05.",
    )


def test_a_polarised_training_that_is_taken_for_a_flip_is_told(told: Told) -> None:
    report = find_range(told("0.01 u, 1 u, 1.05 u, 1.05 u, 1.05 u, 1.05 p, 1.2 c, 9 c"), NOISY)

    assert report.outcome is Outcome.NO_BAND
    assert "Trainings whose polarised verdict is taken for a flip: 1." in report.remarks


def test_of_nothing_nothing_is_known() -> None:
    report = find_range([], SEARCH)

    assert report.outcome is Outcome.NO_BAND
    assert report.remarks == ("No band found: nothing has been tested.",)


@pytest.mark.parametrize("regime", list(Regime))
def test_one_trial_is_never_enough(regime: Regime) -> None:
    report = find_range([Observation(weight=1.0, regime=regime)], SEARCH)

    expected = Outcome.COARSE if regime is Regime.POLARISED else Outcome.NO_BAND
    assert report.outcome is expected


@pytest.mark.parametrize("between", ["f", "u", "c"])
def test_a_wide_gap_makes_two_intervals(told: Told, between: str) -> None:
    history = told(f"0.3 u, 0.32 p, 1 p, 1.05 {between}, 2 {between}, 2.1 p, 7 p, 7.5 c")

    report = find_range(history, SEARCH)

    assert [(bracket(i.left), bracket(i.right)) for i in report.intervals] == [
        ((0.3, 0.32), (1.0, 1.05)),
        ((2.0, 2.1), (7.0, 7.5)),
    ]
    assert report.envelope is not None
    assert bracket(report.envelope.right) == (7.0, 7.5)
    assert "The band is 2 intervals with gaps between them." in report.remarks


def test_a_gap_below_a_factor_of_five_quarters_is_closed(told: Told) -> None:
    # from sqrt(1 * 1.02) to sqrt(1.22 * 1.24) is 1.218, to sqrt(1.28 * 1.3) 1.277
    narrow = find_range(told("0.3 u, 0.32 p, 1 p, 1.02 f, 1.22 f, 1.24 p, 7 p, 7.5 c"), SEARCH)
    wide = find_range(told("0.3 u, 0.32 p, 1 p, 1.02 f, 1.28 f, 1.3 p, 7 p, 7.5 c"), SEARCH)

    assert (len(narrow.intervals), len(wide.intervals)) == (1, 2)


def test_with_flips_one_dissenting_seed_makes_no_gap_and_three_do(told: Told) -> None:
    band = "0.3 u, 0.3 u, 0.3 u, 0.32 p, 0.32 p, 0.32 p, 1 p, 1.6 p, 7 p, 7 p, 7.5 c, 7.5 c"

    one = find_range(told(f"{band}, 1.3 f"), NOISY)
    three = find_range(told(f"{band}, 1.3 f, 1.3 f, 1.3 f"), NOISY)

    assert (len(one.intervals), len(three.intervals)) == (1, 2)


def test_with_flips_an_edge_needs_more_than_one_seed(told: Told) -> None:
    once = "0.3 u, 0.32 p, 1 p, 2 p, 7 p, 7.5 c"
    thrice = ", ".join([once] * 3)

    assert find_range(told(once), NOISY).outcome is Outcome.COARSE
    assert find_range(told(thrice), NOISY).outcome is Outcome.FOUND


def test_weights_at_which_seeds_disagree_are_named(told: Told) -> None:
    report = find_range(told("0.3 u, 0.32 p, 0.32 f, 1 p, 7 p, 7.5 c"), NOISY)

    assert report.disagreeing == (0.32,)
    assert "Seeds disagree on the verdict at 0.32." in report.remarks


@pytest.mark.parametrize(
    ("at_the_edge", "inside", "converged"),
    [
        (True, False, True),
        (False, True, False),
        (None, True, None),
    ],
)
def test_a_range_has_converged_when_the_trainings_beside_its_edges_have(
    at_the_edge: bool | None, inside: bool, converged: bool | None
) -> None:
    verdicts = {0.3: Regime.UNDER_REGULARISED, 0.32: Regime.POLARISED, 7.5: Regime.COLLAPSED}
    history = [
        Observation(weight=weight, regime=regime, converged=at_the_edge)
        for weight, regime in (verdicts | {7.0: Regime.POLARISED}).items()
    ]
    history.append(Observation(weight=1.0, regime=Regime.POLARISED, converged=inside))

    report = find_range(history, SEARCH)

    assert report.converged is converged
    assert any("have not converged" in remark for remark in report.remarks) is (converged is False)


@given(histories, st.sampled_from([SEARCH, NOISY]))
def test_any_history_has_a_report_that_json_can_tell(
    history: list[Observation], search: Search
) -> None:
    report = find_range(history, search)

    assert RangeReport.model_validate_json(report.model_dump_json()) == report
    edges = [edge for interval in report.intervals for edge in (interval.left, interval.right)]
    assert all(0 <= edge.confidence <= 1 for edge in edges)
    assert all((edge.low or 0) < (edge.high or 1e9) for edge in edges)
