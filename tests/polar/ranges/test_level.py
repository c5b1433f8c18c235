"""For which budget an answer is given, and on whose steps it rests."""

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polar.ranges import Search, find_range, propose
from polar.ranges.level import Level
from polar.ranges.movement import with_movement
from polar.ranges.votes import trainings_of
from polar.records.latents import Regime
from polar.records.ranges import Observation, Outcome, Snapshot

Told = Callable[..., list[Observation]]

SEARCH = Search(low=0.01, high=100, steps=2000, max_steps=16000)
UNTRAINED_FAR = "40 n"
VERDICTS = {
    0.05: Regime.UNDER_REGULARISED,
    0.12: Regime.UNDER_REGULARISED,
    0.13: Regime.CLEAN,
    5.0: Regime.CLEAN,
    18.0: Regime.CLEAN,
    19.5: Regime.COLLAPSED,
}
EDGES = "0.05 u, 0.12 u, 0.13 i, 1.2 i, 5 i, 18 i, 19.5 c"


def settled(history: list[Observation], evaluated: int = 1000) -> list[Observation]:
    """The same trainings, which have settled and had the same verdict at an evaluation before."""
    return [
        seen.model_copy(
            update={
                "settled": seen.regime is not Regime.UNTRAINED,
                "trajectory": (Snapshot(steps=evaluated, regime=seen.regime),),
            }
        )
        for seen in history
    ]


@pytest.mark.parametrize("longer", ["4.24 i", "50 c", "40 n"])
@pytest.mark.parametrize("steps", [4000, 16000])
def test_a_long_training_far_from_the_edges_moves_no_headline(
    told: Told, longer: str, steps: int
) -> None:
    history = settled(told(f"{EDGES}, {UNTRAINED_FAR}"))
    before = find_range(history, SEARCH)

    after = find_range(history + told(longer, steps=steps), SEARCH)

    assert (before.steps, after.steps) == (2000, 2000)
    assert after.headline == before.headline
    assert "left edge 0.12..0.13 at 2,000 steps, settled" in after.headline
    assert any(remark.startswith("1 training had not begun") for remark in after.remarks)
    assert {at.steps: at.trainings for at in after.by_steps}[steps] == 1


@settings(max_examples=50)
@given(
    st.sampled_from(sorted(VERDICTS)) | st.floats(0.011, 99),
    st.sampled_from(Regime),
    st.sampled_from([2001, 4000, 16000]),
)
def test_no_single_training_moves_the_budget_of_the_answer(
    weight: float, regime: Regime, steps: int
) -> None:
    history = settled(
        [
            Observation(weight=at, seed=0, steps=2000, regime=verdict)
            for at, verdict in VERDICTS.items()
        ]
    )
    longer = Observation(weight=weight, seed=0, steps=steps, regime=regime)

    assert find_range([*history, longer], SEARCH).steps == 2000


def test_seeds_that_settled_before_have_no_movement(told: Told) -> None:
    search = SEARCH.model_copy(update={"seeds": tuple(range(6))})
    weights = ["0.11 u", "0.12 u", "0.13 i", "0.14 i", "17 i", "18 i", "19.5 c", "21 c"]
    parts = [f"{weight} {seed}" for weight in weights for seed in range(6)]
    trainings = trainings_of(settled(told(", ".join(parts))))
    levels = [Level(trainings, (), search, budget) for budget in (2000, 4000)]

    for level, has_movement in zip(levels, (True, False), strict=True):
        assert level.is_done
        assert level.is_made is has_movement
        assert level.envelope is not None
        moved = with_movement(level.envelope, level.belief, level.budget, trainings, search)
        movements = (moved.left.movement, moved.right.movement)
        assert [movement is not None for movement in movements] == [has_movement] * 2
    assert not levels[1].may_change()


def test_gaps_are_searched_at_the_budget_of_the_answer(told: Told) -> None:
    history = settled(told(f"{EDGES}, {UNTRAINED_FAR}"))

    action = propose(history, (), SEARCH)

    assert action.steps == find_range(history, SEARCH).steps == 2000


def test_what_settled_before_is_not_compared_with_itself(told: Told) -> None:
    history = settled(told(EDGES))
    # The left edge has been trained on, the right edge has not.
    longer = told("0.12 u, 0.13 i", steps=4000)

    report = find_range(history + longer, SEARCH)

    assert report.steps == 4000
    assert report.envelope is not None
    assert report.envelope.left.movement is not None
    assert report.envelope.left.movement.words() == "settled"
    assert report.envelope.right.movement is None
    assert report.headline.endswith("right edge 18..19.5 at 4,000 steps, not known to be settled.")
    assert (
        "2 of 2 trainings next to the right edge settled before 4,000 steps: their verdicts are "
        "taken to hold." in report.remarks
    )
    assert not any("next to the left edge settled" in remark for remark in report.remarks)
    assert {at.steps: at.trainings for at in report.by_steps} == {1000: 7, 2000: 7, 4000: 2}


def test_one_side_of_an_edge_is_not_enough_to_claim_a_budget(told: Told) -> None:
    history = settled(told(EDGES))

    report = find_range(history + told("0.13 i", steps=16000), SEARCH)

    assert report.steps == 2000


def test_trainings_that_settle_before_the_first_budget_answer_for_it(told: Told) -> None:
    report = find_range(settled(told(EDGES, steps=1600), 800), SEARCH)

    assert (report.outcome, report.steps) == (Outcome.FOUND, 2000)
    assert {at.steps: at.trainings for at in report.by_steps} == {800: 7, 1600: 7}
    assert sum("settled before 2,000 steps" in remark for remark in report.remarks) == 2


def test_a_coarse_answer_is_for_the_budget_that_all_trainings_next_to_its_edges_made(
    told: Told,
) -> None:
    early = (Snapshot(steps=2000, regime=Regime.UNTRAINED),)
    coarse = "0.05 u, 0.12 u, 0.13 i, 1.2 i, 5 i, 18 i, 40 c"
    history = [
        seen.model_copy(
            update={
                "trajectory": early
                if seen.weight in (0.05, 5, 40)
                else (Snapshot(steps=2000, regime=seen.regime),)
            }
        )
        for seen in told(coarse, steps=16000)
    ]

    report = find_range(history, SEARCH)

    assert (report.outcome, report.steps) == (Outcome.COARSE, 16000)
    assert "right edge 18..40 at 16,000 steps" in report.headline
    assert not any("had not begun" in remark for remark in report.remarks)
    assert all(training.steps == 16000 for training in trainings_of(history))


def test_a_coarse_answer_stays_where_a_training_next_to_an_edge_has_not_gone_on(
    told: Told,
) -> None:
    history = told("0.12 u, 0.13 i, 18 i, 40 c")
    longer = told("0.12 u, 0.13 i, 18 i", steps=16000)

    assert find_range(history + longer, SEARCH).steps == 2000


def test_an_edge_that_stood_still_beside_trainings_that_have_not_settled_is_explained(
    told: Told,
) -> None:
    history = [seen.model_copy(update={"settled": False}) for seen in settled(told(EDGES))]

    report = find_range(history, SEARCH)

    assert "left edge 0.12..0.13 at 2,000 steps, settled" in report.headline
    assert report.remarks[-2:] == (
        "Trainings next to an edge have not settled: more steps may move it.",
        "An edge is called settled where it stood still while the steps doubled, even if "
        "trainings next to it have not settled.",
    )


#: What the sampler tried where all seeds have the same left edge, at 0.3, and right edge, at 18.5.
SHARP = (
    "0.038 u 2, 0.12 u 4, 0.21 u 6, 0.265 u 3, 0.265 u 9, 0.278 u 8, 0.291 u 7, 0.305 i 11, "
    "0.305 i 5, 0.32 i 1, 0.352 i 0, 0.369 i 10, 9.31 i 1, 14.3 i 7, 16.5 i 11, 17.3 i 6, "
    "18.1 i 9, 18.1 i 10, 19 c 8, 19.9 c 4, 19.9 c 0, 21.9 c 5, 23 c 2, 54 c 3"
)
#: The same, where verdicts cross at the left edge.
BLURRED = "0.2 u, 0.25 u 1, 0.4 u 2, 0.28 i 3, 0.45 i 4, 0.5 i 5, " + SHARP[SHARP.index("9.31") :]


@pytest.mark.parametrize(
    ("text", "why"),
    [(SHARP, "; wanted: 1.1."), (BLURRED, ", no finer because seeds differ around it.")],
)
def test_an_edge_is_coarse_but_known_only_where_verdicts_of_seeds_cross(
    told: Told, text: str, why: str
) -> None:
    search = Search(low=0.01, high=100, steps=2000, seeds=tuple(range(12)))

    report = find_range(told(text), search)

    assert report.remarks[0].startswith("The left edge is known within a factor")
    assert report.remarks[0].endswith(why)
    assert report.remarks[1].endswith("; wanted: 1.1.")
    assert report.outcome is Outcome.COARSE
