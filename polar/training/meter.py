"""What a run reports between evaluations."""

import time

import torch

from polar.errors import Diverged
from polar.events import Progress
from polar.models import Losses
from polar.spec import ExperimentSpec
from polar.training.schedule import steps_per_epoch

#: Seconds between reports.
REPORT_EVERY_S = 1.0


class Meter:
    """Sums losses on the device, since fetching them at every step would make it wait."""

    def __init__(self, spec: ExperimentSpec, step: int, device: torch.device) -> None:
        self.spec = spec
        self.device = device
        self.first_step = self.reported_step = step
        self.trained_s = 0.0
        self.restart_clock()
        self._restart_sums()

    def add(self, losses: Losses) -> None:
        """Count the losses of one step."""
        terms = torch.stack([losses.total, losses.reconstruction, losses.kl]).detach().double()
        self.sums += terms
        self.finite &= terms.isfinite().all()
        self.finite_steps += self.finite

    def is_due(self) -> bool:
        """Whether the last report is long enough ago."""
        return time.perf_counter() - self.clock >= REPORT_EVERY_S

    def has_news(self, step: int) -> bool:
        """Whether a step was made since the last report."""
        return step > self.reported_step

    def report(self, step: int) -> Progress:
        """The means of the losses since the last report; there must have been a step since.

        Raises:
            Diverged: a loss was not finite; the message names the step.
        """
        training, steps_made = self.spec.training, step - self.reported_step
        finite_steps = int(self.finite_steps)
        if finite_steps < steps_made:
            raise Diverged(
                f"the loss was not finite at step {self.reported_step + finite_steps + 1}; "
                f"a learning rate below {training.learning_rate} may help"
            )
        loss, reconstruction, kl = (self.sums / steps_made).tolist()
        seconds = time.perf_counter() - self.clock
        self.trained_s += seconds
        self.reported_step = step
        self._restart_sums()
        return Progress(
            step=step,
            steps=training.steps,
            epoch=step / steps_per_epoch(self.spec),
            loss_nats=loss,
            reconstruction_nats=reconstruction,
            kl_nats=kl,
            images_per_s=steps_made * training.batch_size / seconds,
            eta_s=self.trained_s / (step - self.first_step) * (training.steps - step),
        )

    def restart_clock(self) -> None:
        """Leave out the time that went into a report and what came with it."""
        self.clock = time.perf_counter()

    def _restart_sums(self) -> None:
        self.sums = torch.zeros(3, dtype=torch.float64, device=self.device)
        self.finite = torch.tensor(True, device=self.device)
        self.finite_steps = torch.tensor(0, device=self.device)
