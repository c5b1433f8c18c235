"""Steps on a GPU as one CUDA graph.

A step of a small network is a few hundred kernels, and most of them take less time than their
launch does. A graph launches all of them at once.

Reference: https://docs.pytorch.org/docs/stable/notes/cuda.html#cuda-graphs
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

from polar.training.state import TrainingState

#: Steps before the capture, because libraries set themselves up in their first calls.
EAGER_STEPS = 3

_log = logging.getLogger(__name__)


class GraphOfStep:
    """Makes a step at every call: the first ones kernel by kernel, the others as a graph.

    Both have the same numbers to the last bit. A step that cannot be captured, because it waits
    for the GPU, is made kernel by kernel throughout, and the log says so.
    """

    def __init__(self, step: Callable[[], None], state: TrainingState) -> None:
        """Nothing is made yet.

        Args:
            step: Makes a step from tensors that stay where they are.
            state: What the step changes; its tensors and its noise are on a GPU.
        """
        self._step = step
        self._state = state
        self._graph: torch.cuda.CUDAGraph | None = None
        self._calls = 0
        # PyTorch wants capture, and the steps before it, on a stream other than the default.
        self._stream = torch.cuda.Stream(state.unreported.device)  # type: ignore[no-untyped-call]

    def __call__(self) -> None:
        """Make a step, without waiting for it."""
        if self._calls == EAGER_STEPS:
            self._capture()
        self._calls += 1
        if self._graph is not None:
            self._graph.replay()
            return
        with self._on_own_stream():
            self._step()

    def _capture(self) -> None:
        """Record the kernels of a step, none of which runs."""
        state, graph = self._state, torch.cuda.CUDAGraph()
        noise = state.noise.get_state()
        graph.register_generator_state(state.noise)
        state.optimiser.zero_grad()  # so that the graph has gradients of its own
        try:
            with self._on_own_stream(), torch.cuda.graph(graph, stream=self._stream):
                self._step()
        except RuntimeError as error:
            _log.warning("training goes on without a CUDA graph: %s", error)
            # A generator that was in a capture that failed draws nothing outside of one.
            state.noise = torch.Generator(state.noise.device)
            state.noise.set_state(noise)
        else:
            self._graph = graph

    @contextmanager
    def _on_own_stream(self) -> Iterator[None]:
        """What is inside runs after what was asked for before, and before what comes next."""
        here = torch.cuda.current_stream(self._stream.device)
        self._stream.wait_stream(here)
        with torch.cuda.stream(self._stream):
            yield
        here.wait_stream(self._stream)
