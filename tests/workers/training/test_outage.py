"""The database goes away and comes back, while an agent is at work or idle."""

import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest

from service.embedded.postgres import Postgres
from service.storage.migrate import upgrade
from service.storage.roles import Role, make_roles
from service.storage.states import RunState
from service.storage.tables import Run

if TYPE_CHECKING:
    from tests.processes import Stage
    from tests.workers.conftest import SpecFor


@pytest.fixture
def server() -> Iterator[Postgres]:
    """A server that only this test uses, so that it can be stopped."""
    home = Path(tempfile.mkdtemp(prefix="polar-"))
    home.chmod(0o755)  # as root, Postgres runs as another user, who must get in
    with Postgres(home) as server:
        yield server
    shutil.rmtree((home / "postgres").resolve())
    shutil.rmtree(home)


@pytest.fixture
def database_url(server: Postgres) -> str:
    with psycopg.connect(server.url("postgres"), autocommit=True) as admin:
        make_roles(admin, server.passwords)
        admin.execute("CREATE DATABASE app")
    upgrade(server.url("app"))
    return server.url("app")


@pytest.fixture
def agents_url(server: Postgres) -> str:
    return server.url("app", Role.AGENT)


@pytest.fixture
def app_url(database_url: str, server: Postgres) -> str:  # noqa: ARG001 (which makes it)
    return server.url("app", Role.APP)


LEFT_IN_TIME = [
    (0, "queued", None),
    (1, "running", None),
    (1, "queued", "lease_at_risk"),
    (2, "running", None),
    (2, "succeeded", None),
]


def is_at_work(run: Run) -> bool:
    return run.checkpoint is not None


async def test_a_restart_of_the_database_interrupts_no_training(
    server: Postgres, stage: "Stage", spec_of: "SpecFor"
) -> None:
    run_id = await stage.submit(spec_of(steps=80, checkpoint_every=5))
    stage.start_agent()
    await stage.run(run_id, is_at_work)

    server.stop()
    server.start()

    run = await stage.end_of(run_id)
    assert (run.state, run.attempt) == (RunState.SUCCEEDED, 1)
    metrics = await stage.metrics_of(run_id)
    assert len([key for key, _ in metrics if key == "train/loss"]) == 80


async def test_in_a_long_outage_the_child_saves_and_leaves_and_the_run_goes_on_later(
    server: Postgres, stage: "Stage", spec_of: "SpecFor"
) -> None:
    stage.settings = stage.settings.model_copy(update={"lease_s": 4})
    run_id = await stage.submit(spec_of(steps=200, checkpoint_every=1000))
    first = stage.start_agent()
    await stage.run(run_id, lambda run: run.progress is not None)

    server.stop()
    await stage.until(lambda: stage.is_gone(stage.child_of(first)))
    server.start()

    run = await stage.end_of(run_id)
    assert await stage.history(run_id) == LEFT_IN_TIME
    assert run.losses == 0
    metrics = await stage.metrics_of(run_id)
    assert len([key for key, _ in metrics if key == "train/loss"]) == 200
    # What the child told while nobody listened is there, too: its steps, and its last checkpoint.
    assert run.started is not None
    assert run.started["step"] == max(step for (_, step), m in metrics.items() if m.attempt == 1)


async def test_a_database_that_is_silent_counts_as_away(
    server: Postgres, stage: "Stage", spec_of: "SpecFor"
) -> None:
    stage.settings = stage.settings.model_copy(update={"lease_s": 4})
    run_id = await stage.submit(spec_of(steps=200, checkpoint_every=1000))
    first = stage.start_agent()
    await stage.run(run_id, lambda run: run.progress is not None)
    frozen = processes_of(server)

    send_all(frozen, signal.SIGSTOP)
    try:
        await stage.until(lambda: stage.is_gone(stage.child_of(first)))
    finally:
        send_all(frozen, signal.SIGCONT)

    run = await stage.end_of(run_id)
    assert await stage.history(run_id) == LEFT_IN_TIME
    assert run.losses == 0


async def test_an_agent_leaves_when_told_though_the_database_is_away(
    server: Postgres, stage: "Stage", spec_of: "SpecFor"
) -> None:
    stage.settings = stage.settings.model_copy(update={"grace_s": 0.5})
    run_id = await stage.submit(spec_of(steps=10_000))
    agent = stage.start_agent()
    await stage.run(run_id, is_at_work)
    server.stop()

    agent.send_signal(signal.SIGTERM)

    assert agent.wait(30) == -signal.SIGALRM, stage.log_of(agent)
    assert stage.is_gone(stage.child_of(agent))


async def test_an_idle_agent_that_lost_the_database_takes_runs_again_without_a_restart(
    server: Postgres, stage: "Stage", spec_of: "SpecFor"
) -> None:
    agent = stage.start_agent()
    await stage.announcement()

    server.stop()
    await stage.until(lambda: "the queue's worker has ended" in stage.log_of(agent))
    server.start()

    assert (await stage.end_of(await stage.submit(spec_of()))).state is RunState.SUCCEEDED
    assert agent.poll() is None, stage.log_of(agent)


def processes_of(server: Postgres) -> list[int]:
    """The postmaster, then those that work for it."""
    with psycopg.connect(server.url("postgres")) as connection:
        pids = [pid for (pid,) in connection.execute("select pid from pg_stat_activity")]
    return [server.process.pid, *pids]


def send_all(pids: list[int], number: signal.Signals) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)
