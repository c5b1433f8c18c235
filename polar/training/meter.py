"""Progress of a run: what it reports between evaluations."""

import time

import torch
from jaxtyping import Float
from torch import Tensor

from polar.errors import Diverged
from polar.models import Losses
from polar.records.events import Progress
from polar.training.schedule import steps_per_epoch
from polar.training.state import TrainingState

#: Least number of reports in a whole run. Reports come at fixed steps, never by the clock, because
#: a run that was stopped in between must report the same means.
REPORTS = 100
#: Largest number of steps between two reports.
MOST_STEPS = 100


class Meter:
    """Sums the losses on the device, because fetching them at every step would make it wait."""

    def __init__(self, state: TrainingState) -> None:
        self.spec = state.spec
        self.state = state
        self.first_step = state.step
        self.every = min(max(1, self.spec.training.steps // REPORTS), MOST_STEPS)
        self.trained_s = 0.0
        device = state.unreported.device
        #: Whether all losses since the last report were finite.
        self.finite = torch.tensor(True, device=device)
        #: Steps since the last report up to the first whose loss was not; those before a
        #: checkpoint are known to be finite.
        self.finite_steps = torch.tensor(state.step - state.reported_step, device=device)
        self.restart_clock()

    def add(self, total: Float[Tensor, ""], losses: Losses) -> None:
        """Add the losses of one step to the sums."""
        terms = torch.stack([total, losses.reconstruction, losses.penalty]).detach().double()
        self.state.unreported += terms
        self.finite &= terms.isfinite().all()
        self.finite_steps += self.finite

    def is_due(self) -> bool:
        """Whether the state is at a step that is reported."""
        return self.state.step % self.every == 0

    def check(self) -> None:
        """Refuse losses that are not finite.

        Raises:
            Diverged: a loss was not finite; the message names the step.
        """
        finite_steps = int(self.finite_steps)
        if finite_steps < self.state.step - self.state.reported_step:
            raise Diverged(
                f"the loss was not finite at step {self.state.reported_step + finite_steps + 1}; "
                f"a learning rate below {self.spec.training.learning_rate} may help"
            )

    def report(self) -> Progress:
        """Means of the losses since the last report; at least one step must have been made.

        Raises:
            Diverged: a loss was not finite; the message names the step.
        """
        self.check()
        training, state, step = self.spec.training, self.state, self.state.step
        steps_made = step - state.reported_step
        steps_here = step - max(state.reported_step, self.first_step)
        loss, reconstruction, penalty = (state.unreported / steps_made).tolist()
        seconds = time.perf_counter() - self.clock
        self.trained_s += seconds
        state.reported_step = step
        state.unreported.zero_()
        self.finite.fill_(True)
        self.finite_steps.zero_()
        return Progress(
            step=step,
            steps=training.steps,
            epoch=step / steps_per_epoch(self.spec),
            loss=loss,
            reconstruction_nats=reconstruction,
            penalty=penalty,
            images_per_s=steps_here * training.batch_size / seconds,
            eta_s=self.trained_s / (step - self.first_step) * (training.steps - step),
        )

    def restart_clock(self) -> None:
        """Leave out the time spent on a report, and on the evaluation or checkpoint with it."""
        self.clock = time.perf_counter()
