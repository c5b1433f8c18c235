"""When a child has said nothing for too long."""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from service.storage.states import RunState
from workers.training.silence import MOST_MORE_S, Silence

if TYPE_CHECKING:
    from tests.processes import Stage
    from tests.workers.conftest import SpecFor


async def test_a_child_that_reports_seldom_may_be_silent_for_longer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now, ends = 0.0, []
    loop = asyncio.get_running_loop()
    call_at = loop.call_at

    def noted(when: float, call_back: Callable[[], None]) -> asyncio.TimerHandle:
        ends.append(when - now)
        return call_at(when, call_back)

    # nothing is awaited here, so the loop does not notice that its clock stands
    monkeypatch.setattr(loop, "time", lambda: now)
    monkeypatch.setattr(loop, "call_at", noted)
    silence = Silence(60, 20, lambda: None)
    for interval in (1500, 1, 10, 2, 1200):
        now += interval
        silence.end()
    silence.forget()

    # the first report may take long to come without making the others wait for as long
    assert ends == [60, 60, 60, 200, 200, 1200 + MOST_MORE_S]


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
