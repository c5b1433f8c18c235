"""The states of runs, studies and trials, and which state may follow which.

A test takes every arrow of the drawings with the functions of storage and queue, and checks that
they take no others.
"""

from enum import StrEnum


class RunState(StrEnum):
    """The state of a run.

        claimed
        ┌─────────────────────────┐
        │                         ▼
      QUEUED ◄──────────────── RUNNING ──► RUNNING   claimed anew after its lease ran out
        │      released, lost     │
        │                         ├──► SUCCEEDED
        ├──► PRUNED ◄─────────────┤    on a broker's request
        ├──► CANCELLED ◄──────────┤    on a user's request
        └──► FAILED ◄─────────────┘    a fault, or too many losses

    A queued run whose job came to nothing is queued again. No state follows the last four.
    """

    #: No worker holds the run; it may have had attempts before.
    QUEUED = "queued"
    #: One worker holds the run's lease.
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


#: The reasons for which a run waits again that count as the loss of an attempt; too many of them
#: end the run. Whoever was asked to stop, or had a machine that failed, has lost nothing.
LOSSES = frozenset({"lease_lost", "child_killed", "child_orphaned", "no_progress", "oom"})


class FindingsState(StrEnum):
    """The state of the findings of a run that has succeeded.

    TO_COME ──┬──► MADE
       ▲      └──► FAILED ──┐
       └────────────────────┘   asked for again

    """

    #: Nobody has made them yet, or somebody is making them at present.
    TO_COME = "to_come"
    #: All tables, figures and the whole result are there.
    MADE = "made"
    #: They cannot be made, for a reason that the row names; the verdict stands.
    FAILED = "failed"


_STOPPED = {RunState.PRUNED, RunState.FAILED, RunState.CANCELLED}
_AFTER_RUN = dict.fromkeys(RunState, frozenset[RunState]()) | {
    RunState.QUEUED: frozenset({RunState.QUEUED, RunState.RUNNING, *_STOPPED}),
    RunState.RUNNING: frozenset(
        {RunState.QUEUED, RunState.RUNNING, RunState.SUCCEEDED, *_STOPPED}
    ),
}


class StudyState(StrEnum):
    """The state of a study.

               paused
            ┌────────────► PAUSED ──┬──► FAILED      the broker cannot advance it
            │   resumed      │      └──► CANCELLED
         RUNNING ◄───────────┘
            │  ▲
            │  └──────────────────────┐   extended, or its failed trials are tried again
            ├──► COMPLETED ───────────┤
            ├──► FAILED ──────────────┘
            └──► CANCELLED

    No state follows CANCELLED.
    """

    RUNNING = "running"
    #: No new trials begin; trials in flight go on.
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
    """The state of a trial.

      RUNNING ──┬──► COMPLETED ──► SUPERSEDED   its point was completed with more seeds or steps
                ├──► PRUNED
                ├──► FAILED
                └──► CANCELLED

    A point that is tried again becomes a new trial, so no state follows the others.
    """

    RUNNING = "running"
    COMPLETED = "completed"
    #: The broker stopped the trial's runs early.
    PRUNED = "pruned"
    FAILED = "failed"
    CANCELLED = "cancelled"
    #: The trial was completed, and then another trial of its point with more seeds or steps.
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
    """Whether the new state of a study or trial is the old one, or may follow it."""
    return new is old or new in old.next_states
