"""When a study is done, by known answers."""

import math
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

import httpx
import pytest
from sqlalchemy import update

from service.api.pages.etas import Left, etas
from service.storage.database import Database
from service.storage.durations import Duration
from service.storage.study_tables import Study
from service.storage.tables import Agent, Run, Transition
from tests.service.api.conftest import Create, run_of

if TYPE_CHECKING:
    from tests.conftest import Reports
    from tests.service.conftest import SpecMaker, Submitter, Trials, Worker

Said = Callable[[UUID], Awaitable[str | None]]

USUAL = Duration(step_s=0.5, besides_s=10.0)
LEFT: dict[str, Any] = {
    "in_work_s": [],
    "waiting": [],
    "to_come": 0,
    "steps_to_come": math.inf,
    "at_once": 1,
    "begins_within_s": math.inf,
}


@pytest.mark.parametrize(
    ("left", "seconds"),
    [
        ({}, 0.0),
        ({"in_work_s": [30.0, 50.0], "at_once": 2}, 50.0),
        # a run of 100 steps takes 10 + 50 s
        ({"to_come": 3}, 180.0),
        ({"to_come": 3, "at_once": 2}, 120.0),
        ({"to_come": 1, "at_once": 9}, 60.0),
        # one of 20 steps takes 20 s
        ({"waiting": [20, 20], "to_come": 1}, 100.0),
        ({"in_work_s": [30.0], "to_come": 2}, 150.0),
        ({"in_work_s": [500.0], "to_come": 1, "at_once": 9}, 500.0),
        ({"to_come": 10_000, "steps_to_come": 250}, 180.0),
        ({"to_come": 10_000, "begins_within_s": 90.0}, 150.0),
        ({"in_work_s": [300.0], "to_come": 9, "begins_within_s": 0.0}, 300.0),
    ],
)
def test_what_is_left_takes(left: dict[str, Any], seconds: float) -> None:
    assert Left(**{**LEFT, **left}).seconds(USUAL, 100) == pytest.approx(seconds)


def test_nothing_is_said_of_runs_to_come_while_nobody_knows_how_long_they_take() -> None:
    assert Left(**{**LEFT, "to_come": 1}).seconds(None, 100) is None
    assert Left(**{**LEFT, "in_work_s": [20.0]}).seconds(None, 100) == 20.0


@pytest.fixture
def said(database: Database) -> Said:
    async def said(study_id: UUID) -> str | None:
        async with database.reading() as session:
            return (await etas(session, [study_id])).get(study_id)

    return said


@pytest.fixture
async def study_id(worker: "Worker", create: Create, spec_of: "SpecMaker") -> UUID:
    """A study of 3 trainings of 100 steps, of which one agent trains one at a time."""
    await worker.announce()
    return await create(base=spec_of.as_json(training={"steps": 100}))


@pytest.fixture
async def past(
    study_id: UUID,  # noqa: ARG001 (an agent is there)
    submit: "Submitter",
    spec_of: "SpecMaker",
    worker: "Worker",
    database: Database,
) -> None:
    """A run like those of the study, which took 1,000 s for 100 steps."""
    run_id = (await submit(spec_of(training={"steps": 100}))).runs[0].id
    await worker.claim(run_id)
    await worker.finish(run_id)
    now = datetime.now(UTC)
    async with database.transaction() as session:
        await session.execute(update(Run).where(Run.id == run_id).values(finished_at=now))
        began = update(Transition).values(at=now - timedelta(seconds=1000))
        await session.execute(began.where(Transition.run_id == run_id))


async def test_nothing_is_said_where_nothing_is_known(study_id: UUID, said: Said) -> None:
    assert await said(study_id) is None


@pytest.mark.usefixtures("past")
async def test_a_study_is_done_when_all_that_it_wants_is(
    study_id: UUID,
    said: Said,
    trials: "Trials",
    worker: "Worker",
    reports: "Reports",
    http: httpx.AsyncClient,
) -> None:
    # 3 trainings of 1,000 s, one after the other
    assert await said(study_id) == "all is done in about 0:50:00"

    await trials.end(await trials.begin(study_id, beta=2.0), 0.5)
    await http.post(f"/api/v1/runs/{await run_of_first(http, study_id)}/cancel")
    assert await said(study_id) == "all is done in about 0:33:00"

    run_id = await run_of(http, (await trials.begin(study_id, beta=3.0)).experiment_id)
    assert await said(study_id) == "all is done in about 0:33:00"

    await worker.claim(run_id)
    await worker.record(run_id, reports.progress(40))  # of 100 steps, 60 s before its end
    assert await said(study_id) == "all is done in about 0:18:00"

    await worker.announce(name="another")  # which can train the last beside it
    assert await said(study_id) == "all is done in about 0:17:00"
    for path in ("/", f"/studies/{study_id}"):
        assert "<li>all is done in about 0:17:00</li>" in (await http.get(path)).text

    await http.post(f"/api/v1/studies/{study_id}/pause")
    assert await said(study_id) is None


async def run_of_first(http: httpx.AsyncClient, study_id: UUID) -> UUID:
    (trial,) = (await http.get(f"/api/v1/studies/{study_id}/trials")).json()["trials"]
    return await run_of(http, UUID(trial["experiment_id"]))


async def test_a_run_in_work_says_how_long_others_take(
    study_id: UUID, said: Said, trials: "Trials", worker: "Worker", reports: "Reports",
    http: httpx.AsyncClient,
) -> None:  # fmt: skip
    run_id = await run_of(http, (await trials.begin(study_id, beta=3.0)).experiment_id)
    await worker.claim(run_id)
    assert await said(study_id) is None

    await worker.record(run_id, reports.progress(40))
    # 60 s for its last 60 steps, and 100 s for each of two others
    assert await said(study_id) == "all is done in about 0:04:20"


@pytest.mark.usefixtures("past")
async def test_what_else_waits_is_not_hidden(
    study_id: UUID, said: Said, submit: "Submitter", spec_of: "SpecMaker"
) -> None:
    await submit(spec_of(seeds=[7]))

    assert await said(study_id) == "all is done in about 0:50:00 if agents train nothing else"


@pytest.mark.usefixtures("past")
async def test_longer_trainings_may_come(said: Said, create: Create, spec_of: "SpecMaker") -> None:
    base = spec_of.as_json(training={"steps": 100})
    study_id = await create(base=base, range={"max_steps": 400})

    # at most 4,000 s for each of 3
    assert await said(study_id) == "all is done in about 0:50:00 to 3:20:00"


@pytest.mark.usefixtures("past")
async def test_a_budget_of_steps_or_of_hours_ends_a_study_earlier(
    said: Said, create: Create, spec_of: "SpecMaker", trials: "Trials", http: httpx.AsyncClient,
    database: Database,
) -> None:  # fmt: skip
    base = spec_of.as_json(training={"steps": 100})
    of_steps = await create(base=base, budget={"steps": 250})
    assert await said(of_steps) == "all is done in about 0:50:00"
    run_id = await run_of(http, (await trials.begin(of_steps, beta=3.0)).experiment_id)
    assert await said(of_steps) == "all is done in about 0:50:00"
    await http.post(f"/api/v1/runs/{run_id}/cancel")

    of_hours = await create(base=base, budget={"trials": 1000, "hours": 2.0})
    began = update(Study).values(created_at=datetime.now(UTC) - timedelta(hours=1))
    async with database.transaction() as session:
        await session.execute(began.where(Study.id == of_hours))
    # an hour in which trials begin, and the last of them
    assert await said(of_hours) == "all is done in about 1:17:00"


@pytest.mark.usefixtures("past")
async def test_nothing_is_said_while_no_agent_is_there(
    study_id: UUID, said: Said, database: Database
) -> None:
    gone = update(Agent).values(seen_at=datetime.now(UTC) - timedelta(minutes=2))
    async with database.transaction() as session:
        await session.execute(gone)

    assert await said(study_id) is None
