"""The terms of a loss: the penalty of each kind of model, and the errors at any weight."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from polar.errors import InvalidInput
from polar.models.lv_ae import volume
from polar.records.certificates import LossTerms
from polar.regime.codes import codes
from polar.regime.loss_terms import measure_loss_terms
from polar.spec import (
    AESpec,
    BetaVAESpec,
    FixedVarianceVAESpec,
    IVAESpec,
    L2AESpec,
    LVAESpec,
    ModelSpec,
)

N, LATENTS, PIXELS = 400, 3, 1024
BETA, FIXED = BetaVAESpec(latent_dim=LATENTS), FixedVarianceVAESpec(latent_dim=LATENTS)
IVAE, LV, L2 = IVAESpec(u=("digit",)), LVAESpec(), L2AESpec()
random = np.random.default_rng(0)
MEANS = random.normal(size=(N, LATENTS)) * [2.0, 1.0, 0.1]
VARIANCES = np.exp(random.normal(size=(N, LATENTS)))
MEAN_IMAGE = random.uniform(400, 500, size=N)
FLOOR = MEAN_IMAGE - random.uniform(100, 150, size=N)
LOSSES = MEAN_IMAGE - random.uniform(0, 100, size=N)


def terms_of(model: ModelSpec, mean: np.ndarray = MEANS, losses: np.ndarray = LOSSES) -> LossTerms:
    variance = VARIANCES if model.is_variational else None
    if isinstance(model, FixedVarianceVAESpec):
        variance = np.full_like(mean, model.variance)
    prior = (np.zeros_like(mean), np.ones_like(mean)) if isinstance(model, IVAESpec) else ()
    terms = measure_loss_terms(
        model, codes(mean, variance, *prior), losses, MEAN_IMAGE, FLOOR, pixels=PIXELS
    )
    assert terms is not None
    return terms


def test_the_reconstruction_is_the_mean_over_the_images() -> None:
    terms = terms_of(BETA)

    assert terms.images == N
    assert terms.reconstruction_nats == pytest.approx(LOSSES.mean())
    assert terms.mean_image_nats == pytest.approx(MEAN_IMAGE.mean())
    assert terms.explainable_nats == pytest.approx((MEAN_IMAGE - FLOOR).mean())
    assert terms.above_collapse_nats(0.0) == pytest.approx((LOSSES - MEAN_IMAGE).mean())


@pytest.mark.parametrize("model", [BETA, IVAE, FIXED])
def test_the_penalty_of_a_variational_model_is_its_divergence_from_the_prior(
    model: ModelSpec,
) -> None:
    variances = np.full_like(MEANS, 0.1) if model is FIXED else VARIANCES
    kl = (MEANS**2 + variances - np.log(variances) - 1).sum(1).mean() / 2

    terms = terms_of(model)

    assert terms.penalty == pytest.approx(kl)
    assert terms.nats_per_penalty == 1.0


def test_the_penalty_of_an_l2_ae_is_the_sum_of_squares() -> None:
    terms = terms_of(L2)

    assert terms.penalty == pytest.approx((MEANS**2).sum(1).mean())
    assert terms.nats_per_penalty == PIXELS


@pytest.mark.parametrize("eta", [0.0, 1.0, 0.3])
def test_the_penalty_of_an_lv_ae_is_the_volume_that_it_trains(eta: float) -> None:
    terms = terms_of(LVAESpec(eta=eta))

    assert terms.penalty == pytest.approx(volume(torch.from_numpy(MEANS), eta).item())
    assert terms.nats_per_penalty == PIXELS


def test_the_error_of_a_volume_is_that_of_the_jackknife() -> None:
    codes_of_all = torch.from_numpy(MEANS)
    left_out = np.array(
        [volume(codes_of_all[np.arange(N) != image], 1.0).item() for image in range(N)]
    )
    jackknife = (N - 1) / N * np.square(left_out - left_out.mean()).sum()

    terms = terms_of(LV)

    # both are of first order: from 100 to 6,400 images they differ by a part of 7 / n or 8 / n
    assert terms.penalty_variance == pytest.approx(jackknife, rel=10 / N)


def test_constant_latents_are_no_part_of_a_volume_s_error() -> None:
    some_constant = MEANS * [1.0, 0.0, 0.0]

    with_eta, without = (terms_of(LVAESpec(eta=eta), some_constant) for eta in (1.0, 0.0))

    assert with_eta.penalty == pytest.approx((1 + MEANS[:, 0].std(ddof=1)) ** (1 / LATENTS))
    assert with_eta.penalty_variance > 0
    assert (without.penalty, without.penalty_variance) == (0.0, 0.0)


@pytest.mark.parametrize("model", [BETA, IVAE, FIXED, L2, LV, LVAESpec(eta=0.0)])
def test_a_collapsed_model_pays_what_total_collapse_pays_at_any_weight(model: ModelSpec) -> None:
    at_prior = np.zeros_like(MEANS)
    known: dict[ModelSpec, np.ndarray] = {BETA: np.ones_like(MEANS), IVAE: np.ones_like(MEANS)}
    variance = known.get(model)
    if model is FIXED:
        variance = np.full_like(MEANS, FIXED.variance)

    terms = measure_loss_terms(
        model, codes(at_prior, variance), MEAN_IMAGE, MEAN_IMAGE, FLOOR, pixels=PIXELS
    )

    assert terms is not None
    for weight in (0.0, 1.0, 1e6):
        assert terms.above_collapse_nats(weight) == pytest.approx(0.0, abs=1e-6)
        assert terms.se_nats(weight) == pytest.approx(0.0, abs=1e-6)


def test_the_collapse_of_fixed_variances_costs_their_divergence() -> None:
    of_one_latent = (0.1 - 1 - math.log(0.1)) / 2

    assert terms_of(FIXED).collapsed_penalty == pytest.approx(LATENTS * of_one_latent)
    assert terms_of(LV).collapsed_penalty == 1.0


@pytest.mark.parametrize("model", [BETA, FIXED, L2, LV])
@given(weight=st.floats(0, 100))
def test_the_loss_at_any_weight_is_the_loss_that_training_minimises(
    model: ModelSpec, weight: float
) -> None:
    terms = terms_of(model)

    trained = model.total(terms.reconstruction_nats, terms.penalty, weight, PIXELS)
    collapsed = model.total(terms.mean_image_nats, terms.collapsed_penalty, weight, PIXELS)

    above_collapse = (trained - collapsed) * terms.nats_per_penalty
    assert terms.above_collapse_nats(weight) == pytest.approx(above_collapse, abs=1e-9)


@given(weight=st.floats(0, 100))
def test_the_error_at_any_weight_is_that_of_the_images_losses(weight: float) -> None:
    squares = np.square(MEANS).sum(1)
    above_collapse = LOSSES - MEAN_IMAGE + weight * PIXELS * squares

    terms = terms_of(L2)

    assert terms.above_collapse_nats(weight) == pytest.approx(above_collapse.mean())
    assert terms.se_nats(weight) == pytest.approx(above_collapse.std(ddof=1) / math.sqrt(N))


def test_samples_of_the_posteriors_are_part_of_the_error() -> None:
    # sampling noise of 20 nats in each of 4 draws adds (20 / 2)^2 to the variance between images
    noisy = LOSSES + 20.0 * random.normal(size=(4, N)).mean(0)

    added = terms_of(BETA, losses=noisy).gain_variance - terms_of(BETA).gain_variance

    # a variance over 400 images is known to about 7 %; the noise also correlates by chance
    assert added == pytest.approx(100 / N, rel=0.7)


def test_a_model_without_a_weight_has_no_terms() -> None:
    assert (
        measure_loss_terms(AESpec(), codes(MEANS), LOSSES, MEAN_IMAGE, FLOOR, pixels=PIXELS)
        is None
    )


def test_arrays_of_other_images_are_refused() -> None:
    with pytest.raises(InvalidInput, match="codes of 400 images with losses of 399; allowed"):
        measure_loss_terms(L2, codes(MEANS), LOSSES[1:], MEAN_IMAGE[1:], FLOOR[1:], pixels=PIXELS)
    with pytest.raises(InvalidInput, match="at least 2"):
        measure_loss_terms(
            L2, codes(MEANS[:1]), LOSSES[:1], MEAN_IMAGE[:1], FLOOR[:1], pixels=PIXELS
        )
