"""Training in bfloat16 on the CPU: what is rounded, and what is not."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch

from polar.models import lipschitz
from polar.models.lv_ae import LVAE
from polar.records.events import Progress
from polar.spec import ExperimentSpec
from polar.spec.course import course
from polar.spec.training import Precision
from polar.training.evaluation import encode, measured
from polar.training.inputs import Inputs
from polar.training.loop import train
from polar.training.precision import autocast, exact_float32
from polar.training.state import TrainingState, fresh
from polar.training.subset import evaluation_subset

CPU = torch.device("cpu")
BACKENDS: Any = torch.backends  # its types know only a part of it
MODELS = ["beta_vae", "ivae", "fixed_variance_vae", "lv_ae", "l2_ae", "ae"]
IMAGES = (torch.arange(64 * 1024) * 7919 % 251).to(torch.uint8).view(64, 1, 32, 32)
DIGITS = torch.eye(10).byte()[torch.arange(64) % 10]


def spec(model: str = "beta_vae", precision: Precision = "float32") -> ExperimentSpec:
    return ExperimentSpec.model_validate(
        {
            "dataset": {"name": "digits", "images": 64},
            "model": {"name": model, "latent_dim": 2, "widths": [2, 3, 2, 3, 2]},
            "training": {"steps": 6, "batch_size": 16, "held_out": 0, "precision": precision},
            "diagnostics": {"images": 40},
        }
    )


def inputs(model: str) -> Inputs:
    return Inputs(IMAGES, DIGITS[:, : 10 * (model == "ivae")])


def trained(model: str, precision: Precision) -> tuple[TrainingState, list[Any]]:
    of = spec(model, precision)
    state, data = fresh(of, "digest", CPU), inputs(model)
    return state, list(train(state, data, evaluation_subset(data, of)))


@pytest.mark.parametrize("model", MODELS)
def test_bfloat16_trains_nearly_as_float32_does(model: str) -> None:
    (_, float32), (state, bfloat16) = trained(model, "float32"), trained(model, "bfloat16")

    exact, rounded = (
        [event.loss for event in events if isinstance(event, Progress)]
        for events in (float32, bfloat16)
    )
    # bfloat16 keeps 8 bits; sums over pixels and images average the rounding away
    assert rounded == pytest.approx(exact, rel=2e-3)
    assert rounded != exact
    assert all(weights.dtype is torch.float32 for weights in state.model.state_dict().values())


@pytest.mark.parametrize("model", MODELS)
def test_losses_and_latents_are_float32_under_autocast(model: str) -> None:
    of, data = spec(model), inputs(model)
    state = fresh(of, "digest", CPU)
    batch = data.batch(torch.arange(16))

    with autocast("bfloat16", CPU):
        encoding = state.model.encode(*batch)
        losses = state.model.losses(*batch, state.noise)
        drawn = state.model.decode(encoding.mean)

    assert encoding.mean.dtype is torch.float32
    assert losses.reconstruction.dtype is losses.penalty.dtype is torch.float32
    assert drawn.dtype is torch.bfloat16  # so that the decoder was under autocast at all


def test_the_norms_of_a_least_volume_autoencoder_do_not_depend_on_autocast() -> None:
    model = fresh(spec("lv_ae"), "digest", CPU).model
    assert isinstance(model, LVAE)
    layers = [layer for layer in model.decoder if hasattr(layer, "parametrizations")]
    weights = [torch.as_tensor(layer.weight) for layer in layers]

    with autocast("bfloat16", CPU):
        again = [torch.as_tensor(layer.weight) for layer in layers]

    assert len(weights) == 6
    for weight, same in zip(weights, again, strict=True):
        assert torch.equal(weight, same)


def test_a_model_is_measured_in_float32() -> None:
    state, _ = trained("beta_vae", "bfloat16")
    data = inputs("beta_vae")

    with measured(state.model):
        encoding = encode(state.model, data)

    with torch.no_grad():
        mean = state.model.encode(*data.batch(torch.arange(64))).mean
    assert torch.equal(encoding.mean, mean)


def test_precision_decides_the_numbers_so_that_it_is_part_of_the_course() -> None:
    float32, bfloat16 = spec(), spec(precision="bfloat16")

    assert course(float32) != course(bfloat16)
    assert float32.content_hash() != bfloat16.content_hash()


def settings() -> list[object]:
    kinds = BACKENDS.cudnn.conv, BACKENDS.cuda.matmul, BACKENDS.mkldnn.conv, BACKENDS.mkldnn.matmul
    cudnn = BACKENDS.cudnn
    precisions = [kind.fp32_precision for kind in kinds]
    return [*precisions, cudnn.enabled, cudnn.deterministic, cudnn.benchmark]


@contextmanager
def changed(owner: Any, name: str, value: object) -> Iterator[None]:  # noqa: ANN401
    before = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)


@pytest.fixture
def rounding() -> Iterator[None]:
    """A program that lets torch round what it can, by the older settings and by the newer."""
    torch.set_float32_matmul_precision("medium")
    with (
        changed(BACKENDS.mkldnn.conv, "fp32_precision", "bf16"),
        changed(BACKENDS.cudnn, "benchmark", True),
    ):
        yield
    torch.set_float32_matmul_precision("highest")


@pytest.mark.usefixtures("rounding")
def test_float32_is_exact_inside_only() -> None:
    inside: list[object] = []

    def fail() -> None:
        with exact_float32():
            inside.extend(settings())
            raise InterruptedError

    with pytest.raises(InterruptedError):
        fail()

    assert inside == ["ieee"] * 4 + [True, True, False]
    assert settings() == ["tf32", "tf32", "bf16", "bf16", True, False, True]
    assert torch.get_float32_matmul_precision() == "medium"


@pytest.mark.usefixtures("rounding")
def test_what_a_program_has_set_rounds_nothing_of_ours() -> None:
    x, images = torch.randn(64, 64), torch.randn(8, 16, 16, 16)
    kernel = torch.randn(16, 16, 3, 3)

    with exact_float32():
        product, convolution = x @ x, torch.conv2d(images, kernel)

    # 24 bits of sums of 64 and 144 products of numbers about 1; bfloat16 has 8, and is used on
    # processors that multiply it fast
    torch.testing.assert_close(product.double(), x.double() @ x.double(), rtol=0, atol=1e-4)
    expected = torch.conv2d(images.double(), kernel.double())
    torch.testing.assert_close(convolution.double(), expected, rtol=0, atol=1e-4)


@pytest.mark.usefixtures("rounding")
def test_models_are_made_trained_and_measured_where_float32_is_exact(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[list[object]] = []

    def recording(function: Callable[..., Any]) -> Callable[..., Any]:
        def recorded(*arguments: Any) -> Any:  # noqa: ANN401
            seen.append(settings()[:4])
            return function(*arguments)

        return recorded

    for name in ("constrain", "iterate"):  # when a model is made, and at each step
        monkeypatch.setattr(lipschitz, name, recording(getattr(lipschitz, name)))
    for name in ("encode", "decode"):
        monkeypatch.setattr(LVAE, name, recording(getattr(LVAE, name)))

    trained("lv_ae", "float32")

    assert len(seen) > 6 * 3
    assert all(precisions == ["ieee"] * 4 for precisions in seen)


def test_a_program_may_use_the_newer_settings_alone() -> None:
    with (
        changed(BACKENDS.cuda.matmul, "fp32_precision", "tf32"),
        changed(BACKENDS.cudnn.conv, "fp32_precision", "ieee"),
    ):
        trained("ae", "float32")
