"""Findings: who makes those of which run, and what is stored of it, whoever dies meanwhile."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

from polar.records.events import ArtifactSaved, Result
from service.storage import findings, runs
from service.storage.artifacts import artifacts_of
from service.storage.database import Database
from service.storage.errors import Conflict, NotFound, RunLost
from service.storage.findings import Claimed
from service.storage.states import FindingsState, RunState
from service.storage.tables import FindingsRow, Metric, Tracking
from tests.service.storage.conftest import DIGEST, Ends

if TYPE_CHECKING:
    from tests.service.conftest import SpecMaker, Submitter, Worker

FIGURE = ArtifactSaved(name="figures/a.png", path="runs/1/attempt-1/out/figures/a.png")
OVER_S = -1.0


async def test_a_run_that_succeeds_with_its_verdict_has_findings_to_come(ends: Ends) -> None:
    run_id = await ends.end()

    assert await ends.state(run_id) == (FindingsState.TO_COME, None)
    assert await ends.claim() == Claimed(run_id, 1, run_attempt=1, is_asked_for=False)
    assert await ends.claim() is None  # it is held


async def test_a_whole_result_leaves_nothing_to_come(ends: Ends) -> None:
    run_id = await ends.end(ends.whole)

    assert await ends.row(run_id) is None


async def test_a_run_that_fails_after_its_result_has_no_findings_to_come(ends: Ends) -> None:
    run_id = await ends.end(state=RunState.FAILED)

    assert await ends.row(run_id) is None
    assert await ends.claim() is None


async def test_findings_complete_the_run(ends: Ends, database: Database) -> None:
    run_id = await ends.end()
    await ends.claim()

    async with database.transaction() as session:
        before = (await session.scalars(select(Metric.key).where(Metric.run_id == run_id))).all()
        await findings.record(session, run_id, 1, [FIGURE], ends.whole)

    async with database.transaction() as session:
        run = await runs.get(session, run_id)
        files = await artifacts_of(session, run_id)
        keys = (await session.scalars(select(Metric.key).where(Metric.run_id == run_id))).all()
    assert Result.model_validate(run.result) == ends.whole
    assert run.state is RunState.SUCCEEDED
    assert [(file.name, file.path) for file in files] == [(FIGURE.name, FIGURE.path)]
    assert ends.whole.summary is not None
    assert set(keys) - set(before) == set(ends.whole.summary.scalars())
    assert await ends.state(run_id) == (FindingsState.MADE, None)
    assert await ends.claim() is None


@pytest.mark.parametrize(
    ("name", "value"), [("settled", False), ("seed", 777), ("steps", 99), ("dataset_note", "<b>")]
)
async def test_findings_of_other_files_are_refused_and_the_run_stands(
    ends: Ends, database: Database, name: str, value: object
) -> None:
    # Somebody had changed result.json, and the findings brought it into the database.
    run_id = await ends.end()
    await ends.claim()
    other = ends.whole.model_copy(update={name: value})

    with pytest.raises(Conflict, match=f"result.json has another {name};"):
        async with database.transaction() as session:
            await findings.record(session, run_id, 1, [FIGURE], other)

    async with database.transaction() as session:
        run = await runs.get(session, run_id)
        assert await artifacts_of(session, run_id) == []
    assert Result.model_validate(run.result) == ends.verdict
    assert await ends.state(run_id) == (FindingsState.TO_COME, None)


async def test_those_that_were_asked_for_come_first_then_the_run_that_ended_first(
    ends: Ends,
) -> None:
    first, second, third = [await ends.end() for _ in range(3)]
    await ends.ask(third)

    order = [await ends.claim() for _ in range(3)]

    assert [claimed and claimed.run_id for claimed in order] == [third, first, second]
    assert [claimed and claimed.is_asked_for for claimed in order] == [True, False, False]


async def test_a_slot_in_use_takes_only_what_was_asked_for(ends: Ends) -> None:
    await ends.end()
    asked_for = await ends.end()

    assert await ends.claim(only_asked_for=True) is None
    await ends.ask(asked_for)
    claimed = await ends.claim(only_asked_for=True)

    assert claimed is not None
    assert claimed.run_id == asked_for


async def test_findings_wait_for_an_agent_with_their_dataset_unless_somebody_asks(
    ends: Ends, worker: "Worker"
) -> None:
    await worker.announce({"mnist": "m" * 64}, name="another")
    of_another = await ends.end(digest="m" * 64)
    asked_for = await ends.end(digest="m" * 64)
    await ends.ask(asked_for)

    assert await ends.claim() is None

    await worker.announce({}, name="another")  # now nobody has it
    claimed = await ends.claim()
    assert claimed is not None
    assert claimed.run_id == asked_for  # so that these fail and say so
    assert await ends.claim() is None
    assert await ends.state(of_another) == (FindingsState.TO_COME, None)


async def test_the_findings_of_a_maker_that_died_are_made_by_the_next(
    ends: Ends, database: Database
) -> None:
    run_id = await ends.end()
    await ends.claim(OVER_S)

    claimed = await ends.claim()

    assert claimed == Claimed(run_id, 2, run_attempt=1, is_asked_for=False)
    reports: list[Callable[[AsyncSession], Awaitable[object]]] = [
        lambda session: findings.record(session, run_id, 1, [FIGURE], ends.whole),
        lambda session: findings.fail(session, run_id, 1, "bug", "it broke"),
        lambda session: findings.lose(session, run_id, 1, "bug", "it broke"),
        lambda session: findings.renew(session, run_id, 1, [DIGEST], 30.0),
        lambda session: findings.give_back(session, run_id, 1),
    ]
    for late in reports:
        with pytest.raises(RunLost, match="no longer attempt 1's"):
            async with database.transaction() as session:
                await late(session)
    assert await ends.state(run_id) == (FindingsState.TO_COME, None)


async def test_a_renewed_lease_keeps_others_away_and_says_whether_somebody_waits(
    ends: Ends, database: Database
) -> None:
    run_id, other, elsewhere = await ends.end(), await ends.end(), await ends.end(digest="e" * 64)
    await ends.claim(OVER_S)
    waits = []

    async def renew() -> None:
        async with database.transaction() as session:
            waits.append(await findings.renew(session, run_id, 1, [DIGEST], 30.0))

    await ends.ask(elsewhere)
    await renew()
    await ends.ask(other)
    await renew()
    claimed = [await ends.claim(), await ends.claim()]
    assert [attempt and attempt.run_id for attempt in claimed] == [elsewhere, other]
    await renew()
    await ends.ask(run_id)
    await renew()

    assert await ends.claim() is None
    assert waits == [False, True, False, True]


async def test_findings_whose_makers_always_die_fail_in_the_end(ends: Ends) -> None:
    run_id = await ends.end()

    claims = [await ends.claim(OVER_S, max_attempts=3) for _ in range(5)]

    assert [claimed and claimed.attempt for claimed in claims] == [1, 2, 3, None, None]
    state, message = await ends.state(run_id)
    assert state is FindingsState.FAILED
    assert message == "3 attempts died without a word; see the agents' logs"


async def test_a_lost_attempt_is_repeated_after_a_pause_and_leaves_its_reason(
    ends: Ends, database: Database
) -> None:
    run_id = await ends.end()
    await ends.claim()

    async with database.transaction() as session:
        await findings.lose(session, run_id, 1, "machine_fault", "the disk is full")

    assert await ends.state(run_id) == (FindingsState.TO_COME, "the disk is full")
    assert await ends.claim() is None
    async with database.transaction() as session:
        await session.execute(update(FindingsRow).values(lease_until=runs.from_now(OVER_S)))
    claimed = await ends.claim(OVER_S, max_attempts=2)
    assert claimed is not None
    assert await ends.claim(max_attempts=2) is None
    assert await ends.state(run_id) == (FindingsState.FAILED, "the disk is full")


async def test_an_attempt_that_is_given_back_does_not_count(
    ends: Ends, database: Database
) -> None:
    run_id = await ends.end()

    for attempt in (1, 2, 3):
        claimed = await ends.claim(max_attempts=1)
        assert claimed is not None
        assert claimed.attempt == attempt
        async with database.transaction() as session:
            await findings.give_back(session, run_id, attempt)


async def test_failed_findings_say_why_and_are_tried_again_on_request(
    ends: Ends, database: Database
) -> None:
    run_id = await ends.end()
    await ends.claim()
    async with database.transaction() as session:
        await findings.fail(session, run_id, 1, "dataset_missing", "it is gone")
        session.add(
            Tracking(run_id=run_id, mlflow_experiment_id="1", mlflow_run_id="1", complete=True)
        )
    assert await ends.state(run_id) == (FindingsState.FAILED, "it is gone")
    assert await ends.claim() is None

    await ends.ask(run_id)

    assert await ends.state(run_id) == (FindingsState.TO_COME, None)
    assert await ends.claim() == Claimed(run_id, 2, run_attempt=1, is_asked_for=True)
    async with database.transaction() as session:
        position = await session.get_one(Tracking, run_id)
    assert not position.complete  # so that MLflow gets them, too


async def test_findings_that_will_never_come_cannot_be_asked_for(
    ends: Ends, submit: "Submitter", spec_of: "SpecMaker"
) -> None:
    whole = await ends.end(ends.whole)
    (waiting,) = (await submit(spec_of())).runs

    with pytest.raises(Conflict, match="is succeeded and has no findings to come"):
        await ends.ask(whole)
    with pytest.raises(Conflict, match="is queued and has no findings to come"):
        await ends.ask(waiting.id)
    with pytest.raises(NotFound):
        await ends.ask(uuid4())


async def test_a_request_comes_too_late_for_findings_that_were_made_since_they_were_read(
    ends: Ends, database: Database
) -> None:
    run_id = await ends.end()
    await ends.claim()

    async with database.transaction() as reading:
        before = await findings.of_run(reading, run_id)
        async with database.transaction() as session:
            await findings.record(session, run_id, 1, [FIGURE], ends.whole)
        row = await findings.ask(reading, run_id)

    assert row is before  # the session keeps what it has read
    assert (row.state, row.asked_at) == (FindingsState.MADE, None)
