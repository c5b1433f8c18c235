"""What becomes of runs and processes when a template is killed, or its agent."""

import os
import signal
from typing import TYPE_CHECKING

from service.storage.states import RunState

if TYPE_CHECKING:
    from tests.processes import Stage
    from tests.workers.conftest import SpecFor


async def test_nobody_notices_that_a_template_was_killed(
    stage: "Stage", spec_of: "SpecFor"
) -> None:
    run_id = await stage.submit(spec_of(steps=40, checkpoint_every=5))
    agent = stage.start_agent()
    await stage.run(run_id, lambda run: run.checkpoint is not None)
    first = stage.template_of(agent)

    os.kill(first, signal.SIGKILL)

    for run in (await stage.end_of(run_id), await stage.end_of(await stage.submit(spec_of()))):
        assert (run.state, run.attempt, run.losses) == (RunState.SUCCEEDED, 1, 0)
    assert stage.template_of(agent) != first
    assert agent.poll() is None


async def test_a_killed_agent_leaves_no_process(stage: "Stage", spec_of: "SpecFor") -> None:
    run_id = await stage.submit(spec_of(steps=10_000))
    agent = stage.start_agent()
    await stage.run(run_id, lambda run: run.checkpoint is not None)
    template, child = stage.template_of(agent), stage.child_of(agent)
    assert not stage.is_gone(template)

    agent.kill()

    await stage.until(lambda: stage.is_gone(template) and stage.is_gone(child))
