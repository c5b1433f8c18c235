from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polar.errors import InvalidInput
from polar.ranges import Search, find_range
from polar.ranges.votes import Side, trainings_of, votes_of
from polar.records.latents import Regime
from polar.records.ranges import Edge, Observation, Outcome, RangeReport, Snapshot

Told = Callable[..., list[Observation]]

SEARCH = Search(low=0.01, high=100, steps=2000)
THREE = SEARCH.model_copy(update={"seeds": (0, 1, 2)})
SIX = SEARCH.model_copy(update={"seeds": (0, 1, 2, 3, 4, 5)})

histories = st.lists(
    st.builds(
        Observation,
        weight=st.sampled_from([0.01, 0.3, 1.0, 7.0, 100.0]) | st.floats(0.01, 100),
        seed=st.integers(0, 2),
        steps=st.sampled_from([1000, 2000, 4000]),
        regime=st.sampled_from(Regime),
        settled=st.booleans() | st.none(),
        trajectory=st.lists(
            st.builds(
                Snapshot,
                steps=st.sampled_from([10, 100, 500]),
                regime=st.sampled_from(Regime),
            ),
            max_size=2,
        ).map(tuple),
    ),
    max_size=20,
)


def bracket(edge: Edge) -> tuple[float | None, float | None]:
    return edge.low, edge.high


def test_a_band_between_fine_brackets_is_found(told: Told) -> None:
    report = find_range(told("0.3 u, 0.32 i, 1 i, 7 i, 7.5 c"), SEARCH)

    assert report.outcome is Outcome.FOUND
    assert report.envelope is not None
    assert bracket(report.envelope.left) == (0.3, 0.32)
    assert bracket(report.envelope.right) == (7.0, 7.5)
    assert report.intervals == (report.envelope,)
    assert (report.weights, report.trainings) == (5, 5)
    assert (report.of, report.steps, report.seeds) == ("clean", 2000, (0,))


def test_the_headline_names_budget_and_seeds_and_a_single_seed_has_no_confidence(
    told: Told,
) -> None:
    report = find_range(told("0.3 u, 0.32 i, 1 i, 7 i, 7.5 c"), SEARCH)

    assert report.envelope is not None
    assert report.envelope.left.confidence is None
    assert report.headline == (
        "Clean for seed 0 alone: left edge 0.3..0.32 at 2,000 steps, not known to be settled; "
        "right edge 7..7.5 at 2,000 steps, not known to be settled."
    )
    assert report.remarks == (
        "Seed 0 was the only one: its intervals lie between the weights that were tested, and "
        "say nothing of other seeds.",
    )


SHARP_LEFT = ((0.28, "uuuuuu"), (0.3, "uuuuuu"), (0.32, "iiiiii"), (0.34, "iiiiii"))
SHARP_RIGHT = ((6.6, "iiiiii"), (7, "iiiiii"), (7.5, "cccccc"), (7.9, "cccccc"))


def test_several_seeds_have_intervals_of_90_percent(told: Told) -> None:
    parts = [f"{at} {v} {s}" for at, vs in SHARP_LEFT + SHARP_RIGHT for s, v in enumerate(vs)]

    report = find_range(told(", ".join(parts)), SIX)

    assert report.outcome is Outcome.FOUND
    assert report.envelope is not None
    assert report.envelope.left.confidence == 0.9
    assert report.headline.startswith("Clean over 6 seeds, with 90 % intervals: left edge 0.")
    assert report.seeds == (0, 1, 2, 3, 4, 5)
    assert report.remarks == ()


def test_three_seeds_that_agree_say_less_of_all_seeds_than_six(told: Told) -> None:
    factors = []
    for seeds in (3, 6):
        parts = [
            f"{at} {v} {s}"
            for at, vs in SHARP_LEFT + SHARP_RIGHT
            for s, v in enumerate(vs[:seeds])
        ]
        envelope = find_range(told(", ".join(parts)), SIX).envelope
        assert envelope is not None
        factors += [(envelope.left.high or 0) / (envelope.left.low or 1)]

    assert factors[1] < SEARCH.factor < factors[0] < 1.15


def test_a_band_that_one_of_two_seeds_has_seen_is_said_to_be(told: Told) -> None:
    report = find_range(told("0.35 u 0, 5.5 i 1, 30 c 0"), SIX)

    assert report.seeds == (0, 1)
    assert report.remarks[-1] == "So far seed 1 alone, of 2 seeds, has had clean trainings."
    assert "no weight for certain, because the edges overlap; left edge 0.3" in report.headline
    both = find_range(told("0.35 u 0, 5.5 i 1, 5.2 i 0, 5.8 i 0, 5.3 i 1, 30 c 0"), SIX)
    assert not any(remark.startswith("So far") for remark in both.remarks)
    assert "for certain" not in both.headline


def test_wide_brackets_are_coarse_and_said_to_be(told: Told) -> None:
    report = find_range(told("0.1 u, 1 i, 7 i, 7.5 c"), SEARCH)

    assert report.outcome is Outcome.COARSE
    assert report.remarks[0] == (
        "The left edge is known within a factor 10 (0.1..1); wanted: 1.1."
    )


def test_an_edge_that_seeds_blur_is_found_and_said_to_be(told: Told) -> None:
    left = ((0.2, "uuu"), (0.25, "uui"), (0.3, "uiu"), (0.35, "iui"), (0.4, "iiu"), (0.5, "iii"))
    parts = [f"{at} {v} {s}" for at, vs in left + SHARP_RIGHT for s, v in enumerate(vs)]

    report = find_range(told(", ".join(parts)), SIX)

    assert report.outcome is Outcome.FOUND
    assert "no finer because seeds differ around it" in report.remarks[0]
    assert report.disagreeing == (0.25, 0.3, 0.35, 0.4)
    assert "Seeds disagree on the verdict at 0.25, 0.3, 0.35, 0.4." in report.remarks


def test_a_band_at_the_end_of_the_search_is_open(told: Told) -> None:
    report = find_range(told("0.01 i, 1 i, 7 i, 7.5 c"), SEARCH)

    assert report.outcome is Outcome.OPEN
    assert report.envelope is not None
    assert bracket(report.envelope.left) == (None, 0.01)
    assert report.remarks[0] == "The left edge is open: it lies below 0.01."


@pytest.mark.parametrize("odd", [0, 1, 2])
def test_whether_a_band_is_open_does_not_depend_on_the_number_of_a_seed(
    told: Told, odd: int
) -> None:
    lowest = ", ".join(f"0.01 {'u' if seed == odd else 'i'} {seed}" for seed in range(3))
    history = told(
        f"{lowest}, 1 i 0, 1 i 1, 1 i 2, 7 i 0, 7 i 1, 7 i 2, 7.5 c 0, 7.5 c 1, 7.5 c 2"
    )

    assert find_range(history, SEARCH).outcome is Outcome.OPEN


def test_an_edge_beyond_which_nothing_was_tested_is_not_yet_open(told: Told) -> None:
    history = told("1 i, 7 i, 7.5 c")
    right = told("0.3 u, 0.32 i")

    assert find_range(history, SEARCH).outcome is Outcome.OPEN
    assert find_range(history + right, SEARCH).outcome is Outcome.FOUND


def test_without_a_clean_weight_there_is_no_band(told: Told) -> None:
    report = find_range(told("0.01 u, 1 u, 1.05 c, 100 c"), SEARCH)

    assert report.outcome is Outcome.NO_BAND
    assert (report.envelope, report.intervals, report.settled) == (None, (), None)
    assert report.headline == "Clean at none of 4 tested weights at 2,000 steps, for seed 0 alone."
    assert report.remarks == (
        "No band found: none of 4 tested weights, 0.01 to 100, is clean.",
        "A band could still lie here: 1..1.05.",
    )


def test_a_single_weight_that_is_not_clean_is_no_band(told: Told) -> None:
    report = find_range(told("3 u"), SEARCH)

    assert (
        report.headline == "The one tested weight is not clean at 2,000 steps, for seed 0 alone."
    )
    assert report.remarks[0] == "No band found: the one tested weight, 3, is not clean."


def test_a_study_that_is_too_short_to_learn_claims_no_band(told: Told) -> None:
    # Seen at 300 steps: by entropies alone weights from 3.6 to 7.7 were polarised, and R was 0.
    short = [
        seen.model_copy(update={"paper_regime": Regime.POLARISED})
        for seen in told("0.1 u, 3.6 n, 4.8 n, 7.7 n, 15 n", steps=300)
    ]

    for of in ("clean", "polarised"):
        search = Search(low=0.01, high=100, steps=300, of=of)
        report = find_range(short, search)

        assert report.outcome is Outcome.NO_BAND
        assert report.headline == (
            f"The one tested weight is not {of} at 300 steps, for seed 0 alone; "
            "4 trainings had not begun to learn."
        )
        assert (
            "4 trainings had not begun to learn after 300 steps and said nothing: more steps are "
            "needed there." in report.remarks
        )


def test_a_clean_training_that_others_contradict_is_told(told: Told) -> None:
    text = "1 u, 1.05 u, 1.05 u 1, 1.05 i 2, 1.1 u 1, 1.15 c, 1.15 c 1, 1.2 c 2"

    report = find_range(told(text), THREE)

    assert (report.outcome, report.overruled) == (Outcome.NO_BAND, 1)
    assert report.headline == (
        "No clean band at 2,000 steps: 1 of 8 trainings is clean, and others contradict it."
    )
    assert report.remarks[0] == (
        "No band found in 5 tested weights, 1 to 1.2: 1 of 8 trainings is clean, and others "
        "contradict it."
    )


def test_of_nothing_nothing_is_known() -> None:
    report = find_range([], SEARCH)

    assert report.outcome is Outcome.NO_BAND
    assert report.by_steps == ()
    assert report.remarks == ("No band found: nothing has been tested.",)


@pytest.mark.parametrize("regime", list(Regime))
@pytest.mark.parametrize("search", [SEARCH, THREE])
def test_one_training_is_never_enough(regime: Regime, search: Search) -> None:
    seen = Observation(weight=1.0, seed=0, steps=2000, regime=regime)

    report = find_range([seen], search)

    assert report.outcome is (Outcome.OPEN if regime is Regime.CLEAN else Outcome.NO_BAND)


def test_a_wide_gap_makes_two_intervals(told: Told) -> None:
    report = find_range(told("0.3 u, 0.32 i, 1 i, 1.05 f, 2 f, 2.1 i, 7 i, 7.5 c"), SEARCH)

    assert [(bracket(i.left), bracket(i.right)) for i in report.intervals] == [
        ((0.3, 0.32), (1.0, 1.05)),
        ((2.0, 2.1), (7.0, 7.5)),
    ]
    assert "The band is 2 intervals with gaps between them." in report.remarks


@pytest.mark.parametrize(
    ("at_the_edge", "inside", "settled"),
    [(True, False, True), (False, True, False), (None, True, None)],
)
def test_a_range_has_settled_when_the_trainings_beside_its_edges_have(
    told: Told, at_the_edge: bool | None, inside: bool, settled: bool | None
) -> None:
    history = [
        seen.model_copy(update={"settled": inside if seen.weight == 1 else at_the_edge})
        for seen in told("0.3 u, 0.32 i, 1 i, 7 i, 7.5 c")
    ]

    report = find_range(history, SEARCH)

    assert report.settled is settled
    assert any("have not settled" in remark for remark in report.remarks) is (settled is False)


def test_the_answer_is_for_the_largest_budget_at_which_both_edges_are_known(told: Told) -> None:
    search = SEARCH.model_copy(update={"max_steps": 8000})
    base = [
        seen.model_copy(update={"settled": seen.weight >= 1})
        for seen in told("0.05 u, 0.12 u, 0.13 i, 1 i, 7 i, 7.5 c")
    ]
    some = told("0.05 u, 0.12 i", steps=4000)
    more = told("0.055 i, 0.05 u, 0.12 i", steps=4000)

    assert find_range(base, search).steps == 2000
    assert find_range(base + some, search).steps == 2000  # still coarse at 4,000
    longer = find_range(base + more, search)
    assert longer.steps == 4000
    assert longer.headline.startswith(
        "Clean for seed 0 alone: left edge 0.05..0.055 at 4,000 steps, moving by 1/2.4 per "
        "doubling"
    )


def test_an_edge_that_has_moved_beyond_the_search_is_answered_there_for_one_seed(
    told: Told,
) -> None:
    # Seen with one seed: a headline of 1..1.05 at 500 steps, below 0.01 from 4,000 on.
    search = Search(low=0.01, high=100, steps=500, max_steps=4000)
    early = told("0.01 u, 1 u, 1.05 i, 7 i, 7.5 c", steps=500)
    late = told("0.01 i, 1 i, 1.05 i, 7 i, 7.5 c", steps=4000)

    report = find_range(early + late, search)

    assert report.steps == 4000
    assert report.outcome is Outcome.OPEN
    assert report.headline.startswith("Clean for seed 0 alone: left edge below 0.01 at 4,000 step")


def test_where_training_has_not_begun_at_the_first_budget_the_answer_is_for_a_larger_one(
    told: Told,
) -> None:
    search = SEARCH.model_copy(update={"max_steps": 8000})
    early = Snapshot(steps=2000, regime=Regime.UNTRAINED)
    history = [
        seen.model_copy(update={"trajectory": (early,)})
        for seen in told("0.1 u, 1 i, 7 i, 50 c", steps=4000)
    ]

    report = find_range(history, search)

    assert report.steps == 4000
    assert report.envelope is not None
    assert bracket(report.envelope.left) == (0.1, 1.0)


@pytest.mark.parametrize("weight", [0.0099, 101.0])
def test_weights_outside_the_search_are_refused(weight: float) -> None:
    outside = [Observation(weight=weight, seed=0, steps=1, regime=Regime.FORMING)]

    with pytest.raises(InvalidInput, match=rf"{weight}; allowed: 0.01 to 100"):
        find_range(outside, SEARCH)


BAND = "0.01 u, 0.1 u, 0.2 i, 1 i, 10 i, 20 c, 100 c"
LONGER = SEARCH.model_copy(update={"steps": 8000})


@pytest.mark.parametrize("more", ["", "20 c", "20 c, 0.1 u, 100 c", "1 i", "1 c, 20 c"])
def test_a_band_is_not_denied_while_hardly_any_training_has_made_the_new_steps(
    more: str, told: Told
) -> None:
    longer = told(more, steps=8000) if more else []

    report = find_range([*told(BAND), *longer], LONGER)

    assert report.outcome is Outcome.COARSE
    assert report.envelope is not None
    assert (report.steps, bracket(report.envelope.left)) == (2000, (0.1, 0.2))
    assert "left edge 0.1..0.2 at 2,000 steps" in report.headline
    waiting = f"{7 - len(longer)} of 7 trainings have no verdict there yet"
    assert f"The study trains on to 8,000 steps: {waiting}." in report.remarks


def test_a_band_that_is_gone_after_more_steps_is_denied(told: Told) -> None:
    gone = told("0.2 u, 1 u, 10 c", steps=8000)

    report = find_range([*told(BAND), *gone], LONGER)

    assert (report.outcome, report.steps) == (Outcome.NO_BAND, 8000)
    assert report.headline == (
        "Clean at none of 3 tested weights at 8,000 steps, for seed 0 alone; 4 trainings have "
        "made fewer steps."
    )
    assert report.remarks[0] == "No band found: none of 3 tested weights, 0.2 to 10, is clean."


def test_trainings_that_say_nothing_yet_are_not_counted_as_outside(told: Told) -> None:
    report = find_range(told("0.3 n, 1 n"), SEARCH)

    assert report.headline == (
        "No training has a verdict at 2,000 steps; 2 trainings had not begun to learn."
    )
    assert report.remarks[0] == "No band found: no training has a verdict at 2,000 steps."


def test_a_band_of_one_seed_is_not_what_a_search_over_three_has_to_find(told: Told) -> None:
    report = find_range(told("0.3 u, 0.32 i, 7 i, 7.5 c"), THREE)

    assert report.outcome is Outcome.COARSE


@settings(max_examples=50)
@given(histories, st.sampled_from([SEARCH, THREE]))
def test_any_history_has_a_report_that_json_can_tell(
    history: list[Observation], search: Search
) -> None:
    report = find_range(history, search)

    assert RangeReport.model_validate_json(report.model_dump_json()) == report
    edges = [edge for interval in report.intervals for edge in (interval.left, interval.right)]
    assert all(edge.confidence in (None, 0.9) for edge in edges)
    assert all((edge.low or 0) < (edge.high or 1e9) for edge in edges)
    assert find_range(history[::-1], search) == report
    votes = votes_of(trainings_of(history), report.steps, "clean")
    is_none_clean = not any(vote.side is Side.INSIDE for vote in votes)
    said = ("Clean at none of", "The one tested weight is not clean", "No training has a verdict")
    assert report.headline.startswith(said) is is_none_clean
