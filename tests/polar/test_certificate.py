"""Which trainings are refuted by other models of the same problem, and what a study is told."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polar.certificate import (
    better_than_collapse_to,
    certificates_of,
    not_optimal,
    refutes_collapse,
)
from polar.loss_lines import LEAST_PART, MOST_WEIGHT
from polar.records.certificates import KnownModel, Standing
from polar.records.ranges import Edge, Interval, Movement
from tests.polar.known_models import (
    COLLAPSED,
    EXPLAINABLE_NATS,
    FROM_18,
    FROM_27,
    model,
)


def test_the_collapse_at_beta_22_is_not_optimal() -> None:
    refuted = not_optimal(COLLAPSED, [COLLAPSED, FROM_18])

    terms = FROM_18.terms
    assert terms.reconstruction_nats + 22.0 * terms.penalty == pytest.approx(456.3)
    assert refuted is not None
    assert refuted.better == FROM_18.training()
    assert refuted.model == COLLAPSED.training()
    assert refuted.by_nats == pytest.approx(7.4)
    assert refuted.se_nats == pytest.approx(0.7)


def test_the_weight_up_to_which_a_model_is_better_than_total_collapse_is_where_its_lead_ends() -> (
    None
):
    least = LEAST_PART * EXPLAINABLE_NATS
    exact = model(1e-3, gain=20.0 + least, penalty=4.0)

    # two errors of 0.7 nats are paid for by little more than a unit of beta
    assert better_than_collapse_to([COLLAPSED, FROM_18]) == pytest.approx(28 - 1.4 / (7.4 / 6))
    assert better_than_collapse_to([exact, COLLAPSED]) == pytest.approx(5.0)
    assert better_than_collapse_to([model(1.0, gain=20.0, penalty=0.0)]) == MOST_WEIGHT


@pytest.mark.parametrize("models", [[], [COLLAPSED], [model(3.0, gain=1.0, penalty=0.1, se=0.6)]])
def test_where_no_model_is_better_than_total_collapse_there_is_no_such_weight(
    models: list[KnownModel],
) -> None:
    assert better_than_collapse_to(models) is None


@given(gain=st.floats(2, 100), penalty=st.floats(1e-3, 100), se=st.floats(0, 0.9))
def test_just_below_that_weight_a_collapse_is_refuted_and_just_above_it_is_not(
    gain: float, penalty: float, se: float
) -> None:
    known = [model(1.0, gain, penalty, se=se)]

    end = better_than_collapse_to(known)

    assert end is not None
    assert refutes_collapse(end * (1 - 1e-6), known)
    assert not refutes_collapse(end * (1 + 1e-6), known)


def test_total_collapse_refutes_a_model_that_pays_more_for_its_penalty_than_it_gains() -> None:
    wasteful = model(30.0, gain=10.0, penalty=1.0, se=1.0)

    refuted = not_optimal(wasteful, [wasteful])

    assert refuted is not None
    assert refuted.better is None
    assert refuted.by_nats == pytest.approx(20.0)


@pytest.mark.parametrize(("by", "refuted"), [(1.9, False), (2.1, True)])
def test_a_difference_counts_from_two_standard_errors_on(by: float, refuted: bool) -> None:
    # independent errors of 0.6 and 0.8 make one of 1
    better = model(1.0, gain=20.0 + by, penalty=1.0, se=0.6)
    worse = model(1.0, gain=20.0, penalty=1.0, se=0.8)

    assert (not_optimal(worse, [better]) is not None) is refuted


@pytest.mark.parametrize(("part", "refuted"), [(0.9, False), (1.1, True)])
def test_a_difference_counts_from_a_hundredth_of_the_explainable_loss_on(
    part: float, refuted: bool
) -> None:
    better = model(1.0, gain=20.0 + part * LEAST_PART * EXPLAINABLE_NATS, penalty=1.0)
    worse = model(1.0, gain=20.0, penalty=1.0)

    assert (not_optimal(worse, [better]) is not None) is refuted


def test_a_collapsed_training_that_draws_the_mean_image_a_little_wrong_is_not_refuted() -> None:
    # as measured on the digits: Adam leaves the biases 0.5 nats above their best
    collapsed = model(40.0, gain=-0.46, penalty=0.0, se=0.05, is_inside=False)

    assert not_optimal(collapsed, [collapsed]) is None


def test_equal_models_and_the_model_itself_refute_nothing() -> None:
    one = model(3.0, gain=20.0, penalty=2.0)
    twin = model(3.0, gain=20.0, penalty=2.0, seed=1, steps=8000)

    assert not_optimal(one, [one, twin]) is None
    assert not_optimal(COLLAPSED, [COLLAPSED]) is None
    assert not_optimal(COLLAPSED, []) is None


def test_a_model_trained_longer_or_with_another_seed_refutes_a_training_like_any_other() -> None:
    short = model(1.0, gain=20.0, penalty=2.0, se=0.1, steps=2000)
    long = model(1.0, gain=25.0, penalty=2.0, se=0.1, steps=8000, seed=3)

    refuted = not_optimal(short, [long])

    assert refuted is not None
    assert refuted.better is not None
    assert refuted.better.words() == "1 (seed 3, 8,000 steps)"


def test_trainings_of_the_same_weight_and_seed_are_told_apart_by_their_warm_start() -> None:
    held = model(22.0, gain=34.0, penalty=1.2, warm_start=(15.0, 18.0))

    refuted = not_optimal(COLLAPSED, [COLLAPSED, held])

    assert refuted is not None
    assert refuted.better == held.training() != refuted.model
    assert held.words() == "22 (seed 0, 2,000 steps, from 18)"


def test_the_best_of_several_better_models_is_named() -> None:
    good, best = (model(9.0, gain=gain, penalty=1.0, seed=int(gain)) for gain in (40.0, 50.0))

    refuted = not_optimal(COLLAPSED, [good, best, good])

    assert refuted is not None
    assert refuted.better == best.training()


def test_a_study_has_certificates_of_its_own_trainings_and_of_both_edges() -> None:
    band = Interval(
        left=Edge(low=None, high=0.3, confidence=0.95),
        right=Edge(low=18.0, high=22.0, confidence=0.95),
    )
    of_the_study = [COLLAPSED, model(17.0, 36.0, 1.3, se=0.5)]

    certificates = certificates_of(band, of_the_study, [FROM_18, *of_the_study])

    assert certificates.left is None  # the band reaches beyond the search
    assert certificates.right is not None
    assert (certificates.right.reached, certificates.right.beyond) == (18.0, 22.0)
    assert certificates.right.standing is Standing.NOT_OPTIMAL
    assert [found.model for found in certificates.not_optimal] == [COLLAPSED.training()]
    assert certificates.models == 3


@given(
    st.permutations(
        [
            COLLAPSED,
            FROM_18,
            model(19.0, 34.0, 1.2, se=0.4),
            model(18.0, 34.0, 1.2, seed=1, se=0.4),
        ]
    )
)
def test_certificates_do_not_depend_on_the_order_of_the_models(models: list[KnownModel]) -> None:
    band = Interval(
        left=Edge(low=0.2, high=0.3, confidence=0.95),
        right=Edge(low=18.0, high=22.0, confidence=0.95),
    )

    certificates = certificates_of(band, [COLLAPSED], models)

    assert certificates == certificates_of(band, [COLLAPSED], models[::-1])


def test_an_edge_is_judged_at_the_end_of_its_interval_that_lies_beyond_the_band() -> None:
    band = Interval(
        left=Edge(low=0.2, high=0.3, confidence=0.95),
        right=Edge(low=18.0, high=22.0, confidence=0.95),
    )

    certificates = certificates_of(band, [COLLAPSED], [FROM_18])

    edges = [edge for edge in (certificates.left, certificates.right) if edge is not None]
    assert [(edge.side, edge.reached, edge.beyond) for edge in edges] == [
        ("left", 0.3, 0.2),
        ("right", 18.0, 22.0),
    ]


def test_without_a_band_only_trainings_are_judged() -> None:
    certificates = certificates_of(None, [COLLAPSED], [FROM_18])

    assert (certificates.left, certificates.right) == (None, None)
    assert len(certificates.not_optimal) == 1


def test_independent_errors_grow_with_the_weight_as_the_penalty_s_do() -> None:
    terms = FROM_18.terms.model_copy(
        update={"gain_variance": 0.25, "penalty_variance": 0.04, "covariance": 0.02}
    )

    assert terms.se_nats(0.0) == 0.5
    assert terms.se_nats(10.0) == pytest.approx(math.sqrt(0.25 - 2 * 10 * 0.02 + 100 * 0.04))


@pytest.mark.parametrize(
    ("is_settled", "standing"),
    [
        (True, Standing.CERTIFIED),
        (None, Standing.CERTIFIED),  # only one budget is known
        (False, Standing.UNDECIDED),
    ],
)
def test_an_edge_that_moves_as_trainings_become_longer_is_not_certified(
    is_settled: bool | None, standing: Standing
) -> None:
    movement = Movement(is_settled=is_settled, factor=None, low=None, high=None)
    band = Interval(
        left=Edge(low=None, high=0.3, confidence=0.95),
        right=Edge(low=27.0, high=30.0, confidence=0.95, movement=movement),
    )

    certificates = certificates_of(band, [], [COLLAPSED, FROM_27])

    assert certificates.right is not None
    assert certificates.right.standing is standing
