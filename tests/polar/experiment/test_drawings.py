"""The drawings of a model are what its decoder gives."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from polar.data import images
from polar.experiment.drawings import QUANTILES, drawings
from polar.models.likelihood import pixel_means
from polar.spec import ExperimentSpec
from polar.training.evaluation import as_codes, encode, measured
from polar.training.inputs import inputs
from polar.training.state import fresh
from polar.training.subset import evaluation_subset

CPU = torch.device("cpu")


def drawn_by(model: str) -> tuple[dict[str, pd.DataFrame], Any, np.ndarray]:
    """The drawings of an untrained model, its decoder as a function, and its mean codes."""
    spec = ExperimentSpec.model_validate(
        {
            "dataset": {"name": "digits", "images": 60},
            "model": {"name": model, "latent_dim": 3, "widths": [4, 4, 4, 4, 4]},
            "training": {"steps": 20, "batch_size": 20, "held_out": 0},
        }
    )
    dataset = images.load(spec.dataset)
    trained = fresh(spec, dataset.digest, CPU).model
    subset = evaluation_subset(inputs(dataset, spec, CPU).training, spec)
    with measured(trained):
        encoding = encode(trained, subset.inputs)
        codes = as_codes(encoding)
        tables = drawings(trained, encoding, codes, subset, spec)

    def decoded(latents: np.ndarray) -> np.ndarray:
        with measured(trained):
            outputs = trained.decode(torch.from_numpy(latents).float())
            return np.round(pixel_means(spec.model.likelihood, outputs).clamp(0, 1).numpy() * 255)

    return tables, decoded, codes.mean


def pixels(table: pd.DataFrame) -> np.ndarray:
    return np.stack([np.frombuffer(each, np.uint8) for each in table["pixels"]]).astype(float)


@pytest.mark.parametrize("model", ["beta_vae", "ivae", "fixed_variance_vae", "lv_ae", "ae"])
def test_reconstructions_stand_beside_their_originals(model: str) -> None:
    tables, decoded, codes = drawn_by(model)

    table = tables["reconstructions"]
    originals = table[table["kind"] == "original"]
    made = table[table["kind"] == "reconstruction"]
    shown = images.load(
        ExperimentSpec.model_validate(
            {
                "dataset": {"name": "digits", "images": 60},
                "model": {},
                "training": {"batch_size": 20},
            }
        ).dataset
    ).images[:10]
    assert (pixels(originals) == shown.flatten(1).numpy()).all()
    expected = decoded(codes[:10]).reshape(10, -1)
    assert np.abs(pixels(made) - expected).max() <= 1  # a value halfway may round either way
    assert originals["image"].tolist() == made["image"].tolist() == list(range(10))


@pytest.mark.parametrize("model", ["beta_vae", "l2_ae"])
def test_a_latent_is_moved_along_its_own_quantiles_and_no_other_is(model: str) -> None:
    tables, decoded, codes = drawn_by(model)

    table = tables["traversals"]
    assert table["latent"].tolist() == np.repeat(range(3), len(QUANTILES)).tolist()
    latents = np.repeat(codes[:1], len(table), axis=0)
    for row, (latent, quantile) in enumerate(zip(table["latent"], table["quantile"], strict=True)):
        latents[row, latent] = np.quantile(codes[:, latent], quantile)
        assert table["value"][row] == pytest.approx(latents[row, latent])
    assert np.abs(pixels(table) - decoded(latents).reshape(len(table), -1)).max() <= 1


def test_samples_are_of_the_prior_and_repeat() -> None:
    tables, _, _ = drawn_by("beta_vae")
    again, _, _ = drawn_by("beta_vae")

    assert len(tables["prior_samples"]) == 40
    assert len(set(tables["prior_samples"]["pixels"])) > 1
    assert tables["prior_samples"].equals(again["prior_samples"])
    assert "prior_samples" in drawn_by("ivae")[0]
    assert "prior_samples" not in drawn_by("lv_ae")[0]
