"""Runs: who may change them, and how they end."""

import asyncio
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import select, update
from sqlalchemy.exc import IntegrityError

from polar.records.events import ArtifactSaved, CheckpointSaved, Started
from service.storage import runs
from service.storage.artifacts import artifact_of, artifacts_of
from service.storage.database import Database
from service.storage.errors import Conflict, NotFound, RunLost
from service.storage.evaluations import evaluations_of
from service.storage.states import RunState
from service.storage.tables import Metric, Run

if TYPE_CHECKING:
    from tests.conftest import Reports
    from tests.service.conftest import SpecMaker, Submitter, Worker

LONG_AGO_S = -1.0


@pytest.fixture
async def run_id(submit: "Submitter", spec_of: "SpecMaker") -> UUID:
    """A queued run."""
    return (await submit(spec_of())).runs[0].id


async def look(database: Database, run_id: UUID) -> Run:
    async with database.transaction() as session:
        return await runs.get(session, run_id)


async def metrics_of(database: Database, run_id: UUID) -> dict[tuple[str, int], float]:
    async with database.transaction() as session:
        rows = await session.scalars(select(Metric).where(Metric.run_id == run_id))
        return {(row.key, row.step): row.value for row in rows}


async def test_a_claim_begins_an_attempt_with_a_lease(run_id: UUID, worker: "Worker") -> None:
    run = await worker.claim(run_id, "me")

    assert run is not None
    assert (run.state, run.attempt, run.owner) == (RunState.RUNNING, 1, "me")
    assert run.lease_until is not None
    assert run.started_at is not None
    assert run.lease_until > run.started_at


async def test_of_many_claims_at_once_one_wins(run_id: UUID, worker: "Worker") -> None:
    claims = await asyncio.gather(*(worker.claim(run_id, f"agent {n}") for n in range(10)))

    assert sum(claim is not None for claim in claims) == 1


async def test_a_run_whose_lease_is_over_may_be_claimed(
    run_id: UUID, worker: "Worker", database: Database
) -> None:
    async with database.transaction() as session:
        await runs.claim(session, run_id, "first", LONG_AGO_S)

    second = await worker.claim(run_id, "second")

    assert second is not None
    assert (second.attempt, second.owner) == (2, "second")


@pytest.mark.parametrize("end", [state for state in RunState if state.is_final])
async def test_a_run_that_has_ended_cannot_be_claimed(
    end: RunState, run_id: UUID, worker: "Worker"
) -> None:
    await worker.claim(run_id)
    await worker.finish(run_id, end)

    assert await worker.claim(run_id) is None


async def test_a_run_that_nobody_wants_cannot_be_claimed(
    run_id: UUID, worker: "Worker", database: Database
) -> None:
    async with database.transaction() as session:
        await runs.claim(session, run_id, "first", LONG_AGO_S)
        await runs.request_cancel(session, run_id)

    assert await worker.claim(run_id) is None


async def test_a_renewal_extends_the_lease_and_tells_of_cancelling(
    run_id: UUID, worker: "Worker", database: Database
) -> None:
    claimed = await worker.claim(run_id)
    assert claimed is not None
    assert claimed.lease_until is not None

    async with database.transaction() as session:
        before = await runs.renew(session, run_id, 1, 1000)
        await runs.request_cancel(session, run_id)
    async with database.transaction() as session:
        after = await runs.renew(session, run_id, 1, 1000)

    renewed = await look(database, run_id)
    assert (before, after) == (False, True)
    assert renewed.lease_until is not None
    assert renewed.lease_until > claimed.lease_until


async def test_an_attempt_that_was_overtaken_changes_nothing(
    run_id: UUID, worker: "Worker", reports: "Reports", spec_of: "SpecMaker", database: Database
) -> None:
    async with database.transaction() as session:
        await runs.claim(session, run_id, "first", LONG_AGO_S)
    await worker.claim(run_id, "second")
    await worker.record(run_id, reports.progress(10), attempt=2)
    late = (
        reports.progress(50),
        reports.evaluation(50),
        reports.result(spec_of()),
        CheckpointSaved(step=50, path="late"),
        ArtifactSaved(name="late", path="late"),
    )

    for event in late:
        with pytest.raises(RunLost, match="no longer attempt 1"):
            await worker.record(run_id, event, attempt=1)
    with pytest.raises(RunLost):
        await worker.finish(run_id, RunState.FAILED, attempt=1)
    async with database.transaction() as session:
        with pytest.raises(RunLost):
            await runs.renew(session, run_id, 1, 30)
        with pytest.raises(RunLost):
            await runs.release(session, run_id, 1, reason="r", message="m")
        with pytest.raises(RunLost):
            await runs.count_loss(session, run_id, 1)

    run = await look(database, run_id)
    assert (run.state, run.attempt, run.checkpoint, run.result) == ("running", 2, None, None)
    assert run.progress == reports.progress(10).model_dump(mode="json")
    assert {step for _, step in await metrics_of(database, run_id)} == {10}
    async with database.transaction() as session:
        assert await artifacts_of(session, run_id) == []
        assert await evaluations_of(session, run_id) == []


async def test_what_a_worker_reports_is_stored(
    run_id: UUID, worker: "Worker", reports: "Reports", spec_of: "SpecMaker", database: Database
) -> None:
    started = Started(
        step=0,
        steps=100,
        device="cpu",
        images=1797,
        images_evaluated=1797,
        dataset_digest="d",
        parameters=9,
    )
    events: list[Any] = [
        started,
        reports.progress(10),
        reports.evaluation(10),
        CheckpointSaved(step=10, path="runs/1/checkpoint"),
        ArtifactSaved(name="figures/a.png", path="runs/1/a.png"),
        reports.result(spec_of()),
    ]
    await worker.claim(run_id)

    await worker.record(run_id, *events)

    run = await look(database, run_id)
    async with database.transaction() as session:
        evaluations = await evaluations_of(session, run_id)
        artifact = await artifact_of(session, run_id, "figures/a.png")
    metrics = await metrics_of(database, run_id)
    assert run.started == started.model_dump(mode="json")
    assert run.progress == events[1].model_dump(mode="json")
    assert evaluations == [events[2].model_dump(mode="json")]
    assert (run.checkpoint, run.checkpoint_step) == ("runs/1/checkpoint", 10)
    assert artifact.path == "runs/1/a.png"
    assert run.result == events[5].model_dump(mode="json")
    assert metrics["train/loss", 10] == 190.0
    assert metrics["regime/polarisation", 10] == 0.99
    assert (metrics["entropy/by_rank", 1], metrics["entropy/by_rank", 2]) == (1.5, 0.01)


async def test_of_a_step_that_is_told_twice_the_first_report_stands(
    run_id: UUID, worker: "Worker", reports: "Reports", database: Database
) -> None:
    first, second = reports.evaluation(10), reports.evaluation(10)
    second = second.model_copy(update={"reconstruction_nats": 1.0})
    await worker.claim(run_id)

    await worker.record(run_id, first, second)

    async with database.transaction() as session:
        assert await evaluations_of(session, run_id) == [first.model_dump(mode="json")]
    metrics = await metrics_of(database, run_id)
    assert metrics["eval/reconstruction_nats", 10] == first.reconstruction_nats


async def test_a_file_that_is_saved_again_replaces_the_earlier_one(
    run_id: UUID, worker: "Worker", database: Database
) -> None:
    await worker.claim(run_id)

    for path in ("attempt-1/a.png", "attempt-2/a.png"):
        await worker.record(run_id, ArtifactSaved(name="a.png", path=path))

    async with database.transaction() as session:
        assert [file.path for file in await artifacts_of(session, run_id)] == ["attempt-2/a.png"]


async def test_a_final_run_is_final(
    run_id: UUID, worker: "Worker", reports: "Reports", database: Database
) -> None:
    await worker.claim(run_id)
    await worker.finish(run_id, RunState.SUCCEEDED)

    for change in (
        worker.finish(run_id, RunState.FAILED),
        worker.record(run_id, reports.progress(1)),
    ):
        with pytest.raises(RunLost):
            await change
    with pytest.raises(Conflict, match="already ended as succeeded"):
        async with database.transaction() as session:
            await runs.request_cancel(session, run_id)

    run = await look(database, run_id)
    assert run.state is RunState.SUCCEEDED
    assert run.finished_at is not None
    assert (run.owner, run.lease_until) == (None, None)


async def test_a_released_run_waits_with_what_it_has_reached(
    run_id: UUID, worker: "Worker", database: Database
) -> None:
    await worker.claim(run_id)
    await worker.record(run_id, CheckpointSaved(step=10, path="runs/1/checkpoint"))

    async with database.transaction() as session:
        await runs.release(session, run_id, 1, reason="agent_stopped", message="it stopped")

    run = await look(database, run_id)
    again = await worker.claim(run_id)
    assert (run.state, run.status_reason, run.owner) == (RunState.QUEUED, "agent_stopped", None)
    assert again is not None
    assert (again.attempt, again.checkpoint_step, again.status_reason) == (2, 10, None)


async def test_a_waiting_run_is_cancelled_at_once(run_id: UUID, database: Database) -> None:
    async with database.transaction() as session:
        run = await runs.request_cancel(session, run_id)

    assert (run.state, run.status_reason) == (RunState.CANCELLED, "user")
    assert run.finished_at is not None


async def test_a_running_run_goes_on_until_its_worker_stops_it(
    run_id: UUID, worker: "Worker", database: Database
) -> None:
    await worker.claim(run_id)

    async with database.transaction() as session:
        asked = await runs.request_cancel(session, run_id)
    await worker.finish(run_id, RunState.CANCELLED)
    async with database.transaction() as session:
        asked_again = await runs.request_cancel(session, run_id)

    assert (asked.state, asked.cancel_requested) == (RunState.RUNNING, True)
    assert asked_again.state is RunState.CANCELLED


async def test_a_run_that_was_claimed_since_it_was_read_goes_on_until_its_worker_stops_it(
    run_id: UUID, worker: "Worker", database: Database
) -> None:
    async with database.transaction() as session:
        before = await runs.get(session, run_id)
        await worker.claim(run_id)

        asked = await runs.request_cancel(session, run_id)

    assert asked is before  # the session keeps what it has read
    assert (asked.state, asked.cancel_requested) == (RunState.RUNNING, True)


async def test_cancelling_and_finishing_at_once_end_the_run_once(
    run_id: UUID, worker: "Worker", database: Database
) -> None:
    async def cancel() -> str:
        try:
            async with database.transaction() as session:
                return (await runs.request_cancel(session, run_id)).state
        except Conflict:
            return "conflict"

    await worker.claim(run_id)

    answer, _ = await asyncio.gather(cancel(), worker.finish(run_id, RunState.SUCCEEDED))

    assert answer in ("running", "conflict")  # whoever came first
    assert (await look(database, run_id)).state is RunState.SUCCEEDED


async def test_losses_are_counted(run_id: UUID, worker: "Worker", database: Database) -> None:
    await worker.claim(run_id)

    async with database.transaction() as session:
        losses = [await runs.count_loss(session, run_id, 1) for _ in range(2)]

    assert losses == [1, 2]


async def test_the_history_tells_every_change_of_state(
    run_id: UUID, worker: "Worker", database: Database
) -> None:
    await worker.claim(run_id)
    async with database.transaction() as session:
        await runs.release(session, run_id, 1, reason="agent_stopped", message="it stopped")
    await worker.claim(run_id)
    await worker.finish(run_id, RunState.FAILED, attempt=2)

    async with database.transaction() as session:
        history = await runs.transitions_of(session, run_id)

    assert [(change.attempt, change.state, change.reason) for change in history] == [
        (0, "queued", None),
        (1, "running", None),
        (1, "queued", "agent_stopped"),
        (2, "running", None),
        (2, "failed", None),
    ]


@pytest.mark.parametrize(
    "wrong",
    [
        {"state": "running"},
        {"state": "succeeded"},
        {"state": "unheard of"},
        {"owner": None, "state": "running"},
    ],
)
async def test_the_database_refuses_a_state_that_cannot_be(
    wrong: dict[str, Any], run_id: UUID, database: Database
) -> None:
    with pytest.raises(IntegrityError, match="ck_runs"):
        async with database.transaction() as session:
            await session.execute(update(Run).where(Run.id == run_id).values(**wrong))


async def test_what_is_not_there_is_not_found(run_id: UUID, database: Database) -> None:
    async with database.transaction() as session:
        with pytest.raises(NotFound, match="there is no run"):
            await runs.get(session, uuid4())
        with pytest.raises(NotFound, match="there is no run"):
            await runs.request_cancel(session, uuid4())
        with pytest.raises(NotFound, match=r"named b\.png"):
            await artifact_of(session, run_id, "b.png")
        assert await runs.claim(session, uuid4(), "me", 30) is None
