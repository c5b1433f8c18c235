import pytest

from polar.ranges.votes import Side, Vote, trainings_of, votes_of
from polar.records.latents import Flaw, Regime
from polar.records.ranges import Observation, Of, Snapshot


def seen(regime: Regime, **about: object) -> Observation:
    defaults = {"weight": 1.0, "seed": 0, "steps": 2000}
    return Observation.model_validate({**defaults, **about, "regime": regime})


def course(*verdicts: tuple[int, Regime]) -> tuple[Snapshot, ...]:
    return tuple(Snapshot(steps=steps, regime=regime) for steps, regime in verdicts)


def side_at(budget: int, *history: Observation, of: Of = "clean") -> Side | None:
    votes = votes_of(trainings_of(history), budget, of)
    return votes[0].side if votes else None


@pytest.mark.parametrize(
    ("regime", "paper", "clean", "polarised"),
    [
        (Regime.UNTRAINED, Regime.POLARISED, None, None),
        (Regime.COLLAPSED, Regime.POLARISED, Side.RIGHT, Side.RIGHT),
        (Regime.UNDER_REGULARISED, None, Side.LEFT, Side.LEFT),
        (Regime.CLEAN, Regime.POLARISED, Side.INSIDE, Side.INSIDE),
        (Regime.CLEAN, Regime.FORMING, Side.INSIDE, Side.OUTSIDE),
        (Regime.FORMING, Regime.POLARISED, Side.OUTSIDE, Side.INSIDE),
        (Regime.FORMING, Regime.FORMING, Side.OUTSIDE, Side.OUTSIDE),
        (Regime.FORMING, None, Side.OUTSIDE, Side.OUTSIDE),
        (Regime.POLARISED, None, Side.OUTSIDE, Side.INSIDE),
    ],
)
def test_a_verdict_is_a_side_of_the_band(
    regime: Regime, paper: Regime | None, clean: Side | None, polarised: Side | None
) -> None:
    training = seen(regime, paper_regime=paper)

    assert side_at(2000, training, of="clean") == clean
    assert side_at(2000, training, of="polarised") == polarised


def test_a_clean_space_beyond_the_limits_of_a_study_is_outside_its_band() -> None:
    assert side_at(2000, seen(Regime.CLEAN, keeps_limits=False)) is Side.OUTSIDE
    assert side_at(2000, seen(Regime.COLLAPSED, keeps_limits=False)) is Side.RIGHT


def test_a_training_has_the_verdict_of_its_last_evaluation_up_to_the_budget() -> None:
    way = course((500, Regime.UNTRAINED), (1000, Regime.UNDER_REGULARISED))
    training = seen(Regime.CLEAN, trajectory=way)

    assert side_at(499, training) is None
    assert side_at(999, training) is None  # untrained
    assert side_at(1000, training) is Side.LEFT
    assert side_at(1500, training) is Side.LEFT
    assert side_at(1501, training) is None  # too long after the evaluation
    assert side_at(2000, training) is Side.INSIDE


@pytest.mark.parametrize(("settled", "side"), [(True, Side.INSIDE), (False, None), (None, None)])
def test_only_a_settled_training_has_a_verdict_beyond_its_end(
    settled: bool | None, side: Side | None
) -> None:
    assert side_at(2001, seen(Regime.CLEAN, settled=settled)) is side


def test_a_training_that_went_on_is_one_training_with_both_ends() -> None:
    first = seen(Regime.UNDER_REGULARISED, settled=True)
    # Its evaluations pass 2,000 steps without stopping there.
    went_on = seen(
        Regime.CLEAN, steps=4000, settled=False, trajectory=course((3000, Regime.FORMING))
    )

    (training,) = trainings_of([went_on, first])

    assert [seen.steps for seen in training.course] == [2000, 3000, 4000]
    assert training.settled is False
    assert [side_at(budget, went_on, first) for budget in (2000, 4000)] == [
        Side.LEFT,
        Side.INSIDE,
    ]


def test_seeds_and_weights_are_trainings_of_their_own() -> None:
    history = [
        seen(Regime.CLEAN, seed=1),
        seen(Regime.COLLAPSED, weight=0.5),
        seen(Regime.FORMING),
    ]

    votes = votes_of(trainings_of(history), 2000, "clean")

    assert [(vote.weight, vote.seed) for vote in votes] == [(0.5, 0), (1.0, 0), (1.0, 1)]


def test_few_active_latents_are_right_of_the_band_and_idle_latents_left_of_it() -> None:
    def right(**about: object) -> float:
        (vote,) = votes_of(trainings_of([seen(Regime.FORMING, **about)]), 2000, "clean")
        return vote.right

    assert right() == 0.5
    assert right(n_active=2, n_passive=14) == pytest.approx(15 / 18)
    assert right(n_active=14, n_passive=2) == pytest.approx(3 / 18)
    assert right(n_active=8, n_passive=8, flaws=(Flaw.IDLE,)) == pytest.approx(1 / 5)


def test_a_vote_says_nothing_of_when_it_came() -> None:
    history = [seen(Regime.CLEAN, weight=weight) for weight in (3.0, 1.0, 2.0)]

    forth = votes_of(trainings_of(history), 2000, "clean")
    back = votes_of(trainings_of(history[::-1]), 2000, "clean")

    assert forth == back == [Vote(weight, 0, Side.INSIDE, 0.5) for weight in (1.0, 2.0, 3.0)]
