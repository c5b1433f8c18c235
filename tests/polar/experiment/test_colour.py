"""A training on pictures in colour counts every value of every pixel."""

from pathlib import Path

import numpy as np
import pytest

import polar
from polar.data import images
from polar.records.events import Result
from polar.spec import ExperimentSpec

SIDE = 32


@pytest.fixture
def discs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("POLAR_DATA_DIR", str(tmp_path / "data"))
    random = np.random.default_rng(0)
    y, x = np.mgrid[:SIDE, :SIDE]
    pictures = np.zeros((60, SIDE, SIDE, 3))
    for picture in pictures:
        centre = random.uniform(8, 24, 2)
        disc = np.clip(6 - np.hypot(y - centre[0], x - centre[1]), 0, 1)
        picture[:] = disc[..., None] * random.uniform(0, 1, 3)
    np.save(tmp_path / "discs.npy", pictures)
    name, _ = polar.add_images(tmp_path / "discs.npy")
    return name


def spec_of(name: str, model: str) -> ExperimentSpec:
    return ExperimentSpec.model_validate(
        {
            "dataset": {"name": "images", "added": name},
            "model": {"name": model, "latent_dim": 3, "widths": [4, 4, 4, 4, 4]},
            "training": {"steps": 30, "batch_size": 20, "held_out": 0},
        }
    )


@pytest.mark.parametrize("model", ["lv_ae", "l2_ae"])
def test_the_loss_of_a_trained_model_is_that_of_what_it_draws(
    discs: str, model: str, tmp_path: Path
) -> None:
    spec = spec_of(discs, model)

    *_, result = polar.run(spec, out=tmp_path / "out", with_findings=False)

    assert isinstance(result, Result)
    assert result.loss_terms is not None
    trained = polar.load(tmp_path / "out")
    pixels = images.load(spec.dataset).images.numpy() / 255
    drawn = trained.decode(trained.encode(pixels).mean).astype(np.float64).clip(1e-12, 1 - 1e-7)
    nats = -(pixels * np.log(drawn) + (1 - pixels) * np.log1p(-drawn)).sum((1, 2, 3)).mean()
    assert result.loss_terms.reconstruction_nats == pytest.approx(nats, rel=1e-4)
    assert result.loss_terms.nats_per_penalty == 3 * SIDE**2  # the loss is a mean over values


def test_a_stopped_training_in_colour_goes_on_to_the_same_bits(discs: str, tmp_path: Path) -> None:
    spec = spec_of(discs, "beta_vae")
    *_, whole = polar.run(spec, with_findings=False)
    seen: list[int] = []

    def stop() -> bool:
        seen.append(1)
        return len(seen) > 12

    list(polar.run(spec, checkpoints=tmp_path, stop=stop, with_findings=False))
    *_, resumed = polar.run(spec, checkpoints=tmp_path, resume_from=tmp_path, with_findings=False)

    assert isinstance(whole, Result)
    assert isinstance(resumed, Result)
    assert resumed.final == whole.final
