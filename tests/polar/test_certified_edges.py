"""Which edges are certified, and which are refuted, by the known models of a problem."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polar.certificate import certify_edge, not_optimal
from polar.loss_lines import LEAST_PART, MOST_WEIGHT
from polar.records.certificates import Standing
from tests.polar.known_models import (
    COLLAPSED,
    EXPLAINABLE_NATS,
    FROM_18,
    FROM_27,
    LV_COLLAPSED,
    LV_FROM_0_001,
    PIXELS,
    model,
)


def test_the_right_edge_at_18_is_not_the_objective_s_which_has_a_solution_up_to_nearly_28() -> (
    None
):
    edge = certify_edge("right", reached=18.0, beyond=22.0, models=[COLLAPSED, FROM_18])

    assert edge.standing is Standing.NOT_OPTIMAL
    assert edge.by == FROM_18.training()
    # two errors of 0.7 nats are paid for by little more than a unit of beta
    assert edge.exists_to == pytest.approx(28 - 1.4 / (7.4 / 6))
    assert edge.words("clean", 2) == (
        "reached from scratch up to 18; a clean solution is the best of 2 known up to 26.86"
    )


def test_the_collapse_of_the_lv_ae_at_lambda_0_0102_is_not_optimal() -> None:
    edge = certify_edge(
        "right", reached=0.003, beyond=0.0102, models=[LV_COLLAPSED, LV_FROM_0_001]
    )

    refuted = not_optimal(LV_COLLAPSED, [LV_FROM_0_001])

    assert refuted is not None
    assert refuted.better == LV_FROM_0_001.training()
    assert refuted.by_nats == pytest.approx((0.023 - 0.0102) * PIXELS * 2)
    assert edge.standing is Standing.NOT_OPTIMAL
    assert edge.exists_to == pytest.approx(0.023, rel=0.03)


def test_an_edge_beyond_which_an_outside_model_is_best_is_certified() -> None:
    models = [COLLAPSED, FROM_18, FROM_27]

    edge = certify_edge("right", reached=27.0, beyond=30.0, models=models)

    assert edge.standing is Standing.CERTIFIED
    assert (edge.by, edge.exists_to) == (None, None)
    assert edge.words("clean", 3) == (
        "certified: no better solution is known at 30 than one that is not clean"
    )


@pytest.mark.parametrize("has_settled", [False, True])
@pytest.mark.parametrize("weight", [18.0, 26.2, 27.0, 34.0])
def test_an_edge_is_certified_only_where_a_settled_model_inside_was_trained_close_by(
    weight: float, has_settled: bool
) -> None:
    # Its line crosses that of total collapse at 28, so that it is better at 27 and worse at 34.
    inside = FROM_27.model_copy(update={"weight": weight, "has_settled": has_settled})

    edge = certify_edge("right", reached=18.0, beyond=30.0, models=[inside])

    is_certified = has_settled and weight == 27.0
    assert (edge.standing is Standing.CERTIFIED) is is_certified


def test_an_edge_next_to_which_only_a_bad_training_is_inside_is_refuted() -> None:
    # It draws the mean image wrong, so that total collapse is better at its own weight too.
    bad = model(27.0, gain=20.0, penalty=1.0)

    edge = certify_edge("right", reached=27.0, beyond=30.0, models=[COLLAPSED, bad])

    assert edge.standing is Standing.NOT_OPTIMAL_INSIDE
    # The lines cross at 20, but nobody has trained inside below 27.
    assert (edge.exists_from, edge.exists_to, edge.by) == (27.0, 27.0, None)


def test_a_clean_model_far_away_certifies_no_edge_for_a_forming_one() -> None:
    forming = model(3.0, gain=80.0, penalty=5.0, is_inside=False)
    clean = model(10.0, gain=60.0, penalty=2.0)

    edge = certify_edge("left", reached=10.0, beyond=3.0, models=[forming, clean])

    assert edge.standing is Standing.UNDECIDED


def test_an_edge_next_to_the_crossing_is_undecided() -> None:
    edge = certify_edge("right", reached=27.9, beyond=28.1, models=[COLLAPSED, FROM_18])

    assert edge.standing is Standing.UNDECIDED
    words = "not certified: the known models neither confirm nor refute it"
    assert edge.words("clean", 2) == words


def test_a_forming_model_as_good_as_the_clean_one_leaves_the_edge_undecided() -> None:
    forming = model(22.0, gain=34.0, penalty=1.2, se=0.5, is_inside=False, seed=1)

    edge = certify_edge("right", reached=18.0, beyond=22.0, models=[COLLAPSED, FROM_18, forming])

    assert not_optimal(COLLAPSED, [FROM_18, forming]) is not None
    assert edge.standing is Standing.UNDECIDED


def test_nothing_is_certified_without_a_model_inside_the_band() -> None:
    edge = certify_edge("right", reached=18.0, beyond=22.0, models=[COLLAPSED])

    assert edge.standing is Standing.UNDECIDED


def test_the_left_edge_reaches_down_to_where_an_outside_model_becomes_as_good() -> None:
    clean = model(0.2, gain=150.0, penalty=100.0)
    close_by = model(0.078, gain=150.0, penalty=100.0)
    under_regularised = model(0.05, gain=155.0, penalty=150.0, is_inside=False)

    wrong = certify_edge("left", reached=0.2, beyond=0.15, models=[clean, under_regularised])
    right = certify_edge(
        "left", reached=0.078, beyond=0.07, models=[clean, close_by, under_regularised]
    )

    # both lose the same at 0.1: 5 nats of gain for 50 nats of divergence, and 1.3 nats are allowed
    assert wrong.standing is Standing.NOT_OPTIMAL
    assert wrong.exists_to == pytest.approx(0.1 + 1.3 / 50)
    assert wrong.words("clean", 2) == (
        "reached from scratch down to 0.2; a clean solution is the best of 2 known down to 0.126"
    )
    assert right.standing is Standing.CERTIFIED


def test_a_lead_over_total_collapse_that_never_ends_is_followed_to_the_largest_weight() -> None:
    free = model(1.0, gain=10.0, penalty=0.0)

    edge = certify_edge("right", reached=1.0, beyond=2.0, models=[free])

    assert edge.exists_to == MOST_WEIGHT


def test_a_lead_is_followed_down_only_as_far_as_models_outside_were_trained() -> None:
    # At weight 0 a net that is trained as long is surely better than a clean one.
    under_trained = model(0.11, gain=140.0, penalty=110.0, is_inside=False)
    longer = model(0.13, gain=150.0, penalty=100.0, steps=8000)
    clean = model(0.12, gain=145.0, penalty=100.0)

    edge = certify_edge("left", reached=0.12, beyond=0.11, models=[under_trained, longer, clean])
    alone = certify_edge("left", reached=0.12, beyond=0.11, models=[longer, clean])

    assert edge.standing is Standing.NOT_OPTIMAL
    assert edge.exists_to == alone.exists_to == 0.11
    assert edge.words("clean", 3) == (
        "reached from scratch down to 0.12; a clean solution is the best of 3 known down to 0.11"
    )


@given(
    gains=st.lists(st.floats(0, 200), min_size=1, max_size=6),
    penalties=st.lists(st.floats(0, 50), min_size=6, max_size=6),
    errors=st.lists(st.floats(0, 5), min_size=6, max_size=6),
    inside=st.lists(st.booleans(), min_size=6, max_size=6),
    beyond=st.floats(1e-3, 1e3),
    side=st.sampled_from(["left", "right"]),
)
def test_a_lead_holds_at_every_weight_up_to_its_end(
    gains: list[float],
    penalties: list[float],
    errors: list[float],
    inside: list[bool],
    beyond: float,
    side: Any,  # noqa: ANN401
) -> None:
    models = [
        model(1.0, gain, penalty, se=se, is_inside=is_inside, seed=seed)
        for seed, (gain, penalty, se, is_inside) in enumerate(
            zip(gains, penalties, errors, inside, strict=False)
        )
    ]

    edge = certify_edge(side, reached=None, beyond=beyond, models=models)

    if edge.standing is not Standing.NOT_OPTIMAL:
        assert edge.exists_to is None
        return
    assert edge.exists_to is not None

    def leads(weight: float) -> bool:
        best = min(models, key=lambda known: known.terms.above_collapse_nats(weight))
        return best.is_inside and best.terms.above_collapse_nats(weight) < 0

    assert edge.exists_from is not None
    length = edge.exists_to - edge.exists_from
    assert length >= 0 if side == "right" else length <= 0
    assert all(leads(edge.exists_from + part * length) for part in (0.001, 0.5, 0.999))


def test_a_model_that_leads_farther_beyond_the_edge_alone_refutes_it() -> None:
    # As with hysteresis: from scratch the space leaves the band at 16, and a model that went on
    # from inside is the best that is known from 19 to 29.
    scratch = model(15.0, gain=58.0, penalty=2.9)
    outside = model(18.0, gain=60.0, penalty=2.6, is_inside=False)
    held = model(25.0, gain=30.0, penalty=1.0, warm_start=(15.0,))

    edge = certify_edge("right", reached=15.0, beyond=16.0, models=[scratch, outside, held])

    assert edge.standing is Standing.NOT_OPTIMAL
    assert edge.by == held.training()
    assert edge.exists_from == pytest.approx(30 / 1.6 + LEAST_PART * EXPLAINABLE_NATS / 1.6)
    assert edge.exists_to == pytest.approx(30 - LEAST_PART * EXPLAINABLE_NATS)
    assert edge.words("clean", 3) == (
        "reached from scratch up to 15; a clean solution is the best of 3 known "
        "from 19.56 up to 28.7"
    )


@given(
    gain=st.floats(10, 200),
    penalty=st.floats(0.1, 10),
    weights=st.lists(st.floats(0.1, 2), min_size=2, max_size=2),
    side=st.sampled_from(["left", "right"]),
)
def test_the_model_trained_farthest_out_is_named_among_those_that_lead_equally_far(
    gain: float,
    penalty: float,
    weights: list[float],
    side: Any,  # noqa: ANN401
) -> None:
    models = [
        model(weight, gain, penalty, se=0.1, seed=seed) for seed, weight in enumerate(weights)
    ]
    # Where beta is small, it has the lead instead.
    models.append(model(0.01, gain + 3, 100 * penalty, is_inside=False))

    edge = certify_edge(side, reached=None, beyond=0.5, models=models)

    farthest_out = max if side == "right" else min
    assert edge.by is not None
    assert edge.by.weight == farthest_out(weights)


@pytest.mark.parametrize(
    ("has_settled", "standing"), [(True, Standing.CERTIFIED), (False, Standing.UNDECIDED)]
)
def test_a_training_that_may_still_come_into_the_band_certifies_no_edge(
    has_settled: bool, standing: Standing
) -> None:
    forming = model(3.0, gain=80.0, penalty=5.0, is_inside=False, has_settled=has_settled)
    clean = model(3.3, gain=70.0, penalty=2.2)

    edge = certify_edge("left", reached=3.3, beyond=3.0, models=[forming, clean])

    assert edge.standing is standing
