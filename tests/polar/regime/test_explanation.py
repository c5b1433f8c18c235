from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polar.records.events import Evaluation
from polar.regime.polarisation import convergence, explain

Evaluations = Callable[..., Evaluation]

unhurried = settings(deadline=None)  # other processes may have the machine


def test_a_polarised_space_is_explained_with_its_numbers(evaluation_of: Evaluations) -> None:
    early = evaluation_of(2400, [1.75, 1.5, 0.125, 0.0])
    final = evaluation_of(3000, [1.75, 1.5625, 0.125, 0.0])

    text = explain(final, convergence([early, final], 3000), 3000)

    assert text == (
        "Polarised: 2 of 4 latents are active (entropy above tau = 0.25 nats) and 2 passive; "
        "the weakest active has 1.56 nats, the strongest passive has 0.12 nats, "
        "a gap of 1.44 nats. "
        "The two groups are clearly apart: polarisation P = 0.91 (polarised from 0.50). "
        "Decoding the means explains R = 0.80 of the explainable reconstruction loss, "
        "so P * R = 0.73. "
        "Budget: 3,000 steps; converged: since step 2,400 no latent changed label and the largest "
        "move of an entropy was 0.06 nats (latent 1; settled up to 0.1 nats)."
    )


@pytest.mark.parametrize(
    ("entropies", "words"),
    [
        (
            [0.01, 0.0],
            "Collapsed: 0 of 2 latents are active (entropy above tau = 0.25 nats) and 2 passive; "
            "the strongest passive has 0.01 nats. "
            "No group of actives stands out, so polarisation P = 0.00 (polarised from 0.50).",
        ),
        (
            [1.5, 1.75],
            "Under-regularised: 2 of 2 latents are active (entropy above tau = 0.25 nats) and "
            "0 passive; the weakest active has 1.50 nats. "
            "No latent is switched off, so polarisation P = 0.00 (polarised from 0.50).",
        ),
        (
            [0.5, 0.25, 0.375],
            "Forming: 2 of 3 latents are active (entropy above tau = 0.25 nats) and 1 passive; "
            "the weakest active has 0.38 nats, the strongest passive has 0.25 nats, "
            "a gap of 0.12 nats. "
            "The two groups are not yet apart: polarisation P = 0.38 (polarised from 0.50).",
        ),
    ],
)
def test_every_regime_is_explained_in_its_own_words(
    evaluation_of: Evaluations, entropies: list[float], words: str
) -> None:
    final = evaluation_of(100, entropies)

    assert explain(final, convergence([final], 100), 100).startswith(words)


def test_what_still_moved_is_explained(evaluation_of: Evaluations) -> None:
    early = evaluation_of(2400, [1.75, 0.5, 0.0])
    final = evaluation_of(3000, [1.75, 0.125, 0.0])

    text = explain(final, convergence([early, final], 3000), 3000)

    assert text.endswith(
        "Budget: 3,000 steps; not converged: since step 2,400 1 latent changed label and the "
        "largest move of an entropy was 0.38 nats (latent 1; settled up to 0.1 nats). "
        "More steps may change the verdict."
    )


def test_unknown_convergence_is_explained_without_numbers(evaluation_of: Evaluations) -> None:
    final = evaluation_of(1, [1.75, 0.0])

    text = explain(final, convergence([final], 1), 1)

    assert text.endswith(
        "Budget: 1 step; not converged as far as is known: no evaluations cover the last fifth."
    )


def test_a_decoder_without_gain_is_explained(evaluation_of: Evaluations) -> None:
    final = evaluation_of(100, [1.75, 0.0], explained=0.01)

    assert (
        "Decoding the means explains R = 0.01 of the explainable reconstruction loss, "
        "less than 0.02: the decoder draws the mean image."
    ) in explain(final, convergence([final], 100), 100)


def test_numbers_near_a_limit_have_the_digits_that_show_their_side(
    evaluation_of: Evaluations,
) -> None:
    early = evaluation_of(80, [1.0, 0.6001, 0.2499])
    final = evaluation_of(100, [1.0, 0.5, 0.2501], explained=0.01999)

    text = explain(final, convergence([early, final], 100), 100)

    assert "the weakest active has 0.2501 nats" in text
    assert "R = 0.01999 of" in text
    assert "was 0.1001 nats" in text


@unhurried
@given(
    entropies=st.lists(st.floats(0, 10), min_size=1, max_size=40),
    tau=st.floats(0, 10),
    explained=st.floats(0, 1),
    before=st.integers(0, 10**7),
)
def test_every_verdict_is_explained_in_one_paragraph(
    evaluation_of: Evaluations, entropies: list[float], tau: float, explained: float, before: int
) -> None:
    early = evaluation_of(before, [entropy / 2 for entropy in entropies], tau=tau)
    final = evaluation_of(10**7, entropies, tau=tau, explained=explained)

    text = explain(final, convergence([early, final], 10**7), 10**7)

    assert text.startswith(final.verdict.regime.replace("_", "-").capitalize())
    assert f"{final.verdict.n_active} of {len(entropies)} latent" in text
    assert "\n" not in text
