"""The table of all ends: what becomes of the run."""

import signal

import pytest

from service.exit_codes import CHILD_FAILED, CHILD_ORPHANED, CHILD_STOPPED
from service.storage.states import RunState
from workers.training.messages import Failure
from workers.training.retry import Again, Ending, Finish, StopReason, decide, pause_s

REFUSED = Failure(error="diverged", message="the loss was not finite at step 7")
BUG = Failure(error="bug", message="Traceback ...")
MACHINE = Failure(error="machine_fault", message="No space left on device")
MEMORY = Failure(error="oom", message="can't allocate memory")
CANCEL, LEAVING, LEASE, HUNG = StopReason


@pytest.mark.parametrize(
    ("ending", "state", "reason"),
    [
        # all is there: nothing that comes later matters
        (Ending(exit_code=0, has_result=True), RunState.SUCCEEDED, None),
        (Ending(exit_code=-11, has_result=True), RunState.SUCCEEDED, None),
        (Ending(exit_code=-9, has_result=True, stopped_for=CANCEL), RunState.SUCCEEDED, None),
        # a user's wish, however the child took it
        (Ending(exit_code=CHILD_STOPPED, stopped_for=CANCEL), RunState.CANCELLED, "requested"),
        (Ending(exit_code=-9, stopped_for=CANCEL), RunState.CANCELLED, "requested"),
        (
            Ending(exit_code=CHILD_FAILED, failure=BUG, stopped_for=CANCEL),
            RunState.CANCELLED,
            "requested",
        ),
        # it would happen again
        (Ending(exit_code=CHILD_FAILED, failure=REFUSED), RunState.FAILED, "diverged"),
        (Ending(exit_code=CHILD_FAILED, failure=BUG), RunState.FAILED, "bug"),
        (Ending(exit_code=CHILD_FAILED, failure=BUG, stopped_for=LEAVING), RunState.FAILED, "bug"),
        (Ending(exit_code=-9, failure=BUG), RunState.FAILED, "bug"),
        (Ending(exit_code=-9, failure=BUG, stopped_for=HUNG), RunState.FAILED, "bug"),
        (Ending(failure=BUG), RunState.FAILED, "bug"),
        # nobody knows why, and nothing says that another attempt would fare better
        (Ending(exit_code=0), RunState.FAILED, "bug"),
        (Ending(exit_code=1, log_tail="ImportError"), RunState.FAILED, "bug"),
    ],
)
def test_these_ends_are_final_whatever_was_lost_before(
    ending: Ending, state: RunState, reason: str | None
) -> None:
    for losses in (0, 4):
        decision = decide(ending, losses=losses, max_attempts=5)

        assert isinstance(decision, Finish)
        assert (decision.state, decision.reason) == (state, reason)


@pytest.mark.parametrize(
    ("ending", "reason"),
    [
        (Ending(exit_code=CHILD_STOPPED, stopped_for=LEAVING), "agent_stopped"),
        (Ending(exit_code=-15, stopped_for=LEAVING), "agent_stopped"),
        (Ending(exit_code=-9, stopped_for=LEAVING), "agent_stopped"),
        (Ending(exit_code=CHILD_FAILED, failure=MACHINE, stopped_for=LEAVING), "agent_stopped"),
        (Ending(exit_code=CHILD_STOPPED, stopped_for=LEASE), "lease_at_risk"),
        (Ending(exit_code=-14, stopped_for=LEASE), "lease_at_risk"),
        (Ending(exit_code=CHILD_STOPPED), "child_stopped"),
        (Ending(exit_code=CHILD_FAILED, failure=MACHINE), "machine_fault"),
        (Ending(failure=MACHINE), "machine_fault"),
    ],
)
def test_a_stop_or_a_fault_of_the_machine_is_no_loss_however_often(
    ending: Ending, reason: str
) -> None:
    for losses in (0, 4):
        decision = decide(ending, losses=losses, max_attempts=5)

        assert isinstance(decision, Again)
        assert (decision.reason, decision.is_loss) == (reason, False)


@pytest.mark.parametrize(
    ("ending", "reason", "word"),
    [
        (Ending(exit_code=-9), "child_killed", "SIGKILL"),
        (Ending(exit_code=-11), "child_killed", "Segmentation fault"),
        (Ending(exit_code=-14), "child_killed", "SIGALRM"),
        (Ending(exit_code=-64), "child_killed", "Real-time signal 30|signal 64"),
        (Ending(exit_code=CHILD_ORPHANED), "child_orphaned", "agent"),
        (Ending(exit_code=CHILD_FAILED, failure=MEMORY), "oom", "can't allocate"),
        (Ending(exit_code=-9, stopped_for=HUNG), "no_progress", "nothing had come"),
    ],
)
def test_a_loss_gets_another_attempt_until_too_many_were_lost(
    ending: Ending, reason: str, word: str
) -> None:
    for losses in range(4):
        decision = decide(ending, losses=losses, max_attempts=5)
        assert isinstance(decision, Again)
        assert (decision.reason, decision.is_loss) == (reason, True)
        assert any(option in decision.message for option in word.split("|"))

    last = decide(ending, losses=4, max_attempts=5)

    assert isinstance(last, Finish)
    assert (last.state, last.reason) == (RunState.FAILED, "attempts_exhausted")
    assert "5 attempts" in (last.message or "")
    assert any(option in (last.message or "") for option in word.split("|"))


def test_pauses_after_faults_double_up_to_a_limit() -> None:
    assert [pause_s(faults, 5) for faults in (0, 1, 2, 6, 7, 10_000)] == [5, 10, 20, 320, 600, 600]


def test_only_faults_of_the_machine_are_followed_by_a_pause() -> None:
    endings = [Ending(failure=MACHINE), Ending(failure=MEMORY), Ending(exit_code=-9)]
    decisions = [decide(ending, losses=0, max_attempts=5) for ending in endings]

    pauses = [each.follows_a_fault for each in decisions if isinstance(each, Again)]
    assert pauses == [True, True, False]


def test_the_end_of_the_log_is_all_that_a_silent_child_leaves() -> None:
    ending = Ending(exit_code=1, log_tail="ImportError: no libcudart")

    decision = decide(ending, losses=0, max_attempts=5)

    assert isinstance(decision, Finish)
    assert decision.message is not None
    assert "code 1" in decision.message
    assert decision.message.endswith("ImportError: no libcudart")


def test_a_run_that_may_not_be_lost_at_all_fails_at_the_first_loss() -> None:
    ending = Ending(exit_code=-signal.SIGKILL)

    assert isinstance(decide(ending, losses=0, max_attempts=1), Finish)


def test_a_child_that_was_killed_says_the_end_of_its_log() -> None:
    # torch aborts over a variable that it does not understand, and says so there only.
    ending = Ending(exit_code=-signal.SIGABRT, log_tail="Unrecognized key in TORCH_LOGS")

    decision = decide(ending, losses=0, max_attempts=5)

    assert isinstance(decision, Again)
    assert "Unrecognized key in TORCH_LOGS" in decision.message
