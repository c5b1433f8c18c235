"""The plain training does the same work as ours, so that comparing their times is fair."""

import argparse
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch

from benchmarks import our_training, plain_training, whole_sweep
from benchmarks.plain_training import VAE
from polar import models, renyi_entropy
from polar.spec import BetaVAESpec, ImageShape
from polar.training import schedule, seeding

WIDTHS = (2, 3, 4, 5, 6)


@pytest.mark.parametrize("side", [32, 64])
def test_the_plain_network_is_ours(side: Literal[32, 64]) -> None:
    spec = BetaVAESpec(latent_dim=3, widths=WIDTHS)
    ours = models.build(spec, ImageShape(1, side), (), seeding.weights(0), torch.device("cpu"))
    plain = VAE(3, WIDTHS, side)
    images, latents = torch.rand(4, 1, side, side), torch.randn(4, 3)

    for theirs, weights in zip(plain.parameters(), ours.parameters(), strict=True):
        theirs.data.copy_(weights.data)

    with torch.no_grad():
        _, mean, log_var = plain(images)
        encoding = ours.encode(images, torch.empty(4, 0))
        torch.testing.assert_close(mean, encoding.mean)
        torch.testing.assert_close(log_var, encoding.log_var)
        torch.testing.assert_close(plain.decoder(latents), ours.decode(latents))


def test_the_plain_loss_at_the_first_step_is_ours_by_the_definition() -> None:
    images = torch.rand(8, 1, 32, 32)
    plain = VAE(3, WIDTHS, 32)
    for weights in plain.parameters():
        weights.data.zero_()  # then each pixel has probability 1/2, and the posterior is the prior

    ((step, loss),) = plain_training.train(
        plain, images, beta=4.0, batch=8, steps=1, learning_rate=1e-3
    )

    assert step == 1
    assert loss.item() == pytest.approx(32 * 32 * np.log(2), rel=1e-6)


def test_the_plain_training_begins_epochs_until_it_has_made_its_steps() -> None:
    trained = plain_training.train(
        VAE(2, WIDTHS, 32), torch.rand(9, 1, 32, 32), beta=1.0, batch=4, steps=5, learning_rate=0.1
    )

    assert [step for step, _ in trained] == [1, 2, 3, 4, 5]


def test_the_plain_entropy_is_ours() -> None:
    x = np.random.default_rng(0).normal(size=(50, 1))

    entropy = renyi_entropy(x)

    # the bound of ours, and the rounding of eigenvalues by the definition
    tolerance = float(entropy.error_bound_nats[0]) + 1e-9
    assert plain_training.entropy(x[:, 0]) == pytest.approx(float(entropy.nats[0]), abs=tolerance)


def test_ours_reports_the_middle_and_the_end_of_the_steps_that_are_timed(
    tmp_path: Path,
) -> None:
    path = f"{tmp_path}/images.npy"
    images = np.random.default_rng(0).integers(256, size=(64, 1, 32, 32), dtype=np.uint8)
    np.save(path, images)
    options = argparse.Namespace(
        images=path, batch=8, steps=8, latents=2, widths=list(WIDTHS), precision="float32"
    )
    told: list[int] = []

    our_training.prepare(options)(told.append)

    assert told == [1, 2, 4, 8]


def test_the_scripts_evaluate_as_often_as_ours_did_when_the_bars_were_set() -> None:
    steps = whole_sweep.evaluation_steps(1000)

    assert len(steps) == 18
    assert steps[-1] == 1000


@pytest.mark.parametrize("dataset", whole_sweep.BARS)
def test_the_script_of_a_sweep_trains_as_ours_does(dataset: str) -> None:
    spec = whole_sweep.spec_of(dataset, 1000)

    assert schedule.weight(spec, 0) == spec.model.weight
    assert (spec.training.batch_size, spec.training.learning_rate) == (
        plain_training.BATCH,
        plain_training.LEARNING_RATE,
    )
    assert isinstance(spec.model, BetaVAESpec)
    assert (spec.model.latent_dim, spec.model.widths) == (
        plain_training.LATENTS,
        plain_training.WIDTHS,
    )
