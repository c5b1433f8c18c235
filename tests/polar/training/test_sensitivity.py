"""The sensitivity of a run: the verdict as measured first, and no image decoded without need."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch

from polar.records.sensitivity import Variant
from polar.spec import ExperimentSpec
from polar.training.decoding import Decoder
from polar.training.evaluation import as_codes, encode, evaluate, measured
from polar.training.inputs import Inputs
from polar.training.sensitivity import run_sensitivity
from polar.training.state import fresh
from polar.training.subset import evaluation_subset

U = torch.eye(10).byte().repeat(10, 1)


@pytest.mark.parametrize("model", [{}, {"name": "ivae", "u": ["digit"]}, {"name": "ae"}], ids=str)
def test_only_what_the_active_latents_carry_is_decoded_again(
    model: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = ExperimentSpec.model_validate(
        {
            "dataset": {"name": "digits", "images": 100},
            "model": {"latent_dim": 3, "widths": [4, 4, 4, 4, 4], **model},
            "training": {"batch_size": 25},
        }
    )
    images = torch.randint(0, 256, (100, 1, 32, 32), dtype=torch.uint8)
    subset = evaluation_subset(Inputs(images, U if spec.u else U[:, :0]), spec)
    trained = fresh(spec, "digest", torch.device("cpu")).model
    final = evaluate(trained, subset, spec, step=1)
    decoded, carried = [], []
    losses, carried_by = Decoder._losses, Decoder.carried_by

    def counted(decoder: Decoder, latents: torch.Tensor) -> np.ndarray:
        decoded.append(latents)
        return losses(decoder, latents)

    def remembered(decoder: Decoder, actives: Sequence[int], with_all: np.ndarray) -> float:
        carried.append(tuple(actives))
        return carried_by(decoder, actives, with_all)

    monkeypatch.setattr(Decoder, "_losses", counted)
    monkeypatch.setattr(Decoder, "carried_by", remembered)
    with measured(trained):
        encoding = encode(trained, subset.inputs)
        decoder = Decoder.of(trained, encoding, subset, spec.model.likelihood)
        rows = run_sensitivity(as_codes(encoding), decoder, spec, final)

    first, verdict = rows[0], final.verdict
    assert len(carried) == len(set(carried))
    # all latents once, and for each set of actives none of them, and these if they are not all
    assert len(decoded) == 1 + sum(1 if len(actives) == 3 else 2 for actives in carried)
    assert first.variant is Variant.AS_MEASURED
    assert (first.regime, first.flaws, first.n_active, first.polarisation, first.gap_factor) == (
        verdict.regime, verdict.flaws, verdict.n_active, verdict.polarisation, verdict.gap_factor
    )  # fmt: skip
