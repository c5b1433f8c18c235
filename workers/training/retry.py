"""What becomes of a run after each kind of end of an attempt: a pure decision.

- Polar refused (`dataset_corrupt`, `diverged`, ...), or there is a bug: the run fails, since
  another attempt would fail as well.
- The machine failed (memory, disk), or the child died without a word: another attempt, so long
  as not too many were lost.
- The child was told to stop: cancelled, or another attempt, which is not counted as a loss.

That the run has got another owner is no end that could be decided here: see `RunLost`.
"""

import signal
from dataclasses import dataclass
from enum import StrEnum

from service.exit_codes import CHILD_ORPHANED, CHILD_STOPPED
from service.storage.states import RunState
from workers.training.messages import BUG, MACHINE_FAULT, Failure


class StopReason(StrEnum):
    """Why the agent told the child to stop; the value is the reason that the run gets."""

    USER = "user"
    AGENT_STOPPED = "agent_stopped"
    #: It could not be renewed in time: soon another worker may take the run.
    LEASE_AT_RISK = "lease_at_risk"


_WHY_STOPPED = {
    StopReason.AGENT_STOPPED: "its agent was told to stop",
    StopReason.LEASE_AT_RISK: "its agent could not reach the database in time",
}


@dataclass(frozen=True, kw_only=True)
class Ending:
    """How an attempt ended."""

    #: The child's; negative: the signal that ended it; None: there never was a child.
    exit_code: int | None = None
    #: The child's `Result` has come, and with it everything else.
    has_result: bool = False
    #: The child's last word, if it had one.
    failure: Failure | None = None
    #: What the agent wanted, if it told the child to stop.
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
    """Another attempt goes on from the newest checkpoint."""

    reason: str
    message: str
    #: Counts against the attempts that may be lost.
    is_loss: bool = False


def decide(ending: Ending, *, losses: int, max_attempts: int) -> Finish | Again:
    """What becomes of a run whose attempt ended so, and that had lost so many attempts before."""
    failure, code = ending.failure, ending.exit_code
    if ending.has_result:
        return Finish(RunState.SUCCEEDED)
    if ending.stopped_for is StopReason.USER:
        return Finish(RunState.CANCELLED, "requested", "cancelled or pruned: its row says which")
    if failure and failure.error != MACHINE_FAULT:
        return Finish(RunState.FAILED, failure.error, failure.message)
    if ending.stopped_for:
        return _again(ending.stopped_for, _WHY_STOPPED[ending.stopped_for])
    if code == CHILD_STOPPED:
        return _again("child_stopped", "somebody sent its child a SIGTERM")
    if failure:
        return _lost(failure.error, failure.message, losses + 1, max_attempts)
    if code == CHILD_ORPHANED:
        return _lost("child_orphaned", "its child lost its agent", losses + 1, max_attempts)
    if code is not None and code < 0:
        what = f"its child was killed by {_name_of_signal(-code)}"
        what += f"; the end of its log:\n{ending.log_tail}" if ending.log_tail.strip() else ""
        return _lost("child_killed", what, losses + 1, max_attempts)
    message = f"the child left with code {code}, without a result and without a reason:\n"
    return Finish(RunState.FAILED, BUG, message + ending.log_tail)


def _lost(reason: str, what: str, losses: int, max_attempts: int) -> Finish | Again:
    if losses < max_attempts:
        return _again(reason, what, is_loss=True)
    message = f"{losses} attempts were lost; the last: {what}"
    return Finish(RunState.FAILED, "attempts_exhausted", message)


def _again(reason: str, what: str, *, is_loss: bool = False) -> Again:
    message = f"the attempt ended: {what}; the run goes on from its newest checkpoint"
    return Again(reason, message, is_loss)


def _name_of_signal(number: int) -> str:
    match number:
        case signal.SIGKILL:
            return "SIGKILL (the kernel does so when memory runs out)"
        case signal.SIGALRM:
            return "SIGALRM (its own alarm: for too long it heard nothing from its agent)"
        case _:
            return signal.strsignal(number) or f"signal {number}"
