"""When an agent dies or freezes: another takes its run, and the two never work at one time."""

import asyncio
import os
import signal
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text

from service.exit_codes import AGENT_FENCED
from service.storage.states import RunState
from service.storage.tables import Run

if TYPE_CHECKING:
    from tests.processes import Stage
    from tests.workers.conftest import SpecFor


@pytest.fixture
def stage(stage: "Stage") -> "Stage":
    """Leases that are over soon."""
    stage.settings = stage.settings.model_copy(update={"lease_s": 4})
    return stage


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
    assert len([key for key, _ in metrics if key == "train/loss"]) == 80


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

    assert frozen.wait(20) == AGENT_FENCED, stage.log_of(frozen)
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


async def test_a_worker_that_freezes_in_a_transaction_lets_go_of_its_run(stage: "Stage") -> None:
    """One was stopped while it had its run locked, and no other agent could take that run."""
    async with stage.database.transaction() as session:
        allowed = await session.scalar(text("show idle_in_transaction_session_timeout"))

    assert allowed == "15s"  # less than the usual lease


async def test_an_idle_agent_that_was_given_up_takes_runs_again_as_another_worker(
    stage: "Stage", spec_of: "SpecFor"
) -> None:
    """Procrastinate strikes off a worker that was silent; it can fetch no job any more."""
    frozen = stage.start_agent()
    await workers(stage, lambda ages: len(ages) == 1)
    frozen.send_signal(signal.SIGSTOP)
    await workers(stage, lambda ages: ages[0] > stage.settings.heartbeat_over_s)
    other = stage.start_agent()
    await workers(stage, lambda ages: len(ages) == 1 and ages[0] < 1)
    other.send_signal(signal.SIGTERM)
    other.wait(30)

    run_id = await stage.submit(spec_of())
    frozen.send_signal(signal.SIGCONT)

    assert (await stage.end_of(run_id)).state is RunState.SUCCEEDED
    assert frozen.poll() is None, stage.log_of(frozen)


async def workers(stage: "Stage", is_so: Callable[[list[float]], bool]) -> None:
    """Wait until this is true of the ages of the last heartbeats of procrastinate's workers."""
    query = text("select extract(epoch from now() - last_heartbeat) from procrastinate_workers")
    ages: list[float] = []
    async with asyncio.timeout(60):
        while not (ages and is_so(ages)):
            async with stage.database.transaction() as session:
                ages = list(await session.scalars(query))
            await asyncio.sleep(0.02)
