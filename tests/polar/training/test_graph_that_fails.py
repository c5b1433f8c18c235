"""A step that cannot be captured is made kernel by kernel; here on the CPU, by a fake of CUDA."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import pytest
import torch

from polar.spec import ExperimentSpec
from polar.training.graph import GraphOfStep
from polar.training.inputs import Inputs
from polar.training.meter import Meter
from polar.training.state import TrainingState, fresh
from polar.training.steps import Steps

CPU = torch.device("cpu")
SPEC = ExperimentSpec.model_validate(
    {
        "dataset": {"name": "digits", "images": 40},
        "model": {"latent_dim": 2, "widths": [2, 2, 2, 2, 2]},
        "training": {"steps": 8, "batch_size": 20, "held_out": 0},
    }
)


class Stream:
    def __init__(self, device: torch.device) -> None:
        self.device = device

    def wait_stream(self, other: "Stream") -> None:
        assert other.device == self.device


class Graph:
    #: Whether any of them is.
    is_captured = False

    def register_generator_state(self, noise: torch.Generator) -> None:
        assert noise.device == CPU

    def replay(self) -> None:
        pytest.fail("nothing was captured")


@contextmanager
def capture(_graph: Graph, *, stream: Stream) -> Iterator[None]:
    assert stream.device == CPU
    Graph.is_captured = True
    try:
        yield
    finally:
        Graph.is_captured = False


@pytest.fixture(autouse=True)
def cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.Stream", Stream)
    monkeypatch.setattr("torch.cuda.current_stream", Stream)
    monkeypatch.setattr("torch.cuda.stream", nullcontext)
    monkeypatch.setattr("torch.cuda.CUDAGraph", Graph)
    monkeypatch.setattr("torch.cuda.graph", capture)


def new_steps(state: TrainingState) -> Steps:
    images = (torch.arange(40 * 1024) * 7919 % 251).to(torch.uint8).view(40, 1, 32, 32)
    return Steps(state, Inputs(images, torch.empty(40, 0, dtype=torch.uint8)), Meter(state))


def bits(state: TrainingState) -> list[object]:
    return [
        *(weights.tolist() for weights in state.model.state_dict().values()),
        state.noise.get_state().tolist(),
        state.unreported.tolist(),
        state.step,
    ]


def test_a_capture_that_fails_in_the_middle_leaves_no_trace_in_the_numbers(
    caplog: pytest.LogCaptureFixture,
) -> None:
    plain, waiting = (fresh(SPEC, "digest", CPU) for _ in range(2))
    steps_of_plain, steps_of_waiting = new_steps(plain), new_steps(waiting)
    captures: list[int] = []
    one = steps_of_waiting._one

    def waits() -> None:
        if Graph.is_captured:
            captures.append(waiting.step)
            torch.randn(3, generator=waiting.noise)
            raise RuntimeError("operation not permitted when stream is capturing")
        one()

    steps_of_waiting._step = GraphOfStep(waits, waiting)
    with caplog.at_level(logging.WARNING):
        for steps in (steps_of_plain, steps_of_waiting):
            for _ in range(8):
                steps.make(torch.arange(20), 1.0)

    assert bits(waiting) == bits(plain)
    assert captures == [3]
    (message,) = caplog.messages
    assert message.endswith(
        "without a CUDA graph: operation not permitted when stream is capturing"
    )
