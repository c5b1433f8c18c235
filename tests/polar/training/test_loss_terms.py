"""The loss terms of real networks, before and after training."""

from typing import Any

import numpy as np
import pytest
import torch

from polar import models
from polar.models.autoencoder import Autoencoder
from polar.records.certificates import LossTerms
from polar.spec import ExperimentSpec, shape_of
from polar.training import seeding
from polar.training.inputs import Inputs, u_sizes
from polar.training.loss_terms import loss_terms
from polar.training.subset import EvaluationSubset, evaluation_subset

IMAGES, SIDE = 40, 32
CPU = torch.device("cpu")
WEIGHTED: list[dict[str, Any]] = [
    {"name": "beta_vae", "beta": 2.0},
    {"name": "ivae", "alpha": 2.0, "u": ["digit"]},
    {"name": "fixed_variance_vae", "beta": 2.0},
    {"name": "lv_ae", "lambda": 0.1},
    {"name": "l2_ae", "gamma": 0.1},
]


def spec_of(model: dict[str, Any]) -> ExperimentSpec:
    return ExperimentSpec.model_validate(
        {
            "dataset": {"name": "digits", "images": IMAGES},
            "model": {"latent_dim": 3, "widths": [4, 4, 4, 4, 4], **model},
            "training": {"batch_size": 8},
        }
    )


def subset_of(spec: ExperimentSpec) -> EvaluationSubset:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (IMAGES, 1, SIDE, SIDE), generator=generator)
    digits = torch.arange(IMAGES) % 10
    u = torch.nn.functional.one_hot(digits, 10)[:, : sum(u_sizes(spec))]
    return evaluation_subset(Inputs(images.to(torch.uint8), u.to(torch.uint8)), spec)


def untrained(spec: ExperimentSpec) -> Autoencoder:
    return models.build(spec.model, shape_of(spec.dataset), u_sizes(spec), seeding.weights(0), CPU)


def terms_of(model: dict[str, Any]) -> LossTerms:
    spec = spec_of(model)
    terms = loss_terms(untrained(spec), subset_of(spec), spec)
    assert terms is not None
    return terms


@pytest.mark.parametrize("model", WEIGHTED, ids=lambda model: model["name"])
def test_the_terms_are_those_of_the_loss_that_training_minimises(model: dict[str, Any]) -> None:
    spec = spec_of(model)
    network, subset = untrained(spec), subset_of(spec)
    rows = torch.arange(IMAGES)
    noise = torch.Generator().manual_seed(1)
    network.eval()
    with torch.no_grad():
        batch = network.losses(*subset.inputs.batch(rows), noise)

    terms = terms_of(model)

    # one sample of each posterior there, four here; the untrained decoder hardly depends on them
    assert terms.reconstruction_nats == pytest.approx(batch.reconstruction.item(), rel=1e-2)
    assert terms.penalty == pytest.approx(batch.penalty.item(), rel=1e-4)
    assert terms.nats_per_penalty == (1.0 if spec.model.is_variational else SIDE**2)
    assert terms.images == IMAGES


@pytest.mark.parametrize("model", WEIGHTED, ids=lambda model: model["name"])
def test_total_collapse_draws_the_mean_of_all_images(model: dict[str, Any]) -> None:
    pixels = subset_of(spec_of(model)).inputs.images.double().numpy() / 255
    mean = pixels.mean(0)
    entropy = -(mean * np.log(mean) + (1 - mean) * np.log1p(-mean)).sum()

    assert terms_of(model).mean_image_nats == pytest.approx(entropy)


def test_a_model_without_a_weight_has_no_terms() -> None:
    spec = spec_of({"name": "ae"})

    assert loss_terms(untrained(spec), subset_of(spec), spec) is None


def test_the_model_goes_on_training_afterwards() -> None:
    spec = spec_of(WEIGHTED[0])
    network = untrained(spec)
    network.train()

    loss_terms(network, subset_of(spec), spec)

    assert network.training
