from pathlib import Path

import pandas as pd
import pytest

from polar.experiment.run import run
from polar.records.events import Result
from polar.records.sensitivity import Variant
from polar.regime.sensitivity import explain_sensitivity
from polar.spec import ExperimentSpec


@pytest.mark.parametrize("model", ["beta_vae", "ivae", "l2_ae"])
def test_a_run_says_how_far_its_verdict_depends_on_choices(model: str, tmp_path: Path) -> None:
    spec = ExperimentSpec.model_validate(
        {
            "dataset": {"name": "digits", "images": 100},
            "model": {"name": model, "latent_dim": 3, "widths": [4] * 5},
            "training": {"steps": 2, "batch_size": 20},
            "diagnostics": {"information_images": 0},
        }
    )

    result = list(run(spec, out=tmp_path))[-1]

    assert isinstance(result, Result)
    assert result.sensitivity is not None
    verdict, (first, *_) = result.final.verdict, result.sensitivity
    assert [row.variant for row in result.sensitivity] == list(Variant)
    assert (first.images, first.tau_std) == (80, verdict.tau_std)
    assert (first.regime, first.flaws, first.n_active, first.polarisation, first.gap_factor) == (
        verdict.regime,
        verdict.flaws,
        verdict.n_active,
        verdict.polarisation,
        verdict.gap_factor,
    )
    assert explain_sensitivity(result.sensitivity) in result.explanation
    table = pd.read_parquet(tmp_path / "sensitivity.parquet")
    assert table["variant"].tolist() == [variant.value for variant in Variant]
    assert table["regime"].tolist() == [row.regime.value for row in result.sensitivity]
