"""The states of runs, studies and trials, and how each may follow another.

A test has the functions of storage and queue walk every arrow of the drawings, and no other.
"""

from enum import StrEnum


class RunState(StrEnum):
    """Where a run stands.

        claimed
        ┌─────────────────────────┐
        │                         ▼
      QUEUED ◄──────────────── RUNNING ──► RUNNING   claimed anew: the lease was over
        │      released, lost     │
        │                         ├──► SUCCEEDED
        ├──► PRUNED ◄─────────────┤    on a broker's request
        ├──► CANCELLED ◄──────────┤    on a user's request
        └──► FAILED ◄─────────────┘    a fault, or too many losses

    A queued run whose job came to nothing is queued again. Nothing follows the last four.
    """

    #: No worker has it; it may have had attempts before.
    QUEUED = "queued"
    #: One worker holds its lease.
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    #: Stopped by a study's broker.
    PRUNED = "pruned"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def next_states(self) -> frozenset["RunState"]:
        """The states that may follow this one."""
        return _AFTER_RUN[self]

    @property
    def is_final(self) -> bool:
        """Whether the run never changes again."""
        return not self.next_states


_STOPPED = {RunState.PRUNED, RunState.FAILED, RunState.CANCELLED}
_AFTER_RUN = dict.fromkeys(RunState, frozenset[RunState]()) | {
    RunState.QUEUED: frozenset({RunState.QUEUED, RunState.RUNNING, *_STOPPED}),
    RunState.RUNNING: frozenset(
        {RunState.QUEUED, RunState.RUNNING, RunState.SUCCEEDED, *_STOPPED}
    ),
}


class StudyState(StrEnum):
    """Where a study stands.

               paused
            ┌────────────► PAUSED ──┬──► FAILED      the broker cannot advance it
            │   resumed      │      └──► CANCELLED
         RUNNING ◄───────────┘
            │  ▲
            │  └──────────────────────┐   extended, or failed trials are tried again
            ├──► COMPLETED ───────────┤
            ├──► FAILED ──────────────┘
            └──► CANCELLED

    Nothing follows CANCELLED.
    """

    RUNNING = "running"
    #: No new trials; those in flight go on.
    PAUSED = "paused"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def next_states(self) -> frozenset["StudyState"]:
        """The states that may follow this one."""
        return _AFTER_STUDY[self]


_AFTER_STUDY = {
    StudyState.RUNNING: frozenset(set(StudyState) - {StudyState.RUNNING}),
    StudyState.PAUSED: frozenset({StudyState.RUNNING, StudyState.FAILED, StudyState.CANCELLED}),
    StudyState.COMPLETED: frozenset({StudyState.RUNNING}),
    StudyState.FAILED: frozenset({StudyState.RUNNING}),
    StudyState.CANCELLED: frozenset[StudyState](),
}


class TrialState(StrEnum):
    """Where a trial stands.

      RUNNING ──┬──► COMPLETED ──► SUPERSEDED   its point was completed with more seeds
                ├──► PRUNED
                ├──► FAILED
                └──► CANCELLED

    A point that is tried again is a new trial, so that nothing follows the others.
    """

    RUNNING = "running"
    COMPLETED = "completed"
    #: Its runs were stopped early by the broker.
    PRUNED = "pruned"
    FAILED = "failed"
    CANCELLED = "cancelled"
    #: It was completed, and so was a later trial of the same point with more seeds.
    SUPERSEDED = "superseded"

    @property
    def next_states(self) -> frozenset["TrialState"]:
        """The states that may follow this one."""
        return _AFTER_TRIAL[self]


_AFTER_TRIAL = dict.fromkeys(TrialState, frozenset[TrialState]()) | {
    TrialState.RUNNING: frozenset(
        {TrialState.COMPLETED, TrialState.PRUNED, TrialState.FAILED, TrialState.CANCELLED}
    ),
    TrialState.COMPLETED: frozenset({TrialState.SUPERSEDED}),
}


def may_become(old: StudyState | TrialState, new: StudyState | TrialState) -> bool:
    """Whether a study or trial may go from the old state to the new one, or stays in it."""
    return new is old or new in old.next_states
