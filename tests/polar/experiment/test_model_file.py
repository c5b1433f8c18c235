"""A trained model that somebody takes home: it encodes and decodes as it did in its run."""

import errno
import json
import shutil
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import polar
from polar.data.images import load as load_images
from polar.errors import InvalidInput
from polar.experiment import model_file
from polar.experiment.trained_model import TrainedModel
from polar.records.events import MODEL_FILE, Result
from polar.spec import ExperimentSpec

MODELS: dict[str, dict[str, Any]] = {
    "beta_vae": {"name": "beta_vae"},
    "gaussian": {"name": "beta_vae", "likelihood": {"name": "gaussian", "std": 0.3}},
    "ivae": {"name": "ivae"},
    "fixed_variance_vae": {"name": "fixed_variance_vae"},
    "lv_ae": {"name": "lv_ae"},
    "l2_ae": {"name": "l2_ae"},
    "ae": {"name": "ae"},
}
IMAGES = 120
#: A file on a disk that is full.
FULL = Path("/dev/full")


def spec_of(model: str) -> ExperimentSpec:
    return ExperimentSpec.model_validate(
        {
            "dataset": {"name": "digits", "images": IMAGES},
            "model": {**MODELS[model], "latent_dim": 3, "widths": [4, 4, 4, 4, 4]},
            "training": {"steps": 12, "batch_size": 20},
            "diagnostics": {"images": 70},
        }
    )


def train(model: str, folder: Path) -> Result:
    *_, result = polar.run(spec_of(model), out=folder, with_findings=False)
    assert isinstance(result, Result)
    return result


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    train("beta_vae", folder)
    return folder


@pytest.fixture(scope="module")
def model(kept: Path) -> TrainedModel:
    return polar.load(kept)


def digits() -> tuple[torch.Tensor, torch.Tensor]:
    dataset = load_images(spec_of("beta_vae").dataset)
    return dataset.images[:70], dataset.factors[:70]


@pytest.mark.parametrize("name", MODELS)
def test_the_codes_are_those_of_the_verdict(name: str, tmp_path: Path) -> None:
    result = train(name, tmp_path)
    images, factors = digits()

    model = polar.load(tmp_path)
    codes = model.encode(images, factors if model.spec.u else None)

    diagnostics = model.spec.diagnostics
    entropies = polar.renyi_entropy(
        codes.in_units_of(diagnostics.ruler).mean,
        sigma=diagnostics.sigma,
        alpha=diagnostics.renyi_alpha,
    )
    assert entropies.nats.tolist() == [
        latent.judged_entropy_nats for latent in result.final.latents
    ]
    assert model.spec == spec_of(name)
    assert model.dataset_digest == result.dataset_digest
    assert model.science_version == result.science_version
    drawn = model.decode(codes.mean)
    assert drawn.shape == (70, 1, 32, 32)
    assert np.isfinite(drawn).all()


def test_a_copy_of_the_file_is_enough(kept: Path, model: TrainedModel, tmp_path: Path) -> None:
    shutil.copy(kept / MODEL_FILE, tmp_path / "mine.safetensors")
    images, _ = digits()

    copied = polar.load(str(tmp_path / "mine.safetensors"))

    assert np.array_equal(copied.encode(images).mean, model.encode(images).mean)


def test_the_same_run_gives_the_same_file(kept: Path, tmp_path: Path) -> None:
    train("beta_vae", tmp_path)

    assert (tmp_path / MODEL_FILE).read_bytes() == (kept / MODEL_FILE).read_bytes()


def test_a_model_that_finds_no_room_on_the_disk_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # safetensors' own error has no number, by which faults of the machine are known
    monkeypatch.setattr(model_file, "written_aside", lambda *_, **__: nullcontext(FULL))

    with pytest.raises(OSError, match="No space left") as raised:
        model_file.save_model({"a": torch.zeros(10_000)}, spec_of("ae"), "d" * 64, tmp_path)

    assert raised.value.errno == errno.ENOSPC


def test_images_may_come_in_every_usual_form(model: TrainedModel) -> None:
    images, _ = digits()
    bytes_ = images.numpy()
    codes = model.encode(images).mean

    for same in (bytes_, bytes_[:, 0], images[:, 0], bytes_ / np.float32(255), images / 255):
        assert np.array_equal(model.encode(same).mean, codes)
    rows = [model.encode(bytes_[i : i + 1]).mean for i in range(3)]
    assert np.allclose(np.concatenate(rows), codes[:3], rtol=1e-5, atol=1e-6)


def test_a_decoder_draws_pixels_by_the_mean_of_its_likelihood(model: TrainedModel) -> None:
    latents = np.array([[0.0, 1.0, -1.0]])

    drawn = model.decode(latents)

    with torch.no_grad():
        logits = model.network.decode(torch.tensor(latents, dtype=torch.float32))
    assert np.allclose(drawn, logits.sigmoid().numpy(), rtol=1e-6)
    assert 0 < drawn.min() < drawn.max() < 1


@pytest.mark.parametrize(
    ("images", "words"),
    [
        (np.zeros((2, 28, 28)), r"images of shape \(2, 28, 28\); allowed: \(n, 32, 32\)"),
        (np.zeros((0, 32, 32)), r"images of shape \(0, 32, 32\)"),
        (np.zeros((2, 3, 32, 32)), r"images of shape \(2, 3, 32, 32\)"),
        (np.full((2, 32, 32), 1.5), "images of float64 from 1.5 to 1.5; allowed: uint8"),
        (np.full((2, 32, 32), np.nan), "images of float64 from nan to nan"),
        (np.zeros((2, 32, 32), int), "images of int64 from 0 to 0; allowed: uint8, or floats"),
    ],
)
def test_other_images_are_refused(model: TrainedModel, images: np.ndarray, words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        model.encode(images)


@pytest.mark.parametrize(
    ("latents", "words"),
    [
        (np.zeros(3), r"latents of shape \(3,\); allowed: \(n, 3\), n at least 1"),
        (np.zeros((2, 4)), r"latents of shape \(2, 4\)"),
        (np.zeros((0, 3)), r"latents of shape \(0, 3\)"),
        (np.full((1, 3), np.inf), "latents hold values that are not finite"),
    ],
)
def test_other_latents_are_refused(model: TrainedModel, latents: np.ndarray, words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        model.decode(latents)


def test_u_is_asked_for_where_the_model_needs_it(model: TrainedModel, tmp_path: Path) -> None:
    train("ivae", tmp_path)
    images, factors = digits()
    conditioned = polar.load(tmp_path)

    one_column = conditioned.encode(images, factors[:, 0]).mean
    assert np.array_equal(one_column, conditioned.encode(images, factors).mean)
    for u, words in (
        (None, "u is missing; this model needs digit"),
        (factors + 10, "digit from 10 to 19; allowed: 0 to 9"),
        (factors[:5], r"u of int64 and shape \(5, 1\); allowed: integers of shape \(70, 1\)"),
        (factors / 2, "u of float32"),
    ):
        with pytest.raises(InvalidInput, match=words):
            conditioned.encode(images, u)
    with pytest.raises(InvalidInput, match=r"u of int64 and shape .*; allowed: .* \(70, 0\)"):
        model.encode(images, factors)


def _entry(folder: Path) -> dict[str, Any]:
    content = (folder / MODEL_FILE).read_bytes()
    length = int.from_bytes(content[:8], "little")
    metadata: dict[str, str] = json.loads(content[8 : 8 + length])["__metadata__"]
    entry: dict[str, Any] = json.loads(metadata["polar"])
    return entry


def _remove(path: Path, _entry: dict[str, Any]) -> None:
    path.unlink()


def _make_folder(path: Path, _entry: dict[str, Any]) -> None:
    path.unlink()
    path.mkdir()


def _write_nonsense(path: Path, _entry: dict[str, Any]) -> None:
    path.write_bytes(b"nonsense")


def _truncate(path: Path, _entry: dict[str, Any]) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def _forget_entry(path: Path, _entry: dict[str, Any]) -> None:
    save_file({"a": torch.zeros(3)}, path)


def _change_spec(path: Path, entry: dict[str, Any]) -> None:
    entry["spec"]["model"]["latent_dim"] = -1
    save_file({"a": torch.zeros(3)}, path, metadata={"polar": json.dumps(entry)})


def _change_weights(path: Path, entry: dict[str, Any]) -> None:
    save_file({"a": torch.zeros(3)}, path, metadata={"polar": json.dumps(entry)})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            _remove,
            "model.safetensors is not there; allowed: the folder of a run that has succeeded",
        ),
        (_make_folder, "model.safetensors cannot be read: "),
        (_write_nonsense, "model.safetensors is not a model of this version"),
        (_truncate, "model.safetensors is not a model of this version"),
        (_forget_entry, "is not a model of this version: 'polar'"),
        (_change_spec, "is not a model of this version: .*latent_dim"),
        (_change_weights, "is not a model of this version: .*Missing key"),
    ],
)
def test_what_is_no_model_is_refused(
    change: Callable[[Path, dict[str, Any]], None], words: str, kept: Path, tmp_path: Path
) -> None:
    shutil.copy(kept / MODEL_FILE, tmp_path / MODEL_FILE)
    change(tmp_path / MODEL_FILE, _entry(kept))

    with pytest.raises(InvalidInput, match=f"(?s){words}"):
        polar.load(tmp_path)
