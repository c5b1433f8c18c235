import numpy as np
import torch

from polar.experiment.findings import _diagram
from polar.figures import information_diagram
from polar.regime.codes import codes
from polar.spec import ExperimentSpec
from polar.training.evaluation import evaluation_subset
from polar.training.inputs import Inputs

SPEC = ExperimentSpec.model_validate({"dataset": {"name": "digits"}, "model": {}})


def test_information_of_order_2_below_0_is_drawn() -> None:
    # Half of the images are one image with many codes, the others have one code: of order 2, both
    # together have more entropy than the sum. Runs failed on that after all their training.
    noise = np.random.default_rng(0).integers(0, 256, (50, 1, 32, 32), np.uint8)
    images = torch.from_numpy(np.concatenate([np.zeros_like(noise), noise]))
    latent = np.concatenate([100.0 * np.arange(1, 51), np.zeros(50)])
    subset = evaluation_subset(Inputs(images, torch.empty(100, 0).byte()), SPEC)

    table = _diagram(codes(latent[:, None]), subset, SPEC)["diagram"]

    (row,) = table.to_dict("records")
    assert row["image_entropy_nats"] + row["entropy_nats"] < row["joint_entropy_nats"] - 0.1
    assert information_diagram(table).axes[0].patches
