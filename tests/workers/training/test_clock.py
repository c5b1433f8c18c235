"""The database's clock jumps, while an agent looks at runs whose leases seem to be over."""

from datetime import timedelta
from typing import TYPE_CHECKING

from service import queue
from service.exit_codes import AGENT_FENCED
from service.storage import runs
from service.storage.states import RunState

if TYPE_CHECKING:
    from tests.processes import Stage
    from tests.workers.conftest import SpecFor


async def test_a_run_that_a_jump_of_the_clock_takes_from_its_agent_loses_no_number(
    stage: "Stage", spec_of: "SpecFor"
) -> None:
    """The worst that a jump forwards does: another agent looks before the lease is renewed."""
    run_id = await stage.submit(spec_of(steps=100, checkpoint_every=5))
    first = stage.start_agent()
    await stage.run(run_id, lambda run: run.checkpoint is not None)

    async with stage.database.transaction() as session:
        run = await runs.get(session, run_id)
        run.lease_until = run.lease_until and run.lease_until - timedelta(hours=1)
        await session.flush()
        rescued = await queue.rescue(stage.app, session, stage.settings)

    assert [each.id for each in rescued] == [run_id]
    assert first.wait(30) == AGENT_FENCED, stage.log_of(first)
    assert stage.is_gone(stage.child_of(first))
    stage.start_agent()
    run = await stage.end_of(run_id)
    assert (run.state, run.attempt, run.losses) == (RunState.SUCCEEDED, 2, 1)
    metrics = await stage.metrics_of(run_id)
    assert len([key for key, _ in metrics if key == "train/loss"]) == 100
