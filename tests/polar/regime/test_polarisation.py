import math
from collections.abc import Callable, Sequence
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polar.errors import InvalidInput
from polar.records.events import Evaluation
from polar.records.latents import Label, LatentMeasures, Regime, Verdict
from polar.regime.polarisation import convergence, explain_regime, explained_part, judge

Latents = Callable[[Sequence[float]], tuple[LatentMeasures, ...]]
Evaluations = Callable[..., Evaluation]

unhurried = settings(deadline=None)  # other processes may have the machine
ENTROPIES = st.lists(st.floats(0, 10), min_size=1, max_size=40)
THRESHOLDS = st.floats(0, 10)


def verdict_on(latents: Sequence[LatentMeasures], *, tau: float, explained: float) -> Verdict:
    return judge(latents, tau=tau, explained=explained).verdict


def test_the_verdict_has_the_values_of_its_definition(latents_of: Latents) -> None:
    verdict = verdict_on(latents_of([2.0, 0.25, 1.0, 0.0]), tau=0.25, explained=0.5)

    assert verdict == Verdict(
        regime=Regime.POLARISED,
        tau_nats=0.25,
        n_active=2,
        n_passive=2,
        polarisation=0.6875,  # (3/2 - 1/8) / 2
        margin_nats=0.75,
        explained=0.5,
        clean_polarisation=0.34375,
        no_reconstruction_gain=False,
    )


# Spectra of trained beta-VAEs on the digits, rounded.
@pytest.mark.parametrize(
    ("entropies", "regime"),
    [
        ([1.94] * 8 + [1.48] * 8, Regime.UNDER_REGULARISED),
        ([1.6] * 6 + [0.44, 0.23, 0.23, 0.11] + [0.05] * 6, Regime.POLARISED),
        ([1.7] * 3 + [0.12] * 13, Regime.POLARISED),
        ([0.6, 0.5, 0.4] + [0.24] * 13, Regime.FORMING),
        ([0.009] * 16, Regime.COLLAPSED),
    ],
)
def test_spectra_have_the_regime_that_one_sees(
    latents_of: Latents, entropies: list[float], regime: Regime
) -> None:
    assert verdict_on(latents_of(entropies), tau=0.25, explained=0.8).regime is regime


@pytest.mark.parametrize("entropies", [[1.0, 2.0], [0.1, 0.0], [0.0], [1.0]])
def test_without_two_groups_there_is_neither_polarisation_nor_margin(
    latents_of: Latents, entropies: list[float]
) -> None:
    verdict = verdict_on(latents_of(entropies), tau=0.25, explained=1.0)

    assert verdict.polarisation == verdict.clean_polarisation == 0.0
    assert verdict.margin_nats is None


def test_polarised_starts_at_one_half(latents_of: Latents) -> None:
    at = verdict_on(latents_of([1.0, 0.5]), tau=0.75, explained=1.0)
    below = verdict_on(latents_of([1.0, 0.5000001]), tau=0.75, explained=1.0)

    assert (at.polarisation, at.regime) == (0.5, Regime.POLARISED)
    assert below.regime is Regime.FORMING


def test_a_decoder_without_gain_is_flagged_and_leaves_the_regime_alone(
    latents_of: Latents,
) -> None:
    latents = latents_of([2.0, 0.0])

    without = verdict_on(latents, tau=0.25, explained=0.0199)
    with_gain = verdict_on(latents, tau=0.25, explained=0.02)

    assert (without.no_reconstruction_gain, without.regime) == (True, Regime.POLARISED)
    assert (with_gain.no_reconstruction_gain, with_gain.regime) == (False, Regime.POLARISED)


def test_equal_actives_beside_silence_are_fully_polarised(latents_of: Latents) -> None:
    # three times 0.1 add up to more than 0.3, so that their mean exceeds their maximum
    verdict = verdict_on(latents_of([0.1, 0.1, 0.1, 0.0]), tau=0.05, explained=1.0)

    assert verdict.polarisation == 1.0


@unhurried
@given(entropies=ENTROPIES, tau=THRESHOLDS, explained=st.floats(0, 1))
def test_every_spectrum_has_one_regime_and_numbers_within_bounds(
    latents_of: Latents, entropies: list[float], tau: float, explained: float
) -> None:
    verdict = verdict_on(latents_of(entropies), tau=tau, explained=explained)

    claims = {
        Regime.COLLAPSED: max(entropies) <= tau,
        Regime.UNDER_REGULARISED: min(entropies) > tau,
        Regime.POLARISED: min(entropies) <= tau < max(entropies) and verdict.polarisation >= 0.5,
        Regime.FORMING: min(entropies) <= tau < max(entropies) and verdict.polarisation < 0.5,
    }
    assert [regime for regime, holds in claims.items() if holds] == [verdict.regime]
    assert verdict.n_active + verdict.n_passive == len(entropies)
    assert verdict.clean_polarisation is not None
    assert 0 <= verdict.clean_polarisation <= verdict.polarisation <= 1
    assert verdict.margin_nats is None or verdict.margin_nats > 0


@unhurried
@given(entropies=ENTROPIES, tau=THRESHOLDS)
def test_polarisation_agrees_with_exact_arithmetic(
    latents_of: Latents, entropies: list[float], tau: float
) -> None:
    actives = [Fraction(entropy) for entropy in entropies if entropy > tau]
    passives = [Fraction(entropy) for entropy in entropies if entropy <= tau]
    exact = Fraction(0)
    if actives and passives:
        apart = Fraction(sum(actives)) / len(actives) - Fraction(sum(passives)) / len(passives)
        exact = apart / max(actives)

    verdict = verdict_on(latents_of(entropies), tau=tau, explained=1.0)

    # a handful of roundings, each of 1e-16 of a number of at most 1
    assert verdict.polarisation == pytest.approx(float(exact), abs=1e-15)


@unhurried
@given(data=st.data(), entropies=ENTROPIES, tau=THRESHOLDS)
def test_the_order_of_the_latents_is_of_no_account(
    latents_of: Latents, data: st.DataObject, entropies: list[float], tau: float
) -> None:
    shuffled = data.draw(st.permutations(entropies))

    verdict = verdict_on(latents_of(entropies), tau=tau, explained=1.0)

    assert verdict_on(latents_of(shuffled), tau=tau, explained=1.0) == verdict


@unhurried
@given(
    # not the smallest of numbers, whose eighth is rounded
    entropies=st.lists(st.floats(1e-300, 10) | st.just(0.0), min_size=1, max_size=40),
    tau=st.floats(1e-300, 10),
    factor=st.sampled_from([0.125, 2.0, 64.0]),
)
def test_polarisation_is_free_of_the_unit_of_entropy(
    latents_of: Latents, entropies: list[float], tau: float, factor: float
) -> None:
    in_nats = verdict_on(latents_of(entropies), tau=tau, explained=1.0)

    scaled = verdict_on(
        latents_of([factor * entropy for entropy in entropies]), tau=factor * tau, explained=1.0
    )

    # exact, since the factors are powers of two
    assert scaled.polarisation == in_nats.polarisation
    assert scaled.regime is in_nats.regime


def test_labels_and_verdict_are_decided_together_and_the_measures_stay(
    latents_of: Latents,
) -> None:
    latents = latents_of([2.0, 0.25, 1.0])

    judgement = judge(latents, tau=0.25)

    assert [latent.label for latent in judgement.latents] == [
        Label.ACTIVE,
        Label.PASSIVE,  # at tau
        Label.ACTIVE,
    ]
    assert (judgement.verdict.n_active, judgement.verdict.n_passive) == (2, 1)
    assert tuple(
        LatentMeasures(**latent.model_dump(exclude={"label"})) for latent in judgement.latents
    ) == tuple(latents)


def test_the_explanation_goes_by_the_labels_that_were_decided(latents_of: Latents) -> None:
    judgement = judge(latents_of([1.5, 0.5, 0.0]), tau=0.25)
    first, second, third = judgement.latents
    other = (first, second.model_copy(update={"label": Label.PASSIVE}), third)

    assert explain_regime(judgement.latents, judgement.verdict).startswith(
        "Polarised: 2 of 3 latents are active"
    )
    assert "1 of 3 latents is active" in explain_regime(other, judgement.verdict)
    assert "the strongest passive has 0.50 nats" in explain_regime(other, judgement.verdict)


@pytest.mark.parametrize("tau", [-0.1, math.nan, math.inf])
def test_a_threshold_out_of_range_is_refused(latents_of: Latents, tau: float) -> None:
    with pytest.raises(InvalidInput, match=f"tau is {tau} nats"):
        judge(latents_of([1.0]), tau=tau)


def test_a_space_without_latents_is_refused() -> None:
    with pytest.raises(InvalidInput, match="0 latents; allowed: at least 1"):
        judge([], tau=0.25, explained=1.0)


@pytest.mark.parametrize("explained", [-0.01, 1.01, math.nan])
def test_an_explained_part_out_of_range_is_refused(latents_of: Latents, explained: float) -> None:
    with pytest.raises(InvalidInput, match=f"is {explained}; allowed: 0 to 1"):
        judge(latents_of([1.0]), tau=0.25, explained=explained)


@pytest.mark.parametrize(
    ("loss", "explained"),
    [
        (200.0, 0.0),  # as good as the mean image
        (100.0, 1.0),  # perfect
        (125.0, 0.75),
        (250.0, 0.0),  # worse than the mean image
        (99.0, 1.0),  # below the floor by rounding
    ],
)
def test_the_explained_part_runs_from_the_mean_image_to_the_floor(
    loss: float, explained: float
) -> None:
    assert explained_part(loss, mean_image_loss=200.0, floor=100.0) == explained


@pytest.mark.parametrize("floor", [100.0, 100.00001, 99.99999])
def test_where_all_images_are_alike_nothing_is_explained(floor: float) -> None:
    assert explained_part(100.0, mean_image_loss=100.0, floor=floor) == 0.0


def test_black_images_explain_nothing() -> None:
    assert explained_part(0.0, mean_image_loss=0.0, floor=0.0) == 0.0


def test_a_floor_above_the_mean_image_is_refused() -> None:
    with pytest.raises(InvalidInput, match=r"floor is 200.0 nats; allowed: at most the 100.0"):
        explained_part(150.0, mean_image_loss=100.0, floor=200.0)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("name", ["loss", "mean_image_loss", "floor"])
def test_a_loss_that_is_not_finite_is_refused(name: str, bad: float) -> None:
    losses = {"loss": 150.0, "mean_image_loss": 200.0, "floor": 100.0} | {name: bad}

    with pytest.raises(InvalidInput, match=f"^{name} is {bad} nats; allowed: finite"):
        explained_part(**losses)


@unhurried
@given(loss=st.floats(-1e300, 1e300), floor=st.floats(0, 1e300), explainable=st.floats(0, 1e300))
def test_the_explained_part_is_between_zero_and_one(
    loss: float, floor: float, explainable: float
) -> None:
    assert 0 <= explained_part(loss, floor + explainable, floor) <= 1


def test_still_entropies_are_converged(evaluation_of: Evaluations) -> None:
    course = [
        evaluation_of(10, [0.0, 0.0]),
        evaluation_of(80, [1.0, 0.125]),
        evaluation_of(90, [1.0625, 0.125]),
        evaluation_of(100, [1.0, 0.15625]),
    ]

    settled = convergence(course, steps=100)

    assert settled.converged
    assert (settled.largest_move_nats, settled.most_moved) == (0.0625, 0)
    assert settled.labels_changed == 0
    assert settled.since_step == 80


def test_a_move_of_more_than_a_tenth_of_a_nat_is_not_converged(
    evaluation_of: Evaluations,
) -> None:
    final = evaluation_of(100, [1.0, 0.5, 0.0])

    moved = convergence([evaluation_of(80, [1.0, 0.6001, 0.0]), final], steps=100)
    at_the_limit = convergence([evaluation_of(80, [1.0, 0.5, 0.1]), final], steps=100)

    assert not moved.converged
    assert moved.most_moved == 1
    assert moved.largest_move_nats == pytest.approx(0.1001, rel=1e-12)  # rounding of a difference
    assert at_the_limit.converged


def test_a_changed_label_is_not_converged_however_small_the_move(
    evaluation_of: Evaluations,
) -> None:
    course = [evaluation_of(80, [0.26, 1.0]), evaluation_of(100, [0.24, 1.0])]

    changed = convergence(course, steps=100)

    assert not changed.converged
    assert changed.labels_changed == 1


def test_a_latent_that_left_and_came_back_is_not_converged(evaluation_of: Evaluations) -> None:
    course = [
        evaluation_of(80, [0.24]),
        evaluation_of(85, [0.26]),
        evaluation_of(90, [0.26]),
        evaluation_of(100, [0.24]),
    ]

    returned = convergence(course, steps=100)

    assert not returned.converged
    assert returned.labels_changed == 1


def test_what_moved_before_the_last_fifth_is_of_no_account(evaluation_of: Evaluations) -> None:
    course = [evaluation_of(79, [0.0]), evaluation_of(80, [1.0]), evaluation_of(100, [1.0])]

    assert convergence(course, steps=100).converged


def test_a_sparse_schedule_is_judged_from_the_evaluation_before_the_last_fifth(
    evaluation_of: Evaluations,
) -> None:
    course = [evaluation_of(50, [0.0]), evaluation_of(81, [1.0]), evaluation_of(100, [1.0])]

    sparse = convergence(course, steps=100)

    assert not sparse.converged
    assert (sparse.since_step, sparse.largest_move_nats) == (50, 1.0)


@pytest.mark.parametrize(
    "steps_evaluated",
    [
        pytest.param([100], id="only the end"),
        pytest.param([81, 90, 100], id="starts too late"),
        pytest.param([80, 90], id="ends too early"),
    ],
)
def test_evaluations_that_do_not_cover_the_last_fifth_are_not_converged(
    evaluation_of: Evaluations, steps_evaluated: list[int]
) -> None:
    course = [evaluation_of(step, [1.0, 0.0]) for step in steps_evaluated]

    unknown = convergence(course, steps=100)

    assert not unknown.converged
    assert unknown.since_step is None
    assert unknown.largest_move_nats == 0.0


def test_convergence_of_no_evaluations_is_refused() -> None:
    with pytest.raises(InvalidInput, match="0 evaluations; allowed: at least 1"):
        convergence([], steps=100)
