"""Which trainings and edges are refuted by other models of the same problem."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polar.certificate import (
    LEAST_PART,
    MOST_WEIGHT,
    better_than_collapse_to,
    certificates_of,
    certify_edge,
    not_optimal,
    refutes_collapse,
)
from polar.records.certificates import KnownModel, LossTerms, Standing
from polar.records.ranges import Edge, Interval

MEAN_IMAGE_NATS, EXPLAINABLE_NATS = 463.7, 130.0
#: An image of the study net has 32 x 32 pixels, over which the LV-AE's loss is averaged.
PIXELS = 1024


def model(
    weight: float,
    gain: float,
    penalty: float,
    *,
    se: float = 0.0,
    is_inside: bool = True,
    has_settled: bool = True,
    k: float = 1.0,
    collapsed_penalty: float = 0.0,
    **training: Any,  # noqa: ANN401
) -> KnownModel:
    """A model that gains so much over the mean image, with this error, at this penalty."""
    return KnownModel(
        **{"seed": 0, "steps": 2000, **training},
        weight=weight,
        is_inside=is_inside,
        has_settled=has_settled,
        terms=LossTerms(
            images=1437,
            reconstruction_nats=MEAN_IMAGE_NATS - gain,
            penalty=collapsed_penalty + penalty,
            floor_nats=MEAN_IMAGE_NATS - EXPLAINABLE_NATS,
            mean_image_nats=MEAN_IMAGE_NATS,
            collapsed_penalty=collapsed_penalty,
            nats_per_penalty=k,
            gain_variance=se * se,
            penalty_variance=0.0,
            covariance=0.0,
        ),
    )


#: The collapse at beta 22, and a model trained at 18 whose loss at 22 is 456.3 and which pays as
#: much as total collapse at 28: 7.4 nats are lost over 6 units of beta.
COLLAPSED = model(22.0, gain=0.0, penalty=0.0, is_inside=False)
FROM_18 = model(18.0, gain=7.4 * 28 / 6, penalty=7.4 / 6, se=0.7)
#: The collapse at lambda 0.0102, and a model trained at 1e-3 that pays as much as total collapse
#: at 0.023.
LV_COLLAPSED = model(0.0102, 0.0, 0.0, is_inside=False, k=PIXELS, collapsed_penalty=1.0)
LV_FROM_0_001 = model(
    1e-3, gain=0.023 * PIXELS * 2, penalty=2.0, se=0.5, k=PIXELS, collapsed_penalty=1.0
)


def test_the_collapse_at_beta_22_is_not_optimal() -> None:
    refuted = not_optimal(COLLAPSED, [COLLAPSED, FROM_18])

    assert FROM_18.terms.loss_nats(22.0) == pytest.approx(456.3)
    assert refuted is not None
    assert refuted.better == FROM_18.training()
    assert refuted.model == COLLAPSED.training()
    assert refuted.by_nats == pytest.approx(7.4)
    assert refuted.se_nats == pytest.approx(0.7)


def test_the_right_edge_at_18_is_not_the_objective_s_which_has_a_solution_up_to_nearly_28() -> (
    None
):
    edge = certify_edge("right", reached=18.0, beyond=22.0, models=[COLLAPSED, FROM_18])

    assert edge.standing is Standing.NOT_OPTIMAL
    assert edge.by == FROM_18.training()
    # two errors of 0.7 nats are paid for by little more than a unit of beta
    assert edge.exists_to == pytest.approx(28 - 1.4 / (7.4 / 6))
    assert edge.words("clean") == (
        "reached from scratch up to 18; "
        f"a better, clean solution exists up to {edge.exists_to:.4g}"
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


def test_an_edge_beyond_which_an_outside_model_is_best_is_certified() -> None:
    edge = certify_edge("right", reached=18.0, beyond=30.0, models=[COLLAPSED, FROM_18])

    assert edge.standing is Standing.CERTIFIED
    assert (edge.by, edge.exists_to) == (None, None)
    assert edge.words("clean") == "certified: no known clean solution is as good at 30"


def test_an_edge_next_to_the_crossing_is_undecided() -> None:
    edge = certify_edge("right", reached=27.9, beyond=28.1, models=[COLLAPSED, FROM_18])

    assert edge.standing is Standing.UNDECIDED
    words = "not certified: no known solution is clearly the best at 28.1"
    assert edge.words("clean") == words


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
    under_regularised = model(0.05, gain=155.0, penalty=150.0, is_inside=False)
    models = [clean, under_regularised]

    wrong = certify_edge("left", reached=0.2, beyond=0.15, models=models)
    right = certify_edge("left", reached=0.2, beyond=0.05, models=models)

    # both lose the same at 0.1: 5 nats of gain for 50 nats of divergence, and 1.3 nats are allowed
    assert wrong.standing is Standing.NOT_OPTIMAL
    assert wrong.exists_to == pytest.approx(0.1 + 1.3 / 50)
    assert wrong.words("clean") == (
        "reached from scratch down to 0.2; a better, clean solution exists down to 0.126"
    )
    assert right.standing is Standing.CERTIFIED


def test_a_lead_that_never_ends_is_followed_to_the_ends_of_all_weights() -> None:
    free = model(1.0, gain=10.0, penalty=0.0)

    up = certify_edge("right", reached=1.0, beyond=2.0, models=[free])
    down = certify_edge("left", reached=1.0, beyond=0.5, models=[free])

    assert (up.exists_to, down.exists_to) == (MOST_WEIGHT, 0.0)


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

    # the lead begins at the edge, or at the weight of the models if that is farther out
    is_beyond = beyond < 1.0 if side == "right" else beyond > 1.0
    begins = [beyond, 1.0] if is_beyond else [beyond]
    assert any(
        all(leads(begin + part * (edge.exists_to - begin)) for part in (0.0, 0.5, 0.999))
        for begin in begins
    )


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


def test_a_model_that_leads_farther_beyond_the_edge_alone_refutes_it() -> None:
    # As with hysteresis: from scratch the space leaves the band at 16, and a model that went on
    # from inside is the best that is known from 19 to 29.
    scratch = model(15.0, gain=58.0, penalty=2.9)
    outside = model(18.0, gain=60.0, penalty=2.6, is_inside=False)
    held = model(25.0, gain=30.0, penalty=1.0, warm_start=(15.0,))

    edge = certify_edge("right", reached=15.0, beyond=16.0, models=[scratch, outside, held])

    assert edge.standing is Standing.NOT_OPTIMAL
    assert edge.by == held.training()
    assert edge.exists_to == pytest.approx(30 - LEAST_PART * EXPLAINABLE_NATS)


@pytest.mark.parametrize(
    ("has_settled", "standing"), [(True, Standing.CERTIFIED), (False, Standing.UNDECIDED)]
)
def test_a_training_that_may_still_come_into_the_band_certifies_no_edge(
    has_settled: bool, standing: Standing
) -> None:
    forming = model(3.0, gain=80.0, penalty=5.0, is_inside=False, has_settled=has_settled)
    clean = model(3.5, gain=70.0, penalty=4.0)

    edge = certify_edge("left", reached=3.5, beyond=3.0, models=[forming, clean])

    assert edge.standing is standing
