"""When a child has said nothing for too long."""

import asyncio
from typing import TYPE_CHECKING

import pytest

from service.storage.states import RunState
from workers.training.silence import Silence

if TYPE_CHECKING:
    from tests.processes import Stage
    from tests.workers.conftest import SpecFor


async def test_a_child_that_reports_seldom_may_be_silent_for_longer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 1000.0
    # nothing is awaited here, so the loop does not notice that its clock stands
    monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: now)
    silence = Silence(60, 20, lambda: None)

    ends = [silence.over_at]
    for interval in (1, 10, 2):
        now += interval
        silence.end()
        ends.append(silence.over_at)
    silence.forget()

    assert ends == [1060, 1061, 1011 + 200, 1013 + 200]


async def test_a_child_that_hangs_is_lost_and_its_run_goes_on(
    stage: "Stage", spec_of: "SpecFor"
) -> None:
    stage.settings = stage.settings.model_copy(update={"silence_s": 3})
    run_id = await stage.submit(spec_of("hangs", steps=12, checkpoint_every=5))
    agent = stage.start_agent()

    run = await stage.end_of(run_id)

    assert run.state is RunState.SUCCEEDED, stage.log_of(agent)
    assert run.losses == 2
    assert [reason for _, _, reason in await stage.history(run_id)] == [
        *(None, None, "no_progress"),
        *(None, "no_progress"),
        *(None, None),
    ]


async def test_a_child_that_hangs_before_its_first_report_is_lost_too(
    stage: "Stage", spec_of: "SpecFor"
) -> None:
    stage.settings = stage.settings.model_copy(update={"silence_s": 2, "max_attempts": 2})
    run_id = await stage.submit(spec_of("starts slowly"))
    stage.start_agent()

    run = await stage.end_of(run_id)

    assert (run.state, run.status_reason) == (RunState.FAILED, "attempts_exhausted")
    assert "nothing had come from the child for too long" in (run.status_message or "")
