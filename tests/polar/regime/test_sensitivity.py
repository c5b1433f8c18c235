from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polar.records.latents import Flaw, LatentDiagnostics, Regime, Verdict
from polar.records.sensitivity import Sensitivity, Variant, flips
from polar.regime.codes import Codes, codes
from polar.regime.decoding import Decoding, Explained
from polar.regime.diagnostics import measure_latents
from polar.regime.sensitivity import Choices, Decode, explain_sensitivity, sensitivity
from polar.regime.threshold import tau_in_nats
from polar.regime.verdict import judge, labelled
from polar.spec.training import Ruler

unhurried = settings(deadline=None, max_examples=20)  # other processes may have the machine
KERNEL: dict[str, Any] = {"ruler": "scaled", "sigma": 0.5, "renyi_alpha": 1.01, "tau_std": 0.134}


def codes_of(stds: Sequence[float], n: int = 400, *, is_variational: bool = True) -> Codes:
    """Independent Gaussian latents of exactly these stds, on the first half of the images too."""
    half = np.random.default_rng(0).standard_normal((n // 2, len(stds)))
    half = (half - half.mean(axis=0)) / half.std(axis=0)
    mean = np.concatenate([half, -half]) * np.array(stds)
    return codes(mean, np.full_like(mean, 0.5) if is_variational else None)


def verdict_on(
    measured: Codes,
    *,
    ruler: Ruler = "scaled",
    sigma: float = 0.5,
    renyi_alpha: float = 1.01,
    tau_std: float = 0.134,
    usage: Sequence[float] | None = None,
    decode: Decode | None = None,
) -> tuple[tuple[LatentDiagnostics, ...], Verdict]:
    kernel: dict[str, Any] = {"sigma": sigma, "renyi_alpha": renyi_alpha}
    measures = measure_latents(measured, ruler=ruler, **kernel)
    tau_nats = tau_in_nats(tau_std, n=len(measured.mean), **kernel)
    latents = labelled(measures, tau_nats, usage)
    actives = tuple(latent.latent for latent in latents if latent.label == "active")
    decoding = None if decode is None else decode(actives)
    settled = None if decode is None else True
    judged = judge(latents, tau_std=tau_std, tau_nats=tau_nats, decoding=decoding, settled=settled)
    return latents, judged


def decoder_of(usage: Sequence[float], explained: float = 0.8) -> Decode:
    """A decoder whose latents carry R in proportion to their usage."""

    def decode(actives: tuple[int, ...]) -> Decoding:
        return Decoding(
            reconstruction_nats=100.0,
            explained=Explained(explained, 0.01),
            explained_by_prior=None,
            carried_by_actives=sum(usage[j] for j in actives) / sum(usage),
            usage_nats=tuple(usage),
        )

    return decode


def planted(
    stds: Sequence[float], usage: Sequence[float], **options: float
) -> dict[Variant, Sensitivity]:
    measured, decode = codes_of(stds), decoder_of(usage, **options)
    latents, verdict = verdict_on(measured, usage=usage, decode=decode)
    rows = sensitivity(measured, latents, verdict, **KERNEL, decode=decode)
    return {row.variant: row for row in rows}


def test_a_space_whose_groups_are_far_apart_is_clean_under_every_variant() -> None:
    rows = planted([1.0] * 4 + [0.01] * 6, [10.0] * 4 + [0.0] * 6)

    assert list(rows) == list(Variant)
    assert {(row.regime, row.flaws, row.n_active) for row in rows.values()} == {
        (Regime.CLEAN, (), 4)
    }
    assert flips(tuple(rows.values())) == ()


def test_a_used_latent_between_tau_and_twice_tau_makes_the_verdict_fragile() -> None:
    rows = planted([1.0] * 3 + [0.2] + [0.005] * 6, [10.0] * 3 + [5.0] + [0.0] * 6)

    assert rows[Variant.AS_MEASURED].regime is Regime.CLEAN
    assert [row.variant for row in flips(tuple(rows.values()))] == [Variant.DOUBLE_TAU]
    doubled = rows[Variant.DOUBLE_TAU]
    # the three actives that are left carry 30 of 35 nats
    assert (doubled.regime, doubled.flaws, doubled.n_active) == (
        Regime.FORMING,
        (Flaw.LEAK,),
        3,
    )


def test_an_unused_latent_just_below_tau_is_idle_at_half_of_tau() -> None:
    rows = planted([1.0] * 3 + [0.1] + [0.005] * 6, [10.0] * 3 + [0.0] * 7)

    (flipped,) = flips(tuple(rows.values()))
    assert flipped.variant is Variant.HALF_TAU
    assert (flipped.regime, flipped.flaws) == (Regime.FORMING, (Flaw.IDLE,))


def test_a_model_that_explains_nothing_is_collapsed_under_every_variant() -> None:
    rows = planted([0.2] * 3 + [0.01] * 3, [0.1] * 6, explained=0.01)

    assert {row.regime for row in rows.values()} == {Regime.COLLAPSED}


def test_the_ruler_is_reported_and_does_not_make_a_verdict_fragile() -> None:
    small = codes_of([0.01] * 3 + [0.0001] * 3, is_variational=False)
    latents, verdict = verdict_on(small)

    rows = sensitivity(small, latents, verdict, **KERNEL)

    by_variant = {row.variant: row for row in rows}
    assert by_variant[Variant.AS_MEASURED].regime is Regime.POLARISED
    assert by_variant[Variant.OTHER_RULER].ruler == "absolute"
    assert by_variant[Variant.OTHER_RULER].regime is Regime.COLLAPSED
    assert flips(rows) == ()
    assert "By the absolute ruler the space would be collapsed, with 0 active." in (
        explain_sensitivity(rows)
    )


def test_each_variant_changes_one_choice() -> None:
    choices = Choices(101, "scaled", 0.5, 1.01, 0.134)

    assert {variant: choices.under(variant) for variant in Variant} == {
        Variant.AS_MEASURED: choices,
        Variant.HALF_WIDTH: Choices(101, "scaled", 0.25, 1.01, 0.134),
        Variant.DOUBLE_WIDTH: Choices(101, "scaled", 1.0, 1.01, 0.134),
        Variant.HALF_IMAGES: Choices(51, "scaled", 0.5, 1.01, 0.134),
        Variant.OTHER_ORDER: Choices(101, "scaled", 0.5, 2.0, 0.134),
        Variant.HALF_TAU: Choices(101, "scaled", 0.5, 1.01, 0.067),
        Variant.DOUBLE_TAU: Choices(101, "scaled", 0.5, 1.01, 0.268),
        Variant.OTHER_RULER: Choices(101, "absolute", 0.5, 1.01, 0.134),
    }
    assert Choices(1, "scaled", 1.0, 2.0, 0.1).under(Variant.OTHER_ORDER).renyi_alpha == 1.01
    assert Choices(1, "absolute", 1.0, 2.0, 0.1).under(Variant.OTHER_RULER).ruler == "scaled"


def test_half_of_the_images_are_the_first_half() -> None:
    # The last latent varies over the second half alone.
    rng = np.random.default_rng(0)
    mean = rng.standard_normal((400, 3)) * np.array([1.0, 0.01, 1.0])
    mean[:200, 2] = 0.0
    measured = codes(mean, np.full_like(mean, 0.5))
    latents, verdict = verdict_on(measured)

    rows = sensitivity(measured, latents, verdict, **KERNEL)

    counts = {row.variant: row.n_active for row in rows}
    assert (counts[Variant.AS_MEASURED], counts[Variant.HALF_IMAGES]) == (2, 1)


def test_every_set_of_active_latents_is_decoded_once() -> None:
    usage = [10.0] * 3 + [5.0] + [0.0] * 6
    measured, decode = codes_of([1.0] * 3 + [0.2] + [0.005] * 6), decoder_of(usage)
    latents, verdict = verdict_on(measured, usage=usage, decode=decode)
    asked: list[tuple[int, ...]] = []

    def counted(actives: tuple[int, ...]) -> Decoding:
        asked.append(actives)
        return decode(actives)

    sensitivity(measured, latents, verdict, **KERNEL, decode=counted)

    assert sorted(asked) == [(0, 1, 2), (0, 1, 2, 3)]


@unhurried
@given(
    stds=st.lists(st.floats(0, 3), min_size=1, max_size=6),
    usage=st.lists(st.floats(0, 10), min_size=6, max_size=6),
    explained=st.floats(0, 1),
    ruler=st.sampled_from(("scaled", "absolute")),
    sigma=st.floats(0.1, 2),
    renyi_alpha=st.sampled_from((1.0, 1.01, 2.0, 3.0)),
    tau_std=st.floats(0.01, 1),
    is_variational=st.booleans(),
    is_bare=st.booleans(),
)
def test_the_first_row_is_the_verdict(
    stds: list[float],
    usage: list[float],
    explained: float,
    ruler: Ruler,
    sigma: float,
    renyi_alpha: float,
    tau_std: float,
    is_variational: bool,
    is_bare: bool,
) -> None:
    measured = codes_of(stds, n=40, is_variational=is_variational)
    kernel: dict[str, Any] = {
        "ruler": ruler,
        "sigma": sigma,
        "renyi_alpha": renyi_alpha,
        "tau_std": tau_std,
    }
    nats = [rise + 1e-3 for rise in usage[: len(stds)]]
    decode = None if is_bare else decoder_of(nats, explained)
    latents, verdict = verdict_on(
        measured, **kernel, usage=None if is_bare else nats, decode=decode
    )

    first, *others = sensitivity(measured, latents, verdict, **kernel, decode=decode)

    assert first == Sensitivity(
        variant=Variant.AS_MEASURED,
        images=40,
        **kernel,
        regime=verdict.regime,
        flaws=verdict.flaws,
        n_active=verdict.n_active,
        polarisation=verdict.polarisation,
        gap_factor=verdict.gap_factor,
    )
    assert [row.variant for row in others] == list(Variant)[1:]


@pytest.mark.parametrize("value", [0.0, 1e-150, 1e14])
@pytest.mark.parametrize("ruler", ["scaled", "absolute"])
def test_hostile_codes_have_rows_too(value: float, ruler: Ruler) -> None:
    mean = value * np.random.default_rng(0).standard_normal((5, 2))
    measured = codes(mean)
    latents, verdict = verdict_on(measured, ruler=ruler)

    rows = sensitivity(measured, latents, verdict, **KERNEL | {"ruler": ruler})

    assert [row.variant for row in rows] == list(Variant)
    assert explain_sensitivity(rows)


def test_the_sentences_name_what_flips_and_what_stands() -> None:
    fragile = planted([1.0] * 3 + [0.2] + [0.005] * 6, [10.0] * 3 + [5.0] + [0.0] * 6)
    robust = planted([1.0] * 4 + [0.01] * 6, [10.0] * 4 + [0.0] * 6)

    assert explain_sensitivity(tuple(fragile.values())) == (
        "The verdict is fragile: under twice tau the space would be forming (leak), with 3 "
        "active. The verdict stands under half the kernel width, twice the kernel width, half of "
        "the images, order 2, half of tau, with 4 active. By the absolute ruler the space would "
        "be clean, with 4 active."
    )
    assert "fragile" not in explain_sensitivity(tuple(robust.values()))
