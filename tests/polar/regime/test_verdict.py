import math
from collections.abc import Callable, Sequence
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polar.entropy import gaussian_entropy
from polar.errors import InvalidInput
from polar.records.latents import Flaw, Label, LatentMeasures, Regime, Verdict
from polar.regime.decoding import Decoding
from polar.regime.verdict import judge, labelled

Latents = Callable[[Sequence[float]], tuple[LatentMeasures, ...]]
Decodings = Callable[..., Decoding]

unhurried = settings(deadline=None)  # other processes may have the machine
ENTROPIES = st.lists(st.floats(0, 10), min_size=1, max_size=40)
THRESHOLDS = st.floats(0, 10)


def verdict_on(
    latents: Sequence[LatentMeasures],
    decoding: Decoding | None = None,
    *,
    tau: float = 0.25,
    settled: bool | None = None,
) -> Verdict:
    known = labelled(latents, tau, None if decoding is None else decoding.usage_nats)
    return judge(known, tau_std=0.134, tau_nats=tau, decoding=decoding, settled=settled)


def test_the_verdict_has_the_values_of_its_definition(
    latents_of: Latents, decoding_of: Decodings
) -> None:
    latents = [
        latent.model_copy(update={"equivalent_std": std})
        for latent, std in zip(
            latents_of([2.0, 1.0, 0.25, 0.0]), [1.0, 0.5, 0.125, 0.0], strict=True
        )
    ]
    decoding = decoding_of([5.0, 3.0, 0.0, 0.0], explained=0.5, se=0.02, carried=0.97)

    verdict = verdict_on(latents, decoding, tau=0.25, settled=True)

    assert verdict == Verdict(
        regime=Regime.CLEAN,
        flaws=(),
        paper_regime=Regime.POLARISED,
        tau_std=0.134,
        tau_nats=0.25,
        n_active=2,
        n_passive=2,
        polarisation=0.6875,  # (3/2 - 1/8) / 2
        margin_nats=0.75,
        gap_factor=4.0,
        explained=0.5,
        explained_se=0.02,
        explained_by_prior=None,
        explains_nothing=False,
        sufficiency=0.97,
        n_idle=0,
        clean_polarisation=0.34375,
        settled=True,
    )


# Spectra of trained beta-VAEs on the digits, rounded.
@pytest.mark.parametrize(
    ("entropies", "by_the_paper", "regime"),
    [
        ([1.94] * 8 + [1.48] * 8, Regime.UNDER_REGULARISED, Regime.UNDER_REGULARISED),
        (
            [1.6] * 6 + [0.44, 0.23, 0.23, 0.11] + [0.05] * 6,
            Regime.POLARISED,
            Regime.FORMING,
        ),
        ([1.7] * 3 + [0.05] * 13, Regime.POLARISED, Regime.CLEAN),
        ([0.6, 0.5, 0.4] + [0.24] * 13, Regime.FORMING, Regime.FORMING),
        ([0.009] * 16, Regime.COLLAPSED, Regime.FORMING),
    ],
)
def test_spectra_have_the_regime_that_one_sees(
    latents_of: Latents,
    decoding_of: Decodings,
    entropies: list[float],
    by_the_paper: Regime,
    regime: Regime,
) -> None:
    carried = 0.99 if max(entropies) > 0.25 else 0.0

    verdict = verdict_on(latents_of(entropies), decoding_of([1.0] * 16, carried=carried))

    assert verdict.paper_regime is by_the_paper
    assert verdict.regime is regime


@pytest.mark.parametrize("entropies", [[1.0, 2.0], [0.1, 0.0], [0.0], [1.0]])
def test_without_two_groups_there_is_neither_polarisation_nor_margin_nor_gap(
    latents_of: Latents, entropies: list[float]
) -> None:
    verdict = verdict_on(latents_of(entropies))

    assert verdict.polarisation == 0.0
    assert verdict.margin_nats is None
    assert verdict.gap_factor is None


def test_by_the_paper_polarised_starts_at_one_half(latents_of: Latents) -> None:
    at = verdict_on(latents_of([1.0, 0.5]), tau=0.75)
    below = verdict_on(latents_of([1.0, 0.5000001]), tau=0.75)

    assert (at.polarisation, at.paper_regime) == (0.5, Regime.POLARISED)
    assert below.paper_regime is Regime.FORMING


@pytest.mark.parametrize(("explained", "se"), [(0.0499, 0.0), (0.5, 0.25), (-0.3, 0.01)])
@pytest.mark.parametrize(
    ("settled", "regime"), [(True, Regime.COLLAPSED), (False, Regime.UNTRAINED)]
)
@pytest.mark.parametrize("entropies", [[2.0, 0.0], [2.0, 1.0], [0.0, 0.0]])
def test_a_model_that_explains_nothing_is_collapsed_once_it_has_settled(
    latents_of: Latents,
    decoding_of: Decodings,
    explained: float,
    se: float,
    settled: bool,
    regime: Regime,
    entropies: list[float],
) -> None:
    decoding = decoding_of([1.0, 1.0], explained=explained, se=se)

    verdict = verdict_on(latents_of(entropies), decoding, settled=settled)

    assert verdict.explains_nothing
    assert (verdict.regime, verdict.flaws) == (regime, ())
    assert verdict.sufficiency is None
    assert verdict.clean_polarisation is not None
    assert verdict.clean_polarisation >= 0


def test_entropies_alone_never_call_a_model_collapsed(
    latents_of: Latents, decoding_of: Decodings
) -> None:
    # Latents of a tiny scale, as an L2-AE has by the absolute ruler.
    decoding = decoding_of([30.0, 20.0, 10.0], explained=0.9, carried=0.0)

    verdict = verdict_on(latents_of([0.01, 0.005, 0.002]), decoding, settled=True)

    assert verdict.paper_regime is Regime.COLLAPSED
    assert (verdict.regime, verdict.flaws) == (Regime.FORMING, (Flaw.LEAK,))


@pytest.mark.parametrize(
    ("entropies", "regime"),
    [
        ([0.1, 0.0], Regime.COLLAPSED),
        ([1.0, 0.5], Regime.UNDER_REGULARISED),
        ([1.5, 0.01], Regime.POLARISED),
        ([1.5, 0.3, 0.24], Regime.FORMING),
    ],
)
def test_bare_codes_have_labels_and_a_gap_and_nothing_of_a_decoder(
    latents_of: Latents, entropies: list[float], regime: Regime
) -> None:
    verdict = verdict_on(latents_of(entropies))

    assert verdict.regime is regime
    assert verdict.flaws == ((Flaw.BLURRED,) if regime is Regime.FORMING else ())
    unknown = verdict.model_dump(
        include={
            "explained",
            "explained_se",
            "explained_by_prior",
            "explains_nothing",
            "sufficiency",
            "n_idle",
            "clean_polarisation",
            "settled",
        }
    )
    assert set(unknown.values()) == {None}


def test_latents_that_the_decoder_ignores_are_idle_and_the_space_is_forming(
    latents_of: Latents, decoding_of: Decodings
) -> None:
    # Latents 2 and 3 are noise: as wide as the prior, and the decoder does nothing with them.
    latents, decoding = latents_of([1.5, 1.4, 1.6, 1.7, 0.01]), decoding_of([40, 25, 0.1, -0.2, 0])

    verdict = verdict_on(latents, decoding, settled=True)

    known = labelled(latents, 0.25, decoding.usage_nats)
    assert [latent.is_idle for latent in known] == [False, False, True, True, False]
    assert (verdict.regime, verdict.flaws, verdict.n_idle) == (Regime.FORMING, (Flaw.IDLE,), 2)
    assert verdict.paper_regime is Regime.POLARISED


def test_an_active_latent_is_idle_below_a_five_hundredth_of_the_summed_usage(
    latents_of: Latents,
) -> None:
    # What is negative is not summed: 0.2 % of 1000.
    at, below = labelled(latents_of([1.0] * 4), 0.25, [998.0, 2.0, -50.0, 0.0])[1:3]
    (just_below,) = labelled(latents_of([1.0] * 3), 0.25, [998.0, 1.99, 0.01])[1:2]

    assert not at.is_idle
    assert below.is_idle
    assert just_below.is_idle


def test_a_leak_through_a_passive_latent_keeps_a_space_from_being_clean(
    latents_of: Latents, decoding_of: Decodings
) -> None:
    latents = latents_of([1.5, 1.4, 0.02])

    leaking = verdict_on(latents, decoding_of([40, 25, 20], carried=0.9499))
    sound = verdict_on(latents, decoding_of([40, 25, 20], carried=0.95))

    assert (leaking.regime, leaking.flaws) == (Regime.FORMING, (Flaw.LEAK,))
    assert leaking.sufficiency == 0.9499
    assert sound.regime is Regime.CLEAN


def test_the_gap_is_a_factor_two_between_stds(latents_of: Latents, decoding_of: Decodings) -> None:
    used = decoding_of([40, 25, 0])

    def verdict(passive_std: float) -> Verdict:
        stds = [1.0, 0.2, passive_std]
        return verdict_on(latents_of([gaussian_entropy(std) for std in stds]), used, tau=0.3)

    wide, narrow = verdict(0.0999), verdict(0.1001)

    assert wide.regime is Regime.CLEAN
    assert (narrow.regime, narrow.flaws) == (Regime.FORMING, (Flaw.BLURRED,))
    assert narrow.gap_factor == pytest.approx(0.2 / 0.1001, rel=1e-9)  # root finding


def test_beside_constant_latents_no_gap_is_needed(
    latents_of: Latents, decoding_of: Decodings
) -> None:
    verdict = verdict_on(latents_of([0.3, 0.0]), decoding_of([40, 0]))

    assert verdict.gap_factor is None
    assert verdict.regime is Regime.CLEAN


def test_all_flaws_are_named(latents_of: Latents, decoding_of: Decodings) -> None:
    decoding = decoding_of([40, 0, 20], carried=0.6)

    verdict = verdict_on(latents_of([1.5, 0.26, 0.24]), decoding)

    assert verdict.flaws == (Flaw.IDLE, Flaw.LEAK, Flaw.BLURRED)


def test_equal_actives_beside_silence_are_fully_polarised(latents_of: Latents) -> None:
    # three times 0.1 add up to more than 0.3, so that their mean exceeds their maximum
    verdict = verdict_on(latents_of([0.1, 0.1, 0.1, 0.0]), tau=0.05)

    assert verdict.polarisation == 1.0


@unhurried
@given(
    entropies=ENTROPIES,
    tau=THRESHOLDS,
    explained=st.floats(-10, 1),
    se=st.floats(0, 1),
    carried=st.floats(-10, 10),
    settled=st.booleans(),
    data=st.data(),
)
def test_every_space_has_one_regime_and_numbers_within_bounds(
    latents_of: Latents,
    decoding_of: Decodings,
    entropies: list[float],
    tau: float,
    explained: float,
    se: float,
    carried: float,
    settled: bool,
    data: st.DataObject,
) -> None:
    m = len(entropies)
    usage = data.draw(st.lists(st.floats(-10, 100), min_size=m, max_size=m))
    decoding = decoding_of(usage, explained=explained, se=se, carried=carried)

    verdict = verdict_on(latents_of(entropies), decoding, tau=tau, settled=settled)

    has_passive = min(entropies) <= tau
    claims = {
        Regime.UNTRAINED: verdict.explains_nothing and not settled,
        Regime.COLLAPSED: verdict.explains_nothing and settled,
        Regime.UNDER_REGULARISED: not verdict.explains_nothing and not has_passive,
        Regime.FORMING: not verdict.explains_nothing and has_passive and verdict.flaws != (),
        Regime.CLEAN: not verdict.explains_nothing and has_passive and verdict.flaws == (),
    }
    assert [regime for regime, holds in claims.items() if holds] == [verdict.regime]
    assert (verdict.flaws == ()) == (verdict.regime is not Regime.FORMING)
    assert verdict.n_active + verdict.n_passive == m
    assert verdict.n_idle is not None
    assert 0 <= verdict.n_idle <= verdict.n_active
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

    verdict = verdict_on(latents_of(entropies), tau=tau)

    # a handful of roundings, each of 1e-16 of a number of at most 1
    assert verdict.polarisation == pytest.approx(float(exact), abs=1e-15)


@unhurried
@given(data=st.data(), entropies=ENTROPIES, tau=THRESHOLDS)
def test_the_order_of_the_latents_is_of_no_account(
    latents_of: Latents, data: st.DataObject, entropies: list[float], tau: float
) -> None:
    shuffled = data.draw(st.permutations(entropies))

    verdict = verdict_on(latents_of(entropies), tau=tau)

    assert verdict_on(latents_of(shuffled), tau=tau) == verdict


def test_labels_and_usage_join_the_measures_which_stay(latents_of: Latents) -> None:
    latents = latents_of([2.0, 0.25, 1.0])

    known = labelled(latents, 0.25, [5.0, 0.0, 1.0])

    assert [latent.label for latent in known] == [
        Label.ACTIVE,
        Label.PASSIVE,  # at tau
        Label.ACTIVE,
    ]
    assert [latent.usage_nats for latent in known] == [5.0, 0.0, 1.0]
    added = {"label", "usage_nats", "is_idle"}
    assert tuple(LatentMeasures(**latent.model_dump(exclude=added)) for latent in known) == latents


@pytest.mark.parametrize("tau", [-0.1, math.nan, math.inf])
def test_a_threshold_out_of_range_is_refused(latents_of: Latents, tau: float) -> None:
    with pytest.raises(InvalidInput, match=f"tau is {tau} nats"):
        labelled(latents_of([1.0]), tau)


def test_a_space_without_latents_is_refused() -> None:
    with pytest.raises(InvalidInput, match="0 latents; allowed: at least 1"):
        labelled([], 0.25)


@pytest.mark.slow
def test_noise_on_stds_and_usage_hardly_ever_changes_the_verdict(
    latents_of: Latents, decoding_of: Decodings
) -> None:
    """Planted spaces: used actives, idle ones and passive ones, as apart as the audit saw them."""
    rng = np.random.default_rng(0)
    flips = trials = 0
    for _ in range(60):
        n_active, n_idle, n_passive = rng.integers([1, 0, 1], [8, 3, 8])
        stds = np.concatenate(
            [rng.uniform(0.5, 1.0, n_active + n_idle), rng.uniform(0.01, 0.06, n_passive)]
        )
        usage = np.concatenate(
            [rng.uniform(2.0, 40.0, n_active), rng.uniform(0, 0.002, n_idle + n_passive)]
        )

        def regime(stds: np.ndarray, usage: np.ndarray) -> Regime:
            latents = latents_of([gaussian_entropy(std) for std in stds])
            return verdict_on(latents, decoding_of(usage.tolist())).regime

        planted = regime(stds, usage)
        assert planted is (Regime.FORMING if n_idle else Regime.CLEAN)
        for _ in range(20):
            noisy = regime(
                stds * np.exp(0.1 * rng.standard_normal(len(stds))),
                usage * np.exp(0.2 * rng.standard_normal(len(usage))),
            )
            flips += noisy is not planted
            trials += 1

    # The audit measured 0.1 % on its 39 checkpoints.
    assert flips <= trials / 1000
