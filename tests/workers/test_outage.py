"""The database goes away and comes back, while an agent is at work or idle."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest

from service.embedded.postgres import Postgres
from service.storage.migrate import upgrade
from service.storage.tables import Run, RunState
from workers.agent import ENDED

if TYPE_CHECKING:
    from tests.conftest import Stage
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
        admin.execute("CREATE DATABASE app")
    upgrade(server.url("app"))
    return server.url("app")


def is_at_work(run: Run) -> bool:
    return run.checkpoint is not None


async def test_a_restart_of_the_database_interrupts_no_training(
    server: Postgres, stage: "Stage", spec_of: "SpecFor"
) -> None:
    run_id = await stage.submit(spec_of(steps=150, checkpoint_every=5))
    agent = stage.start_agent()
    await stage.run(run_id, is_at_work)

    server.stop()
    server.start()

    run = await stage.end_of(run_id)
    assert (run.state, run.attempt) == (RunState.SUCCEEDED, 1)
    metrics = await stage.metrics_of(run_id)
    assert len([key for key, _ in metrics if key == "train/loss_nats"]) == 150
    # Procrastinate's worker has not survived it, and waited for its job only.
    assert agent.wait(20) == ENDED, stage.log_of(agent)


async def test_in_a_long_outage_the_child_saves_and_leaves_and_no_attempt_is_lost(
    server: Postgres, stage: "Stage", spec_of: "SpecFor", eventually
) -> None:
    run_id = await stage.submit(spec_of(steps=150, checkpoint_every=1000))
    agent = stage.start_agent()
    run = await stage.run(run_id, lambda run: run.progress is not None)
    child = stage.child_of(agent)

    server.stop()
    
    server.start()
