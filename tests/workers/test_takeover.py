"""When an agent dies or freezes: another takes its run, and the two never work at one time."""

import os
import signal
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from service.storage.tables import Run, RunState
from workers.agent import FENCED

if TYPE_CHECKING:
    from tests.conftest import Stage
    from tests.workers.conftest import SpecFor


def has_checkpoint(run: Run) -> bool:
    return run.checkpoint is not None


def lease_is_over(run: Run) -> bool:
    return run.lease_until is not None and run.lease_until < datetime.now(UTC)


async def test_an_agent_takes_over_from_one_that_was_killed(
    stage: "Stage", spec_of: "SpecFor"
) -> None:
    run_id = await stage.submit(spec_of(steps=80, checkpoint_every=5))
    first = stage.start_agent()
    await stage.run(run_id, has_checkpoint)
    stage.start_agent()

    first.kill()
    first.wait()

    run = await stage.end_of(run_id)
    assert stage.is_gone(stage.child_of(first))
    assert await stage.history(run_id) == [
        (0, "queued", None),
        (1, "running", None),
        (1, "queued", "lease_lost"),
        (2, "running", None),
        (2, "succeeded", None),
    ]
    assert run.losses == 1
    metrics = await stage.metrics_of(run_id)
    reported_before = [step for (_, step), metric in metrics.items() if metric.attempt == 1]
    assert run.started is not None
    assert 5 <= run.started["step"] <= max(reported_before)
    assert len([key for key, _ in metrics if key == "train/loss_nats"]) == 80


@pytest.mark.parametrize("fate", ["", "holds the interpreter"])
async def test_the_child_of_a_frozen_agent_ends_before_another_agent_may_begin(
    fate: str, stage: "Stage", spec_of: "SpecFor"
) -> None:
    run_id = await stage.submit(spec_of(fate, steps=10_000, checkpoint_every=5))
    frozen = stage.start_agent()
    await stage.run(run_id, has_checkpoint)
    child = stage.child_of(frozen)

    frozen.send_signal(signal.SIGSTOP)

    await stage.run(run_id, lease_is_over)
    assert stage.is_gone(child)


async def test_a_frozen_child_ends_when_it_wakes_too_late(
    stage: "Stage", spec_of: "SpecFor"
) -> None:
    run_id = await stage.submit(spec_of(steps=10_000, checkpoint_every=5))
    frozen = stage.start_agent()
    await stage.run(run_id, has_checkpoint)
    child = stage.child_of(frozen)
    frozen.send_signal(signal.SIGSTOP)
    os.kill(child, signal.SIGSTOP)
    await stage.run(run_id, lease_is_over)
    checkpoints = sorted((stage.settings.artifacts / "runs").rglob("*.pt"))

    os.kill(child, signal.SIGCONT)

    await stage.run(run_id, lambda _: stage.is_gone(child))
    assert sorted((stage.settings.artifacts / "runs").rglob("*.pt")) == checkpoints


async def test_a_woken_agent_changes_nothing_and_ends(stage: "Stage", spec_of: "SpecFor") -> None:
    run_id = await stage.submit(spec_of(steps=10_000, checkpoint_every=5))
    frozen = stage.start_agent()
    await stage.run(run_id, has_checkpoint)
    frozen.send_signal(signal.SIGSTOP)
    stage.start_agent()
    await stage.run(run_id, lambda run: run.attempt == 2 and run.state is RunState.RUNNING)
    before = await stage.history(run_id)

    frozen.send_signal(signal.SIGCONT)

    assert frozen.wait(20) == FENCED, stage.log_of(frozen)
    assert await stage.history(run_id) == before
    newest = (await stage.run(run_id, lambda run: run.attempt == 2)).progress
    await stage.run(run_id, lambda run: run.progress != newest)


async def test_a_machine_that_slept_loses_no_attempt(stage: "Stage", spec_of: "SpecFor") -> None:
    run_id = await stage.submit(spec_of(steps=100, checkpoint_every=5))
    owner = stage.start_agent()
    await stage.run(run_id, has_checkpoint)
    others = [stage.start_agent(), stage.start_agent()]
    for agent in (owner, *others):
        agent.send_signal(signal.SIGSTOP)
    await stage.run(run_id, lease_is_over)

    for agent in (*others, owner):
        agent.send_signal(signal.SIGCONT)

    run = await stage.end_of(run_id)
    assert (run.state, run.losses) == (RunState.SUCCEEDED, 0)
