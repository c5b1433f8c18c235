from typing import Any

import numpy as np
import pytest
import torch

from polar.data.images import load
from polar.experiment.findings import _diagram, find
from polar.experiment.run import run
from polar.figures import information_diagram
from polar.models import Autoencoder
from polar.records.events import Result
from polar.records.measurement import Criterion
from polar.regime import outliers
from polar.regime.codes import codes
from polar.spec import ExperimentSpec
from polar.spec.training import RULERS
from polar.training.evaluation import evaluate
from polar.training.inputs import Inputs, inputs
from polar.training.state import fresh
from polar.training.subset import evaluation_subset

SPEC = ExperimentSpec.model_validate({"dataset": {"name": "digits"}, "model": {}})


def test_information_of_order_2_below_0_is_drawn() -> None:
    # Half of the images are one image with many codes, the others have one code: of order 2, both
    # together have more entropy than the sum. Runs failed on that after all their training.
    noise = np.random.default_rng(0).integers(0, 256, (50, 1, 32, 32), np.uint8)
    images = torch.from_numpy(np.concatenate([np.zeros_like(noise), noise]))
    latent = np.concatenate([100.0 * np.arange(1, 51), np.zeros(50)])
    content = {**SPEC.model_dump(), "diagnostics": {"ruler": "absolute"}}
    spec = ExperimentSpec.model_validate(content)
    subset = evaluation_subset(Inputs(images, torch.empty(100, 0).byte()), spec)

    table = _diagram(codes(latent[:, None]), subset, spec)["diagram"]

    (row,) = table.to_dict("records")
    assert row["image_entropy_nats"] + row["entropy_nats"] < row["joint_entropy_nats"] - 0.1
    assert information_diagram(table).axes[0].patches


def _spread_the_codes(model: Autoencoder) -> None:
    """Makes half of the latents of an untrained model vary with the images."""
    assert isinstance(model, torch.nn.Module)
    head = model.get_submodule("head" if hasattr(model, "head") else "mean_head")
    assert isinstance(head, torch.nn.Linear)
    with torch.no_grad():
        head.weight[:3] *= 300


@pytest.mark.parametrize("ruler", RULERS)
@pytest.mark.parametrize("model", ["beta_vae", "ivae", "lv_ae"])
def test_the_measurement_of_a_run_has_the_tau_and_the_labels_of_its_last_evaluation(
    model: str, ruler: str
) -> None:
    content: dict[str, Any] = {
        "dataset": {"name": "digits", "images": 200},
        "model": {"name": model, "latent_dim": 6, "widths": [4] * 5},
        "training": {"steps": 1, "batch_size": 50},
        "diagnostics": {"ruler": ruler, "tau_std": 0.05, "information_images": 0},
    }
    spec = ExperimentSpec.model_validate(content)
    cpu = torch.device("cpu")
    dataset = load(spec.dataset, None)
    data = inputs(dataset, spec, cpu).training
    subset = evaluation_subset(data, spec)
    untrained = fresh(spec, dataset.digest, cpu).model
    _spread_the_codes(untrained)
    final = evaluate(untrained, subset, spec, step=1)

    findings = find(untrained, subset, dataset, spec, [final], held_out=subset.first(100))

    measurement, held_out = findings.measurement, findings.held_out
    assert held_out is not None
    assert held_out.images == 100  # whose entropies are the same, as they are the same images
    here, there = held_out.entropies_nats, held_out.training_entropies_nats
    assert here == pytest.approx(there, abs=1e-4)
    assert held_out.largest_difference_nats == pytest.approx(0, abs=1e-4)  # of 32 bits
    of_entropy = [row.label for row in measurement.labels if row.criterion is Criterion.ENTROPY]
    assert measurement.verdict.tau_nats == final.verdict.tau_nats
    assert [row.label for row in measurement.latents] == [row.label for row in final.latents]
    assert of_entropy == [row.label for row in final.latents]
    assert len(set(of_entropy)) == 2


def test_a_run_says_which_images_set_its_scale(monkeypatch: pytest.MonkeyPatch) -> None:
    # No image of the digits is that far out, so any share of the scale is made enough.
    monkeypatch.setattr(outliers, "MOST_SHRINKING", 0.5)
    spec = ExperimentSpec.model_validate(
        {
            "dataset": {"name": "digits", "images": 64},
            "model": {"name": "ae", "latent_dim": 3, "widths": [4, 4, 4, 4, 4]},
            "training": {"steps": 2, "batch_size": 16},
        }
    )

    *_, result = run(spec)

    assert isinstance(result, Result)
    assert "of 52, those farthest out such as image" in result.explanation
