"""Real trainings whose network, disk, clock or machine fails: they come to the same numbers."""

import errno
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from sqlalchemy import text

from polar.data import catalogue
from service.embedded.postgres import url_of
from service.embedded.running import wait_until_healthy
from service.storage.roles import Role
from service.storage.states import RunState
from tests.e2e.twins import INTERVAL, assert_same_training, checkpoint_of, longer
from tests.network import Network
from tests.processes import Stage

PATIENCE_S = 300.0
#: `time.time` of a process, changed by so many seconds as stand in a file.
JUMPING_CLOCK = """
import os, time

time_itself = time.time

def time_now():
    with open(os.environ["CLOCK"]) as file:
        return time_itself() + float(file.read() or 0)

time.time = time_now
"""


@pytest.fixture
def network(agents_url: str) -> Iterator[Network]:
    with Network(agents_url) as network:
        yield network


async def test_a_run_gives_the_same_numbers_after_its_agent_was_cut_off_from_the_database(
    stage: Stage, network: Network
) -> None:
    stage.agents_url = network.url
    stage.settings = stage.settings.model_copy(update={"lease_s": 4})
    spec, digest = longer(100), catalogue.digest("digits")  # it outlasts the lease
    whole, cut_off = [await stage.submit(spec, digest) for _ in range(2)]
    agent = stage.start_agent()
    await stage.end_of(whole)
    before = await checkpoint_of(stage, cut_off)

    network.cut()
    await stage.until(lambda: stage.is_gone(stage.child_of(agent)))
    network.reset()
    network.mend()
    await checkpoint_of(stage, cut_off, after=before)
    network.reset()  # without a pause: nobody needs to stop

    run = await stage.end_of(cut_off)
    assert (run.state, run.losses) == (RunState.SUCCEEDED, 0)
    assert [reason for _, _, reason in await stage.history(cut_off)] == [
        *(None, None, "lease_at_risk"),
        *(None, None),
    ]
    assert agent.poll() is None, stage.log_of(agent)
    await assert_same_training(stage, cut_off, whole)


async def test_a_run_gives_the_same_numbers_after_a_checkpoint_found_no_room(
    stage: Stage,
) -> None:
    stage.settings = stage.settings.model_copy(update={"fault_pause_s": 0.1})
    spec, digest = longer(24), catalogue.digest("digits")
    whole, full = [await stage.submit(spec, digest) for _ in range(2)]
    agent = stage.start_agent()
    await stage.end_of(whole)
    await checkpoint_of(stage, full)

    # no file of this child grows beyond a tenth of a checkpoint: its disk is full for it alone
    size = stage.checkpoints_of(full)[0].stat().st_size
    resource.prlimit(stage.child_of(agent), resource.RLIMIT_FSIZE, (size // 10, size // 10))

    run = await stage.run(full, lambda run: run.status_reason is not None)
    kept = run.checkpoint_step or 0
    assert (run.status_reason, run.losses) == ("machine_fault", 0)
    assert os.strerror(errno.EFBIG) in (run.status_message or "")
    # it may be a later checkpoint, whose longer course makes it larger, but never a part
    assert (stage.settings.artifacts / str(run.checkpoint)).stat().st_size >= size
    run = await stage.end_of(full)
    assert (run.state, run.attempt) == (RunState.SUCCEEDED, 2)
    assert run.started is not None
    assert run.started["step"] == kept >= INTERVAL
    await assert_same_training(stage, full, whole)


async def test_a_clock_that_jumps_an_hour_changes_no_number(stage: Stage, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(JUMPING_CLOCK)
    (clock := tmp_path / "clock").write_text("0")
    stage.environment |= {"PYTHONPATH": str(tmp_path), "CLOCK": str(clock)}
    # nobody but its agent looks after a run in the second in which all leases seem to be over
    stage.settings = stage.settings.model_copy(update={"rescue_s": 600})
    spec, digest = longer(24), catalogue.digest("digits")
    whole, jumped = [await stage.submit(spec, digest) for _ in range(2)]
    agent = stage.start_agent()
    await stage.end_of(whole)
    step = await checkpoint_of(stage, jumped)

    for seconds, jump in ((3600, "1 hour"), (-3600, "-2 hours")):
        clock.write_text(str(seconds))
        await let_the_databases_clock_jump(stage, jump)
        step = await checkpoint_of(stage, jumped, after=step)

    run = await stage.end_of(jumped)
    assert (run.state, run.attempt, run.losses) == (RunState.SUCCEEDED, 1, 0)
    assert agent.poll() is None, stage.log_of(agent)
    await assert_same_training(stage, jumped, whole)


async def let_the_databases_clock_jump(stage: Stage, by: str) -> None:
    """Move all that the database has stored away from its clock, as a jump of its clock does."""
    columns = text(
        "select table_schema, table_name, column_name from information_schema.columns"
        " join information_schema.tables using (table_schema, table_name)"
        " where table_type = 'BASE TABLE' and table_schema in ('app', 'queue')"
        " and data_type = 'timestamp with time zone'"
    )
    async with stage.database.transaction() as session:
        for schema, table, column in (await session.execute(columns)).all():
            move = f'update {schema}.{table} set "{column}" = "{column}" - interval \'{by}\''
            await session.execute(text(move))


async def test_a_run_gives_the_same_numbers_after_its_machine_was_shut_down(
    open_folder: Path,
) -> None:
    """SIGTERM reaches all processes at once, in any order."""
    home = open_folder / "home"
    up = start(home)
    stage = Stage(url_of(home, "app"), url_of(home, "app", Role.AGENT), open_folder)
    try:
        spec, digest = longer(24), catalogue.digest("digits")
        whole, shut_down = [await stage.submit(spec, digest) for _ in range(2)]
        await stage.end_of(whole)
        before = await checkpoint_of(stage, shut_down)

        everything = below(up.pid)
        for pid in everything:
            with suppress(ProcessLookupError):  # it ended with its parent
                os.kill(pid, signal.SIGTERM)
        up.wait(PATIENCE_S)
        await stage.until(lambda: all(stage.is_gone(pid) for pid in everything))
        up = start(home)

        run = await stage.end_of(shut_down)
        # whether its agent could still tell the database before that went is up to chance
        reasons = [reason for _, _, reason in await stage.history(shut_down)]
        assert reasons[2] in ("agent_stopped", "child_stopped")
        assert (run.state, run.attempt, run.losses) == (RunState.SUCCEEDED, 2, 0)
        assert run.started is not None
        assert run.started["step"] >= before
        await assert_same_training(stage, shut_down, whole)
    finally:
        await stage.close()
        up.terminate()
        up.wait(PATIENCE_S)


def start(home: Path) -> subprocess.Popen[bytes]:
    """A healthy stack with an agent on the CPU."""
    command = [sys.executable, "-m", "service.cli", "up", "--home", str(home), "--agents", "1"]
    quick = {"POLAR_LEASE_S": "12", "POLAR_RENEW_S": "0.5", "POLAR_RESCUE_S": "0.5"}
    up = subprocess.Popen([*command, "--device", "cpu"], env=os.environ | quick)
    wait_until_healthy(home, starter=up)
    return up


def below(pid: int) -> list[int]:
    """A process and all that descend from it."""
    children = [
        int(child)
        for of_thread in Path(f"/proc/{pid}/task").glob("*/children")
        for child in of_thread.read_text().split()
    ]
    return [pid, *(each for child in children for each in below(child))]
