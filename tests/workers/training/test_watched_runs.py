"""What a run takes of its machine is stored with it, and is no condition of anything."""

from typing import TYPE_CHECKING

import pytest

from service.storage.metrics import SYSTEM, of_system
from service.storage.states import RunState

if TYPE_CHECKING:
    from tests.processes import Stage
    from tests.workers.conftest import SpecFor

NAMES = {
    "cpu_utilization_percentage",
    "process_memory_usage_megabytes",
    "system_memory_usage_megabytes",
    "system_memory_usage_percentage",
}


@pytest.fixture
def stage(stage: "Stage") -> "Stage":
    stage.environment["SAMPLE_S"] = "0.1"
    return stage


async def test_a_run_is_watched_in_all_its_attempts(stage: "Stage", spec_of: "SpecFor") -> None:
    run_id = await stage.submit(spec_of("killed", steps=100, checkpoint_every=49))
    stage.start_agent()

    run = await stage.end_of(run_id)

    assert (run.state, run.attempt) == (RunState.SUCCEEDED, 3)
    async with stage.database.transaction() as session:
        found = await of_system(session, run_id)
    assert set(found) == NAMES
    assert run.started_at
    assert run.finished_at
    age_s = (run.finished_at - run.started_at).total_seconds()
    for points in found.values():
        seconds = [second for second, _ in points]
        assert seconds == sorted(set(seconds))  # one point a second, whoever attempts
        assert 0 <= seconds[0] <= seconds[-1] <= age_s
    assert all(value > 1 for _, value in found["process_memory_usage_megabytes"])
    stored = await stage.metrics_of(run_id)
    attempts = {row.attempt for (key, _), row in stored.items() if key.startswith(SYSTEM)}
    assert attempts >= {1, 2}


async def test_a_run_that_is_shorter_than_the_time_between_two_samples_has_some(
    stage: "Stage", spec_of: "SpecFor"
) -> None:
    stage.environment["SAMPLE_S"] = "1000.0"
    run_id = await stage.submit(spec_of(steps=25))
    stage.start_agent()

    run = await stage.end_of(run_id)

    assert run.state is RunState.SUCCEEDED
    async with stage.database.transaction() as session:
        found = await of_system(session, run_id)
    assert set(found) == NAMES


async def test_a_run_is_not_watched_where_nobody_wants_it(
    stage: "Stage", spec_of: "SpecFor"
) -> None:
    stage.settings = stage.settings.model_copy(update={"system_metrics": False})
    run_id = await stage.submit(spec_of(steps=25))
    stage.start_agent()

    run = await stage.end_of(run_id)

    assert run.state is RunState.SUCCEEDED
    async with stage.database.transaction() as session:
        assert await of_system(session, run_id) == {}


async def test_a_watch_that_fails_costs_its_run_nothing(
    stage: "Stage", spec_of: "SpecFor"
) -> None:
    stage.environment["SAMPLE_S"] = '"nonsense"'
    run_id = await stage.submit(spec_of(steps=25))
    agent = stage.start_agent()

    run = await stage.end_of(run_id)

    assert (run.state, run.attempt) == (RunState.SUCCEEDED, 1)
    assert "the system metrics of process" in stage.log_of(agent)
