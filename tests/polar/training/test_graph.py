"""On a GPU a graph of a step gives the same numbers as its kernels do when launched alone."""

import functools
import logging
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import BaseModel

from polar.errors import Diverged
from polar.models import Autoencoder, Encoding, Losses, Sizes
from polar.records.events import Evaluation, Progress
from polar.spec import ExperimentSpec
from polar.spec.training import Precision
from polar.training import checkpoint, graph
from polar.training.evaluation import as_codes, encode, evaluate, measured
from polar.training.inputs import Inputs
from polar.training.loop import train
from polar.training.meter import Meter
from polar.training.state import TrainingState, fresh
from polar.training.steps import Steps
from polar.training.subset import evaluation_subset

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device"),
]

STEPS = 24
MODELS = ["beta_vae", "ivae", "fixed_variance_vae", "lv_ae", "l2_ae", "ae"]
#: More steps than any training here has, so that no graph is made.
NEVER = 10**6


def spec(
    model: str = "beta_vae", precision: Precision = "float32", **training: object
) -> ExperimentSpec:
    rising = {} if model == "ae" else {"weight_warm_up": {"fraction": 0.7}}
    return ExperimentSpec.model_validate(
        {
            "dataset": {"name": "digits", "images": 256},
            "model": {"name": model, "latent_dim": 3, "widths": [8, 8, 16, 16, 32]},
            "training": {
                "steps": STEPS,
                "batch_size": 30,
                "held_out": 0,
                "precision": precision,
                **rising,
                **training,
            },
            "diagnostics": {"images": 100, "information_images": 50},
        }
    )


@functools.cache
def inputs(model: str, device: str = "cuda") -> Inputs:
    """Blurred blots, which a network can learn."""
    noise = torch.rand(256, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    images = torch.nn.functional.interpolate(noise, size=(32, 32), mode="bilinear")
    u = torch.eye(10).byte()[torch.arange(256) % 10]
    return Inputs((images * 255).byte().to(device), u[:, : 10 * (model == "ivae")].to(device))


def new_state(of: ExperimentSpec, device: str = "cuda") -> TrainingState:
    return fresh(of, "digest", torch.device(device))


def go_on(
    state: TrainingState, *, stop_at: int | None = None, folder: Path | None = None
) -> list[Any]:
    data = inputs(state.spec.model.name, state.unreported.device.type)
    stop = None if stop_at is None else lambda: state.step >= stop_at
    subset = evaluation_subset(data, state.spec)
    return list(train(state, data, subset, checkpoints=folder, stop=stop))


def bits(state: TrainingState) -> list[Any]:
    """Everything that the next step depends on."""
    optimiser = state.optimiser.state_dict()["state"]
    return [
        state.step,
        *(weights.tolist() for weights in state.model.state_dict().values()),
        *(value.tolist() for values in optimiser.values() for value in values.values()),
        state.noise.get_state().tolist(),
        state.unreported.tolist(),
        state.reported_step,
        state.evaluations,
    ]


def losses(events: list[Any]) -> list[float]:
    return [event.loss for event in events if isinstance(event, Progress)]


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("model", MODELS)
def test_a_graph_gives_the_bits_of_single_kernels(
    model: str,
    precision: Precision,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    with_graph = new_state(spec(model, precision))
    go_on(with_graph)
    monkeypatch.setattr(graph, "EAGER_STEPS", NEVER)
    without = new_state(spec(model, precision))
    go_on(without)

    assert bits(with_graph) == bits(without)
    assert not caplog.messages  # the capture did not fail


@pytest.mark.parametrize("model", MODELS)
def test_a_run_that_is_stopped_and_resumed_gives_the_bits_of_one_that_was_not(
    model: str, tmp_path: Path
) -> None:
    whole = new_state(spec(model))
    go_on(whole)

    for stop_at in (2, 3, 11, None):  # before, at and after the capture
        state = new_state(spec(model))
        checkpoint.restore(state, tmp_path)
        go_on(state, stop_at=stop_at, folder=tmp_path)

    assert bits(state) == bits(whole)


def test_a_warm_start_is_captured_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    stages = spec(weight_warm_up=None, warm_start=[{"weight": 8.0, "steps": 12}])
    with_graph = new_state(stages)
    go_on(with_graph)
    monkeypatch.setattr(graph, "EAGER_STEPS", NEVER)
    without = new_state(stages)
    go_on(without)

    assert bits(with_graph) == bits(without)


@pytest.mark.filterwarnings("ignore:Synchronization debug mode")
@pytest.mark.parametrize("eager_steps", [graph.EAGER_STEPS, NEVER])
@pytest.mark.parametrize("model", MODELS)
def test_a_steady_step_never_waits_for_the_gpu(
    model: str, eager_steps: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(graph, "EAGER_STEPS", eager_steps)
    state = new_state(spec(model))
    data = inputs(model)
    steps = Steps(state, data, Meter(state))
    rows = torch.arange(30, device="cuda")
    for _ in range(graph.EAGER_STEPS + 2 if eager_steps < NEVER else 5):
        steps.make(rows, 1.0)

    torch.cuda.set_sync_debug_mode("error")
    try:
        for weight in (1.0, 2.0, 2.0):
            steps.make(rows, weight)
    finally:
        torch.cuda.set_sync_debug_mode("default")

    assert math.isfinite(state.unreported.sum().item())


@pytest.mark.parametrize("model", MODELS)
def test_bfloat16_trains_as_float32_does(model: str) -> None:
    float32 = go_on(new_state(spec(model)))
    bfloat16 = go_on(new_state(spec(model, "bfloat16")))

    # bfloat16 keeps 8 bits; sums over pixels and images average the rounding away
    assert losses(bfloat16) == pytest.approx(losses(float32), rel=0.01)
    assert losses(bfloat16) != losses(float32)


@pytest.mark.parametrize("model", ["lv_ae", "l2_ae", "ae"])
def test_models_without_noise_train_as_on_the_cpu(model: str) -> None:
    on_cpu = go_on(new_state(spec(model), "cpu"))
    on_gpu = go_on(new_state(spec(model)))

    # float32 rounds other sums, and 24 steps of Adam enlarge that; TF32 would be off by 1e-3
    assert losses(on_gpu) == pytest.approx(losses(on_cpu), rel=2e-5)


@pytest.mark.parametrize("model", MODELS)
def test_a_model_is_evaluated_as_on_the_cpu(model: str) -> None:
    of, evaluations, means = spec(model), list[Evaluation](), list[torch.Tensor]()
    for device in ("cpu", "cuda"):
        state = new_state(of, device)
        subset = evaluation_subset(inputs(model, device), of)
        evaluations.append(evaluate(state.model, subset, of, STEPS))
        with measured(state.model):
            means.append(torch.from_numpy(as_codes(encode(state.model, subset.inputs)).mean))

    on_cpu, on_gpu = (evaluation.scalars() for evaluation in evaluations)
    assert on_gpu == pytest.approx(on_cpu, rel=1e-4, abs=1e-4)  # rounding of float32
    torch.testing.assert_close(means[1], means[0], rtol=1e-5, atol=1e-6)


class Waiting:
    """A model that looks at its loss at every step."""

    def __init__(self, model: Autoencoder) -> None:
        self.model = model

    def losses(self, images: torch.Tensor, u: torch.Tensor, noise: torch.Generator) -> Losses:
        found: Losses = self.model.losses(images, u, noise)
        assert math.isfinite(found.reconstruction.item())
        return found

    def __getattr__(self, name: str) -> object:
        return getattr(self.model, name)


def test_a_step_that_cannot_be_captured_is_made_all_the_same(
    caplog: pytest.LogCaptureFixture,
) -> None:
    plain, waiting = new_state(spec()), new_state(spec())
    waiting.model = Waiting(waiting.model)  # type: ignore[assignment]
    go_on(plain)

    with caplog.at_level(logging.WARNING):
        go_on(waiting)

    assert bits(waiting) == bits(plain)
    assert len(caplog.messages) == 1
    assert "without a CUDA graph" in caplog.messages[0]


def test_a_graph_notices_a_loss_that_is_not_finite(monkeypatch: pytest.MonkeyPatch) -> None:
    state = new_state(spec())
    go_on(state, stop_at=9)
    torch.nn.init.constant_(next(state.model.parameters()), torch.nan)
    monkeypatch.setattr("polar.training.meter.REPORTS", 1)

    with pytest.raises(Diverged, match="the loss was not finite at step 10"):
        go_on(state)


class Counting(torch.nn.Module):
    """A user's model whose penalty grows with the calls of its Python."""

    class Fields(BaseModel):
        pass

    def __init__(self, _fields: Fields, sizes: Sizes, generator: torch.Generator) -> None:
        super().__init__()
        self.shape = sizes.shape
        weights = 0.03 * torch.randn(sizes.latent_dim, sizes.shape.values, generator=generator)
        self.weights = torch.nn.Parameter(weights)
        self.calls = 0

    def encode(self, images: torch.Tensor, _u: torch.Tensor) -> Encoding:
        return Encoding(images.flatten(1) @ self.weights.T)

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        return (latents @ self.weights).reshape(
            len(latents), self.shape.channels, self.shape.side, self.shape.side
        )

    def losses(self, images: torch.Tensor, u: torch.Tensor, _noise: torch.Generator) -> Losses:
        self.calls += 1  # a graph would do this at its capture only
        codes = self.encode(images, u).mean
        errors = (self.decode(codes) - images).square().sum() / len(images)
        return Losses(errors, self.calls * codes.square().sum(1).mean())


def test_the_python_of_a_users_model_runs_at_every_step() -> None:
    content = spec().model_dump(mode="json")
    content["model"] = {"name": "own", "class": f"{__name__}:Counting", "latent_dim": 3}
    state = new_state(ExperimentSpec.model_validate(content))

    go_on(state)

    assert vars(state.model)["calls"] == STEPS
