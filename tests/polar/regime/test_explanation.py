from collections.abc import Callable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polar.entropy import equivalent_std
from polar.records.events import Evaluation
from polar.records.latents import LatentMeasures, Regime
from polar.regime.explanation import explain, explain_regime
from polar.regime.settling import Look, settling
from polar.regime.verdict import judge, labelled

Evaluations = Callable[..., Evaluation]
Latents = Callable[[Sequence[float]], tuple[LatentMeasures, ...]]

unhurried = settings(deadline=None)  # other processes may have the machine


def explained(*course: Evaluation, steps: int = 3000) -> str:
    return explain(course[-1], settling([Look.of(evaluation) for evaluation in course]), steps)


def test_a_clean_space_is_explained_with_its_numbers(evaluation_of: Evaluations) -> None:
    course = [
        evaluation_of(1800, [1.75, 1.5, 0.0625, 0.0], explained=0.78),
        evaluation_of(2400, [1.75, 1.5, 0.0625, 0.0], explained=0.795),
        evaluation_of(3000, [1.75, 1.5625, 0.0625, 0.0], settled=True),
    ]

    gap = equivalent_std(1.5625) / equivalent_std(0.0625)
    assert explained(*course) == (
        "Clean: 2 of 4 latents are active (entropy above tau = 0.25 nats) and 2 passive; "
        "the weakest active has 1.56 nats, the strongest passive has 0.06 nats. "
        "The model explains R = 0.80 +- 0.01 of the explainable reconstruction loss. "
        "It is clean: no active latent is idle, and the active latents alone bring "
        f"99.0% of what all latents add to R, the weakest active latent has {gap:.2f} times the "
        "equivalent std of the strongest passive. "
        "By P alone, which follows from the entropies, it is polarised (P = 0.93). "
        "Budget: 3,000 steps; settled: no latent changed label since step 1,800, over the last "
        "fifth the largest move of an entropy was 0.06 nats (latent 1; settled up to 0.1 nats) "
        "and R rose by 0.005 (settled below 0.01)."
    )


@pytest.mark.parametrize(
    ("settled", "start", "why"),
    [
        (True, "Collapsed: 0 of 2 latents are active", "and training has settled."),
        (False, "Untrained: 0 of 2 latents are active", "and training has not settled."),
    ],
)
def test_a_model_that_explains_nothing_is_explained(
    evaluation_of: Evaluations, settled: bool, start: str, why: str
) -> None:
    final = evaluation_of(100, [0.01, 0.0], explained=0.01, settled=settled)

    text = explained(final)

    assert text.startswith(start)
    assert f"The model explains nothing (R = 0.01 +- 0.01, needed: 0.05), {why}" in text


def test_every_flaw_is_explained_in_its_own_words(evaluation_of: Evaluations) -> None:
    final = evaluation_of(100, [1.5, 1.4, 0.26, 0.24], usage=[40, 0, 0, 5], carried=0.6)

    text = explained(final)

    assert text.startswith("Forming: 3 of 4 latents are active")
    assert (
        "the decoder hardly uses 2 latents that are active by entropy (1, 2); with more steps"
    ) in text
    assert (
        "the active latents alone bring 60.0% of what all latents add to R, needed: 95%." in text
    )
    gap = equivalent_std(0.26) / equivalent_std(0.24)
    assert f"has {gap:.2f} times the equivalent std of the strongest passive, needed: 2." in text


def test_the_prior_of_an_ivae_is_shown_beside_r(evaluation_of: Evaluations) -> None:
    final = evaluation_of(100, [1.5, 0.0])
    of_an_ivae = final.verdict.model_copy(update={"explained_by_prior": 0.02})

    assert "Its prior alone, which knows u, explains 0.02." in explain_regime(
        final.latents, of_an_ivae
    )


def test_of_bare_codes_the_explanation_says_that_nothing_is_known_of_a_decoder(
    latents_of: Latents,
) -> None:
    latents = labelled(latents_of([1.5, 0.01]), 0.25)

    text = explain_regime(latents, judge(latents, tau_std=0.134, tau_nats=0.25))

    assert text.startswith("Polarised: 1 of 2 latents is active")
    assert "Nothing is known of a decoder, so that the space cannot be called clean." in text
    assert "The groups are apart: the weakest active latent has " in text


def test_what_still_moved_is_explained(evaluation_of: Evaluations) -> None:
    course = [evaluation_of(step, [1.75, 0.5, 0.0]) for step in (1800, 2400)]

    text = explained(*course, evaluation_of(3000, [1.75, 0.125, 0.0]))

    assert text.endswith(
        "Budget: 3,000 steps; not settled: 1 latent changed label since step 1,800, over the last "
        "fifth the largest move of an entropy was 0.38 nats (latent 1; settled up to 0.1 nats) "
        "and R rose by 0.00 (settled below 0.01). More steps may change the verdict."
    )


def test_r_that_fell_is_explained(evaluation_of: Evaluations) -> None:
    course = [evaluation_of(step, [1.75, 0.0], explained=0.8) for step in (1800, 2400)]

    text = explained(*course, evaluation_of(3000, [1.75, 0.0], explained=0.5))

    assert "and R fell by 0.30 (settled below 0.01)" in text


def test_a_latent_that_was_idle_is_explained(evaluation_of: Evaluations) -> None:
    idle = evaluation_of(1800, [1.75, 1.5, 0.0], usage=[30.0, 0.01, 0.0])
    course = [evaluation_of(step, [1.75, 1.5, 0.0]) for step in (2400, 3000)]

    text = explained(idle, *course)

    assert (
        "not settled: no latent changed label since step 1,800, "
        "1 latent was idle at some evaluation since then, "
    ) in text


def test_the_plateau_before_learning_is_explained(evaluation_of: Evaluations) -> None:
    course = [evaluation_of(step, [0.01, 0.0], explained=0.0, std=0.1) for step in (250, 400, 500)]

    assert "what the latents say has not faded, so that learning may be yet to start" in explained(
        *course, steps=500
    )


def test_too_few_evaluations_are_explained_without_numbers(evaluation_of: Evaluations) -> None:
    assert explained(evaluation_of(1, [1.75, 0.0]), steps=1).endswith(
        "Budget: 1 step; not settled as far as is known: too few evaluations at the final weight."
    )


def test_numbers_near_a_limit_have_the_digits_that_show_their_side(
    evaluation_of: Evaluations,
) -> None:
    early = [evaluation_of(step, [1.0, 0.6001, 0.2499], explained=0.06) for step in (60, 80)]
    final = evaluation_of(100, [1.0, 0.5, 0.2501], explained=0.04999)

    text = explained(*early, final, steps=100)

    assert "the weakest active has 0.2501 nats" in text
    assert "R = 0.04999 +-" in text
    assert "was 0.1001 nats" in text


@unhurried
@given(
    entropies=st.lists(st.floats(0, 10), min_size=1, max_size=40),
    tau=st.floats(0, 10),
    r=st.floats(-5, 1),
    carried=st.floats(-5, 5),
    before=st.integers(1, 10**7 - 1),
    settled=st.booleans(),
)
def test_every_verdict_is_explained_in_one_paragraph(
    evaluation_of: Evaluations,
    entropies: list[float],
    tau: float,
    r: float,
    carried: float,
    before: int,
    settled: bool,
) -> None:
    early = evaluation_of(before, [entropy / 2 for entropy in entropies], tau=tau)
    final = evaluation_of(10**7, entropies, tau=tau, explained=r, carried=carried, settled=settled)

    text = explained(early, final, steps=10**7)

    assert text.startswith(final.verdict.regime.replace("_", "-").capitalize())
    assert f"{final.verdict.n_active} of {len(entropies)} latent" in text
    assert text.count("It is not clean because") == len(final.verdict.flaws)
    assert ("It is clean" in text) == (final.verdict.regime is Regime.CLEAN)
    assert "\n" not in text


@pytest.mark.parametrize(
    ("mean", "std", "is_said"),
    [(0.0, 0.0, True), (3.0, 1e-7, True), (0.0, 1e-7, False), (3.0, 1e-3, False)],
)
def test_a_dead_encoder_is_said_to_be_a_failure_of_training(
    evaluation_of: Evaluations, mean: float, std: float, is_said: bool
) -> None:
    text = explained(evaluation_of(3000, [0.0, 0.0], explained=-0.01, mean=mean, std=std))

    assert ("the encoder has died" in text) is is_said


def test_a_training_that_has_diverged_is_said_to_have_failed(evaluation_of: Evaluations) -> None:
    # A loss of 4e26 was once called a plateau before learning, which more steps may change.
    course = [
        evaluation_of(step, [9.0, 0.0], explained=r, std=1e9)
        for step, r in ((480, -1e20), (640, -1e21), (800, -4e24))
    ]

    text = explained(*course, steps=800)

    assert "The model explains nothing (R = -4e+24 +- 0.01, needed: 0.05)" in text
    assert "training has diverged. That is a failure of training" in text
    assert "yet to start" not in text
    assert text.endswith("More steps hardly mend a training that has failed.")


def test_more_steps_are_no_advice_where_the_encoder_has_died(evaluation_of: Evaluations) -> None:
    course = [
        evaluation_of(step, [0.0, 0.0], explained=r)
        for step, r in ((1800, -0.01), (2400, -0.01), (3000, -0.3))
    ]

    text = explained(*course)

    assert "not settled: " in text
    assert "the encoder has died" in text
    assert text.endswith("More steps hardly mend a training that has failed.")
