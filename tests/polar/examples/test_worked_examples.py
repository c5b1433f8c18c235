"""The worked examples say what their docstrings claim, of models that share no architecture.

Counts have slack: they depend on the seed, and the trainings are shorter here than they are for a
reader, where an argument says so.
"""

from collections.abc import Iterator
from itertools import pairwise

import pytest
import torch

from polar.examples import laplace_vae, pca, sequence_vae, tabular_vae
from polar.records.latents import Label, Regime
from polar.records.measurement import Criterion, Measurement

#: The criteria that need no variance.
OF_BARE_CODES = {Criterion.ENTROPY, Criterion.ENTROPY_ABSOLUTE, Criterion.ACTIVE_UNITS}


@pytest.fixture(autouse=True)
def with_one_thread() -> Iterator[None]:
    """The numbers depend on it, and two tests may share the machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def entropies(measured: Measurement, label: Label) -> list[float]:
    return [latent.judged_entropy_nats for latent in measured.latents if latent.label is label]


def criteria(measured: Measurement) -> set[Criterion]:
    return {label.criterion for label in measured.labels}


def test_principal_components_fall_smoothly_and_have_no_regime() -> None:
    measured = pca.main()

    tau = {threshold.method: threshold.tau_nats for threshold in measured.thresholds}
    nats = [latent.entropy_nats for latent in measured.latents]
    assert measured.verdict.regime is Regime.FORMING
    assert tau["gap"] is None
    assert tau["otsu"] is None
    assert measured.dip is not None
    assert measured.dip.p_value > 0.5
    # Components come by falling variance, and entropy follows it, but for their shapes.
    assert max(later - earlier for earlier, later in pairwise(nats)) < 0.1
    assert nats[0] > 1
    assert nats[-1] < 0.01
    # PCA gives no variances: only rules for deterministic codes apply, and nothing is mixed.
    assert criteria(measured) == OF_BARE_CODES


def test_a_table_polarises_without_any_image() -> None:
    measured = tabular_vae.main()

    assert measured.verdict.regime is Regime.POLARISED
    assert 4 <= measured.verdict.n_active <= 8
    assert measured.verdict.n_active + measured.verdict.n_passive == tabular_vae.LATENTS
    assert min(entropies(measured, Label.ACTIVE)) > 2 * max(entropies(measured, Label.PASSIVE))
    assert measured.entropy_given_label_nats is not None


def test_a_laplace_prior_is_no_obstacle_to_entropy() -> None:
    measured = laplace_vae.main(steps=2000)

    assert measured.verdict.regime is Regime.POLARISED
    assert 4 <= measured.verdict.n_active <= 9
    assert min(entropies(measured, Label.ACTIVE)) > 1
    assert max(entropies(measured, Label.PASSIVE)) < 0.2
    # Its KL divergence is no Gaussian's: nothing that needs one is said.
    assert criteria(measured) == OF_BARE_CODES
    assert {latent.kl_nats for latent in measured.latents} == {None}


def test_a_recurrent_model_is_measured_by_every_criterion() -> None:
    # So early no latent is passive yet: the whole training takes 100 s of a processor.
    measured = sequence_vae.main(steps=150)

    assert len(measured.latents) == sequence_vae.LATENTS
    assert measured.verdict.n_active > 2
    assert max(entropies(measured, Label.ACTIVE)) > 1
    assert criteria(measured) == set(Criterion) - {
        Criterion.CONDITIONAL_PRIOR,
        Criterion.ENTROPY_ABSOLUTE,
    }
    # What says most of its sequence says it with the least doubt.
    loudest = max(measured.latents, key=lambda latent: latent.judged_entropy_nats)
    assert loudest.mean_of_variance is not None
    assert loudest.mean_of_variance < 0.5
