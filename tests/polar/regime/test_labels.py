import numpy as np
import pytest

from polar.records.latents import Label
from polar.records.measurement import Criterion, CriterionLabel
from polar.regime.codes import Codes, codes
from polar.regime.diagnostics import measure_latents
from polar.regime.labels import applicable, label_latents
from polar.regime.mixed import variance_signals

N = 400
RNG = np.random.default_rng(0)
MEAN = RNG.normal(size=(N, 3)) * [1.0, 0.99, 0.01]
VARIANCE = np.ones((N, 3)) * [0.01, 0.02, 1.0]
NEEDING_A_VARIANCE = {
    Criterion.TWO_SIGNALS,
    Criterion.KL,
    Criterion.CONDITIONAL_PRIOR,
    Criterion.EPSILON_DELTA,
    Criterion.BONHEME,
    Criterion.BONHEME_STRICT,
}
MODELS = {
    "deterministic": codes(MEAN),
    "vae": codes(MEAN, VARIANCE),
    "ivae": codes(MEAN + 3, 0.5 * VARIANCE, 0 * MEAN + 3, 0 * MEAN + 0.5),
}


def labels(of: Codes) -> tuple[CriterionLabel, ...]:
    measures = measure_latents(of, ruler="scaled", sigma=0.5, renyi_alpha=1.01)
    signals = variance_signals(of, renyi_alpha=1.01)
    return label_latents(of, measures, signals, tau=0.25)


def test_a_deterministic_model_has_only_criteria_of_the_mean() -> None:
    applying = set(applicable(MODELS["deterministic"]))

    assert applying >= {Criterion.ENTROPY, Criterion.ENTROPY_ABSOLUTE, Criterion.ACTIVE_UNITS}
    assert not applying & NEEDING_A_VARIANCE


def test_a_vae_and_an_ivae_differ_in_the_prior() -> None:
    vae, ivae = set(applicable(MODELS["vae"])), set(applicable(MODELS["ivae"]))

    # The rulers differ only where the prior is not N(0, 1).
    assert vae - ivae == {Criterion.KL}
    assert ivae - vae == {Criterion.CONDITIONAL_PRIOR, Criterion.ENTROPY_ABSOLUTE}
    assert vae | ivae == set(Criterion)


@pytest.mark.parametrize("model", MODELS)
def test_every_criterion_that_applies_labels_every_latent_once(model: str) -> None:
    of = MODELS[model]

    found = labels(of)

    assert [(one.criterion, one.latent) for one in found] == [
        (criterion, j) for criterion in applicable(of) for j in range(3)
    ]
    assert all(one.margin >= 0 for one in found)
    assert all(one.why.endswith(".") for one in found)


@pytest.mark.parametrize("model", MODELS)
def test_where_the_groups_are_clear_all_criteria_agree(model: str) -> None:
    found = labels(MODELS[model])

    for j, label in enumerate([Label.ACTIVE, Label.ACTIVE, Label.PASSIVE]):
        assert {one.label for one in found if one.latent == j} == {label}


def test_a_deterministic_model_has_no_mixed_latents() -> None:
    is_off = RNG.random((N, 1)) < 0.5
    of = codes(np.where(is_off, 0.0, MEAN))

    assert {one.label for one in labels(of)} <= {Label.ACTIVE, Label.PASSIVE}


@pytest.mark.parametrize("model", MODELS)
def test_the_order_of_the_images_does_not_matter(model: str) -> None:
    of = MODELS[model]
    order = np.random.default_rng(1).permutation(N)
    others = (of.variance, of.prior_mean, of.prior_variance)
    shuffled = codes(of.mean[order], *(None if part is None else part[order] for part in others))

    assert [one.label for one in labels(of)] == [one.label for one in labels(shuffled)]


def test_the_absolute_ruler_labels_by_the_entropy_of_the_codes_as_they_are() -> None:
    u = np.arange(N) % 4
    prior_mean = np.tile(10.0 * u[:, None], (1, 3))
    of_u_alone = codes(prior_mean, VARIANCE, prior_mean, VARIANCE)

    by = {(row.criterion, row.latent): row.label for row in labels(of_u_alone)}

    for j in range(3):
        assert by[Criterion.ENTROPY, j] is Label.PASSIVE
        assert by[Criterion.ENTROPY_ABSOLUTE, j] is Label.ACTIVE
