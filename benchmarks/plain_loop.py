"""A loop as simple as users write it: a DataLoader, Adam, and a look at the loss at every step."""

import time
from collections.abc import Iterator

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from polar.training.inputs import Inputs
from polar.training.state import TrainingState

#: Steps of each measurement.
STEPS = 100


class _Images(Dataset[Tensor]):
    def __init__(self, images: Tensor) -> None:
        self._images = images

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, place: int) -> Tensor:
        return self._images[place].float() / 255


class PlainLoop:
    """Trains the network of a state on its device, with torch's default settings."""

    def __init__(self, state: TrainingState, data: Inputs, batch: int, *, workers: int) -> None:
        self._state = state
        self._device = data.images.device
        self._optimiser = torch.optim.Adam(state.model.parameters(), lr=1e-3)
        self._u = torch.empty(batch, 0, device=self._device)
        loader = DataLoader(
            _Images(data.images.cpu()),
            batch_size=batch,
            shuffle=True,
            drop_last=True,
            num_workers=workers,
            pin_memory=workers > 0,
            persistent_workers=workers > 0,
        )
        self._batches = _without_end(loader)
        self.losses: list[float] = []

    def rate(self) -> float:
        """Makes a hundred steps; returns steps per second."""
        begin = time.perf_counter()
        for _ in range(STEPS):
            images = next(self._batches).to(self._device)
            losses = self._state.model.losses(images, self._u, self._state.noise)
            loss = losses.reconstruction + losses.penalty
            self._optimiser.zero_grad()
            torch.autograd.backward(loss)
            self._optimiser.step()
            self.losses.append(loss.item())
        return STEPS / (time.perf_counter() - begin)


def _without_end(loader: DataLoader[Tensor]) -> Iterator[Tensor]:
    while True:
        yield from loader
