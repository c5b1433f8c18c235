"""Decides, without side effects, what happens to a run when an attempt has ended.

- Polar raised one of its errors (`dataset_corrupt`, `diverged`, ...), or there is a bug: the run
  fails, because another attempt would fail as well.
- The machine failed (folder, disk, device): there is another attempt after a pause, however often.
- There was too little memory, the child hung, or it died without saying why: there is another
  attempt, unless too many were lost, because the spec may be what the machine cannot bear.
- The child was asked to stop: the run is cancelled, or there is another attempt, and this one does
  not count as lost.

A run that has another owner is not decided here; see `RunLost`.
"""

import signal
from dataclasses import dataclass
from enum import StrEnum

from service.exit_codes import CHILD_ORPHANED, CHILD_STOPPED
from service.storage.states import LOSSES, RunState
from workers.training.messages import BUG, MACHINE_FAULT, OOM, Failure


class StopReason(StrEnum):
    """Why the agent asked the child to stop; the value becomes the run's reason."""

    USER = "user"
    AGENT_STOPPED = "agent_stopped"
    #: The lease could not be renewed in time, so another worker may soon take the run.
    LEASE_AT_RISK = "lease_at_risk"
    #: Nothing has come from the child for too long.
    NO_PROGRESS = "no_progress"


#: Failures after which there is another attempt, but for lost ones, and a pause before it.
PAUSED = (MACHINE_FAULT, OOM)
#: Longest pause before a run is tried again, in seconds.
LONGEST_PAUSE_S = 600.0
_WHY_STOPPED = {
    StopReason.AGENT_STOPPED: "the agent was asked to stop",
    StopReason.LEASE_AT_RISK: "the agent could not reach the database in time",
    StopReason.NO_PROGRESS: "nothing had come from the child for too long",
}


@dataclass(frozen=True, kw_only=True)
class Ending:
    """How an attempt ended."""

    #: Exit code of the child; minus the signal's number if a signal ended it; None if no child was
    #: started.
    exit_code: int | None = None
    #: Whether the child has sent its `Result`, which comes after everything else.
    has_result: bool = False
    #: The failure that the child reported, if any.
    failure: Failure | None = None
    #: Why the agent asked the child to stop, if it did.
    stopped_for: StopReason | None = None
    #: The end of the child's log.
    log_tail: str = ""


@dataclass(frozen=True)
class Finish:
    """The run ends for good."""

    state: RunState
    reason: str | None = None
    message: str | None = None


@dataclass(frozen=True)
class Again:
    """Another attempt resumes from the newest checkpoint."""

    reason: str
    message: str

    @property
    def is_loss(self) -> bool:
        """Whether the ended attempt counts as lost."""
        return self.reason in LOSSES

    @property
    def follows_a_fault(self) -> bool:
        """Whether the machine is given a pause first (see `pause_s`)."""
        return self.reason in PAUSED


def pause_s(faults: int, first_s: float) -> float:
    """Seconds before a run is tried again after its machine failed: twice as long each time.

    Args:
        faults: How often the machines of the run have failed lately.
        first_s: The pause after the first time.
    """
    return min(first_s * 2.0 ** min(faults, 30), LONGEST_PAUSE_S)


def decide(ending: Ending, *, losses: int, max_attempts: int) -> Finish | Again:
    """Decide what happens to a run whose attempt has ended.

    Args:
        ending: How the attempt ended.
        losses: How many attempts of the run were lost before.
        max_attempts: Number of lost attempts at which the run fails.
    """
    failure, code = ending.failure, ending.exit_code
    if ending.has_result:
        return Finish(RunState.SUCCEEDED)
    if ending.stopped_for is StopReason.USER:
        return Finish(RunState.CANCELLED, "requested", "cancelled or pruned: its row says which")
    if failure and failure.error not in PAUSED:
        return Finish(RunState.FAILED, failure.error, failure.message)
    if ending.stopped_for is StopReason.NO_PROGRESS:
        return _lost(
            ending.stopped_for, _WHY_STOPPED[ending.stopped_for], losses + 1, max_attempts
        )
    if ending.stopped_for:
        return _again(ending.stopped_for, _WHY_STOPPED[ending.stopped_for])
    if code == CHILD_STOPPED:
        return _again("child_stopped", "the child received a SIGTERM that its agent did not send")
    if failure and failure.error == MACHINE_FAULT:
        return _again(failure.error, failure.message)
    if failure:
        return _lost(failure.error, failure.message, losses + 1, max_attempts)
    if code == CHILD_ORPHANED:
        return _lost("child_orphaned", "the child lost its agent", losses + 1, max_attempts)
    if code is not None and code < 0:
        what = f"the child was killed by {_name_of_signal(-code)}"
        what += f"; the end of its log:\n{ending.log_tail}" if ending.log_tail.strip() else ""
        return _lost("child_killed", what, losses + 1, max_attempts)
    message = f"the child exited with code {code}, without a result and without a reason:\n"
    return Finish(RunState.FAILED, BUG, message + ending.log_tail)


def _lost(reason: str, what: str, losses: int, max_attempts: int) -> Finish | Again:
    if losses < max_attempts:
        return _again(reason, what)
    message = f"{losses} attempts were lost; reason of the last loss: {what}"
    return Finish(RunState.FAILED, "attempts_exhausted", message)


def _again(reason: str, what: str) -> Again:
    message = f"the attempt ended: {what}; the run resumes from its newest checkpoint"
    return Again(reason, message)


def _name_of_signal(number: int) -> str:
    match number:
        case signal.SIGKILL:
            return "SIGKILL (which the kernel sends when memory runs out)"
        case signal.SIGALRM:
            return "SIGALRM (its own alarm, because it heard nothing from its agent for too long)"
        case _:
            return signal.strsignal(number) or f"signal {number}"
