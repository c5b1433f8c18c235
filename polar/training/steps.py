"""The steps of a training, the same on every device."""

import torch
from jaxtyping import Int64
from torch import Tensor

from polar.spec import OwnModelSpec
from polar.training.graph import GraphOfStep
from polar.training.inputs import Inputs
from polar.training.meter import Meter
from polar.training.precision import autocast, exact_float32
from polar.training.state import TrainingState


class Steps:
    """Makes steps without waiting for the device.

    What changes from step to step is written into tensors that stay where they are, because a CUDA
    graph reads the same memory at every step.
    """

    def __init__(self, state: TrainingState, inputs: Inputs, meter: Meter) -> None:
        """Nothing is made yet.

        Args:
            state: The state that the steps change.
            inputs: The images to train on, on the device of the model.
            meter: Sums the losses.
        """
        device, batch_size = inputs.images.device, state.spec.training.batch_size
        self._state = state
        self._inputs = inputs
        self._meter = meter
        self._pixels = inputs.images[0].numel()
        self._rows = torch.zeros(batch_size, dtype=torch.int64, device=device)
        self._weight = torch.zeros((), device=device)
        # The Python of a user's model may count its steps; a graph would run it once only.
        is_captured = device.type == "cuda" and not isinstance(state.spec.model, OwnModelSpec)
        self._step = GraphOfStep(self._one, state) if is_captured else self._one

    def make(self, rows: Int64[Tensor, " batch"], weight: float) -> None:
        """Make the next step.

        Args:
            rows: The images of the batch, on the device of the model.
            weight: The weight of the penalty.
        """
        self._rows.copy_(rows)
        self._weight.fill_(weight)
        self._step()
        self._state.step += 1

    def _one(self) -> None:
        state, spec = self._state, self._state.spec
        with exact_float32():
            with autocast(spec.training.precision, self._rows.device):
                losses = state.model.losses(*self._inputs.batch(self._rows), state.noise)
            terms = losses.reconstruction, losses.penalty
            total = spec.model.total(*terms, self._weight, self._pixels)
            state.optimiser.zero_grad()
            torch.autograd.backward(total)
            state.optimiser.step()
        self._meter.add(total, losses)
