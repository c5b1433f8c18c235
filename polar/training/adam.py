"""Adam by torch's fused kernel, without the compiler that torch's own class imports.

Making a `torch.optim.Adam` imports `torch._dynamo`, with sympy and triton: two seconds of a
processor for what no training here uses. The function below that class imports nothing.

Source: Kingma and Ba 2015, arXiv 1412.6980.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.optim.adam import adam


class Adam:
    """The optimiser of a training; its numbers are those of `torch.optim.Adam` to the bit."""

    def __init__(self, parameters: Iterable[Tensor], learning_rate: float) -> None:
        """Prepare for the first step.

        Args:
            parameters: What the steps change, each of any shape; all need gradients.
            learning_rate: The step size, above 0.
        """
        self._parameters = list(parameters)
        self._learning_rate = learning_rate
        self._state = [
            {
                "step": torch.zeros((), device=parameter.device),
                "exp_avg": torch.zeros_like(parameter),
                "exp_avg_sq": torch.zeros_like(parameter),
            }
            for parameter in self._parameters
        ]

    def zero_grad(self) -> None:
        """Drop all gradients."""
        for parameter in self._parameters:
            parameter.grad = None

    def step(self) -> None:
        """Change the parameters by their gradients; those without a gradient stay as they are."""
        pairs = zip(self._parameters, self._state, strict=True)
        moved = [(parameter, state) for parameter, state in pairs if parameter.grad is not None]
        with torch.no_grad():
            adam(
                [parameter for parameter, _ in moved],
                [parameter.grad for parameter, _ in moved if parameter.grad is not None],
                [state["exp_avg"] for _, state in moved],
                [state["exp_avg_sq"] for _, state in moved],
                [],
                [state["step"] for _, state in moved],
                fused=True,
                amsgrad=False,
                beta1=0.9,
                beta2=0.999,
                lr=self._learning_rate,
                weight_decay=0.0,
                eps=1e-8,
                maximize=False,
            )

    def state_dict(self) -> dict[str, Any]:
        """The moments of every parameter under the names that `torch.optim.Adam` gives them."""
        return {"state": dict(enumerate(self._state))}

    def load_state_dict(self, content: Mapping[str, Any]) -> None:
        """Go on from moments that this class or `torch.optim.Adam` has written.

        That class writes none before the first step, when all are 0.

        Raises:
            KeyError: some are missing.
            ValueError: some are no tensors of the shape that they need.
        """
        has_begun = content["state"] or "param_groups" not in content
        for index, state in enumerate(self._state):
            for name, tensor in state.items():
                saved = content["state"][index][name] if has_begun else torch.zeros_like(tensor)
                if not isinstance(saved, Tensor) or saved.shape != tensor.shape:
                    shape = tuple(tensor.shape)
                    raise ValueError(f"{name} of parameter {index} is no tensor of shape {shape}")
                tensor.copy_(saved)
