"""What watchers of runs are told, and when."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import delete, event

from service.api import shared_looks
from service.api.event_stream import follow
from service.api.shared_looks import SharedLooks, changes
from service.storage import runs
from service.storage.database import Database
from service.storage.errors import DatabaseAway
from service.storage.states import RunState
from service.storage.tables import ExperimentRun, Run, Transition
from service.storage.watching import Standing

if TYPE_CHECKING:
    from tests.conftest import Reports
    from tests.service.conftest import SpecMaker, Submitter, Worker


@pytest.fixture(autouse=True)
def _look_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_looks, "POLL_S", 0.01)


@pytest.fixture
async def looks(database: Database) -> AsyncIterator[SharedLooks]:
    looks = SharedLooks(database)
    yield looks
    await looks.close()


@pytest.fixture
async def run_id(submit: "Submitter", spec_of: "SpecMaker") -> UUID:
    """A queued run."""
    return (await submit(spec_of())).runs[0].id


@pytest.fixture
def standing(reports: "Reports") -> Callable[..., Standing]:
    run_id = uuid4()

    def make(
        state: RunState, *, step: int | None = None, place: int | None = None, attempt: int = 1
    ) -> Standing:
        progress = None if step is None else reports.progress(step).model_dump(mode="json")
        return Standing(run_id, state, None, None, attempt, progress, place)

    return make


def told(
    before: Standing | None, now: Standing, evaluations: list[Any] | None = None
) -> list[str]:
    return [event.event for event in changes(before, now, evaluations or [])]


def test_the_first_word_is_the_state(standing: Callable[..., Standing]) -> None:
    waiting = standing(RunState.QUEUED, place=3)
    running = standing(RunState.RUNNING, step=5)

    assert told(None, waiting) == ["state", "queue"]
    assert told(None, running) == ["state", "progress"]


def test_only_changes_are_told(standing: Callable[..., Standing], reports: "Reports") -> None:
    third, second = standing(RunState.QUEUED, place=2), standing(RunState.QUEUED, place=1)
    begun, on_its_way = standing(RunState.RUNNING), standing(RunState.RUNNING, step=5)
    evaluation = reports.evaluation(5).model_dump(mode="json")

    assert told(third, third) == []
    assert told(third, second) == ["queue"]
    assert told(second, begun) == ["state"]
    assert told(begun, on_its_way, [evaluation]) == ["evaluation", "progress"]
    assert told(on_its_way, on_its_way) == []
    assert told(begun, standing(RunState.RUNNING, attempt=2)) == ["state"]


def test_the_last_word_is_the_final_state(
    standing: Callable[..., Standing], reports: "Reports"
) -> None:
    evaluation = reports.evaluation(9).model_dump(mode="json")
    over = standing(RunState.SUCCEEDED, step=9)

    assert told(standing(RunState.RUNNING), over, [evaluation]) == [
        "evaluation",
        "progress",
        "state",
    ]
    assert told(None, over, [evaluation]) == ["state", "evaluation", "progress", "state"]
    assert told(over, over) == []


class Watcher:
    """Reads a stream, one event after the other."""

    def __init__(self, looks: SharedLooks, *run_ids: UUID, after: int | None = None) -> None:
        self._stream = follow(looks, run_ids, after)

    async def next(self) -> dict[str, Any]:
        event = await anext(self._stream)
        return {"id": event.id, **json.loads(event.raw_data or "")}

    async def rest(self) -> list[dict[str, Any]]:
        return [
            {"id": event.id, **json.loads(event.raw_data or "")} async for event in self._stream
        ]


async def test_a_run_is_followed_from_the_queue_to_its_end(
    run_id: UUID, worker: "Worker", reports: "Reports", looks: SharedLooks
) -> None:
    watcher = Watcher(looks, run_id)
    seen = [await watcher.next(), await watcher.next()]
    await worker.claim(run_id)
    seen.append(await watcher.next())
    await worker.record(run_id, reports.progress(10))
    seen.append(await watcher.next())
    await worker.record(run_id, reports.evaluation(10), reports.evaluation(20))
    await worker.finish(run_id)

    seen += await watcher.rest()

    assert [event["event"] for event in seen] == [
        "state", "queue", "state", "progress", "evaluation", "evaluation", "state",
    ]  # fmt: skip
    assert [event["state"] for event in seen if event["event"] == "state"] == [
        "queued", "running", "succeeded",
    ]  # fmt: skip
    assert seen[1]["position"] == 0
    assert seen[3]["progress"]["eta_s"] == 90.0
    assert seen[4]["evaluation"] == reports.evaluation(10).model_dump(mode="json")
    assert [event["id"] for event in seen] == [None, None, None, None, "10", "20", None]
    assert {event["run_id"] for event in seen} == {str(run_id)}


async def test_who_comes_late_hears_the_newest_and_who_comes_back_hears_what_he_missed(
    run_id: UUID, worker: "Worker", reports: "Reports", looks: SharedLooks
) -> None:
    await worker.claim(run_id)
    await worker.record(run_id, *(reports.evaluation(step) for step in (0, 10, 20, 30)))
    await worker.finish(run_id)

    late = await Watcher(looks, run_id).rest()
    back = await Watcher(looks, run_id, after=10).rest()

    assert [event["id"] for event in late] == [None, "30", None]
    assert [event["id"] for event in back] == [None, "20", "30", None]


async def test_the_runs_of_an_experiment_are_followed_to_the_end_of_the_last(
    submit: "Submitter", spec_of: "SpecMaker", worker: "Worker", looks: SharedLooks
) -> None:
    first, second = (run.id for run in (await submit(spec_of(seeds=[0, 1]))).runs)
    watcher = Watcher(looks, first, second)
    beginning = [await watcher.next() for _ in range(4)]
    await worker.claim(first)
    await worker.finish(first)
    middle = [await watcher.next(), await watcher.next()]
    await worker.claim(second)
    await worker.finish(second, RunState.FAILED)

    end = await watcher.rest()

    assert [event["run_id"] for event in beginning] == [str(first)] * 2 + [str(second)] * 2
    assert (middle[0]["run_id"], middle[0]["state"]) == (str(first), "succeeded")
    assert (middle[1]["run_id"], middle[1]["position"]) == (str(second), 0)
    assert [(event["run_id"], event["state"]) for event in end][-1] == (str(second), "failed")
    assert str(first) not in {event["run_id"] for event in end}


async def test_no_connection_is_held_between_two_looks(
    run_id: UUID, database: Database, looks: SharedLooks
) -> None:
    watchers = [Watcher(looks, run_id) for _ in range(30)]  # three times the pool
    for watcher in watchers:
        await watcher.next()
        await watcher.next()

    waiting = [asyncio.create_task(watcher.rest()) for watcher in watchers]
    await asyncio.sleep(0)
    async with database.transaction() as session:
        await runs.request_cancel(session, run_id)

    assert [seen[-1]["state"] for seen in await asyncio.gather(*waiting)] == ["cancelled"] * 30


async def test_watching_outlasts_a_database_that_is_away(
    run_id: UUID, database: Database, looks: SharedLooks, monkeypatch: pytest.MonkeyPatch
) -> None:
    watcher = Watcher(looks, run_id)
    await watcher.next()
    await watcher.next()
    reading, tries = database.reading, iter(range(3))

    @asynccontextmanager
    async def away_at_first() -> AsyncIterator[Any]:
        if next(tries, None) is not None:
            raise DatabaseAway("the database does not answer")
        async with reading() as session:
            yield session

    async with database.transaction() as session:
        await runs.request_cancel(session, run_id)
    monkeypatch.setattr(database, "reading", away_at_first)

    seen = await watcher.rest()

    assert [event["state"] for event in seen] == ["cancelled"]
    assert next(tries, None) is None


async def test_all_watchers_share_one_look(
    run_id: UUID,
    worker: "Worker",
    reports: "Reports",
    database: Database,
    looks: SharedLooks,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(shared_looks, "POLL_S", 0.3)
    watchers = [Watcher(looks, run_id, after=-1) for _ in range(40)]
    beginnings = [[await watcher.next() for _ in range(2)] for watcher in watchers]
    await worker.claim(run_id)
    await worker.record(run_id, reports.evaluation(10), reports.progress(10))
    transactions: list[str] = []
    event.listen(
        database.engine.sync_engine, "begin", lambda _connection: transactions.append("begin")
    )

    middles = await asyncio.gather(*(next_of(watcher, 3) for watcher in watchers))

    assert len(transactions) == 1
    assert [word["event"] for word in middles[0]] == ["state", "evaluation", "progress"]
    assert all(middle == middles[0] for middle in middles)
    assert all(beginning == beginnings[0] for beginning in beginnings)


async def test_each_watcher_is_told_what_that_one_does_not_know(
    run_id: UUID, worker: "Worker", reports: "Reports", looks: SharedLooks
) -> None:
    """They come at different times and with different steps, and one does not read for a while."""
    await worker.claim(run_id)
    await worker.record(run_id, *(reports.evaluation(step) for step in (0, 10, 20)))
    slow, early = Watcher(looks, run_id, after=0), Watcher(looks, run_id)
    seen = [await slow.next()]
    heard = [await early.next() for _ in range(2)]
    await worker.record(run_id, reports.evaluation(30))
    heard.append(await early.next())
    late = Watcher(looks, run_id, after=20)
    known = [await late.next() for _ in range(2)]
    await worker.record(run_id, reports.evaluation(40), reports.progress(40))
    await worker.finish(run_id)

    all_told = await asyncio.gather(slow.rest(), early.rest(), late.rest())

    ids = [
        [event["id"] for event in (*before, *rest) if event["event"] == "evaluation"]
        for before, rest in zip((seen, heard, known), all_told, strict=True)
    ]
    assert ids == [["10", "20", "30", "40"], ["20", "30", "40"], ["30", "40"]]
    assert [rest[-1]["state"] for rest in all_told] == ["succeeded"] * 3


async def test_a_deleted_run_is_no_longer_followed(
    submit: "Submitter", spec_of: "SpecMaker", looks: SharedLooks, database: Database
) -> None:
    runs_of_both = (await submit(spec_of(seeds=[0, 1]))).runs
    gone, stays = (run.id for run in runs_of_both)
    watcher = Watcher(looks, gone, stays)
    for _ in range(4):
        await watcher.next()

    async with database.transaction() as session:
        for table in (ExperimentRun, Transition):
            await session.execute(delete(table).where(table.run_id == gone))
        await session.execute(delete(Run).where(Run.id == gone))
        await runs.request_cancel(session, stays)

    assert {event["run_id"] for event in await watcher.rest()} == {str(stays)}


async def test_a_watcher_that_leaves_disturbs_no_other(
    run_id: UUID, worker: "Worker", looks: SharedLooks
) -> None:
    stays, leaves = Watcher(looks, run_id), Watcher(looks, run_id)
    for watcher in (stays, leaves):
        for _ in range(2):
            await watcher.next()
    waiting = [asyncio.create_task(watcher.rest()) for watcher in (leaves, stays)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    await worker.claim(run_id)
    await worker.finish(run_id)

    rest = await waiting[1]

    assert rest[-1]["state"] == "succeeded"
    assert waiting[0].cancelled()


async def next_of(watcher: Watcher, count: int) -> list[dict[str, Any]]:
    return [await watcher.next() for _ in range(count)]
