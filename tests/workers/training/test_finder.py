"""The finder of an agent: what becomes of findings, whatever its child does."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

import pytest

from polar.data import catalogue
from polar.spec import ExperimentSpec
from service.storage import experiments, findings, runs
from service.storage.artifacts import artifacts_of
from service.storage.findings import Claimed
from service.storage.states import FindingsState, RunState
from service.storage.tables import FindingsRow
from workers.training import finder
from workers.training.finder import PATIENT, URGENT, Finder
from workers.training.patience import PatientDatabase, T, Work

if TYPE_CHECKING:
    from tests.conftest import Reports
    from tests.processes import Stage

HERE = Path(__file__).parent
SPEC = ExperimentSpec.model_validate({"dataset": {"name": "digits"}, "model": {}})


class Bench:
    """Runs that have ended with their verdict, and a finder that works in this process."""

    def __init__(self, stage: "Stage", reports: "Reports") -> None:
        self._stage = stage
        self._result = reports.result(SPEC)
        self.is_training = False
        self._working: asyncio.Task[None] | None = None

    async def end(self, fate: str) -> UUID:
        """A run whose findings fare as this word says."""
        early = self._result.model_copy(update={"summary": None})
        digest = catalogue.digest("digits")
        async with self._stage.database.transaction() as session:
            (run,) = (await experiments.create(session, SPEC, digest, force=True)).runs
        async with self._stage.database.transaction() as session:
            await runs.claim(session, run.id, "agent", 30.0)
            await runs.record(session, run.id, 1, early)
            await runs.finish(session, run.id, 1, RunState.SUCCEEDED)
        self.folder(run.id).mkdir(parents=True)
        (self.folder(run.id) / "fate").write_text(fate)
        return run.id

    def folder(self, run_id: UUID) -> Path:
        return self._stage.settings.artifacts / "runs" / str(run_id) / "attempt-1" / "out"

    async def ask(self, run_id: UUID) -> None:
        async with self._stage.database.transaction() as session:
            await findings.ask(session, run_id)

    def work(self) -> None:
        pretending = Finder(
            self._stage.settings,
            PatientDatabase(self._stage.database),
            is_training=lambda: self.is_training,
            is_well=lambda: True,
            command=[sys.executable, str(HERE / "pretending_findings_child.py")],
        )
        self._working = asyncio.create_task(pretending.work())

    async def stop(self) -> None:
        if self._working is not None:
            self._working.cancel()
            with suppress(asyncio.CancelledError):
                await self._working

    async def row(self, run_id: UUID) -> FindingsRow:
        async with self._stage.database.transaction() as session:
            return await session.get_one(FindingsRow, run_id)

    async def lost(self, run_id: UUID) -> str:
        """Why the first attempt was lost, as soon as it was."""
        row = await self._stage.findings(run_id, lambda row: row.message is not None)
        return row.message or ""

    async def maker(self, run_id: UUID) -> tuple[int, int]:
        """Nice value and process of the child that works on these findings, once it does."""
        path = self.folder(run_id) / "maker"
        await self._stage.until(lambda: path.exists() and bool(path.read_text()))
        niceness, pid = path.read_text().split()
        return int(niceness), int(pid)


@pytest.fixture
async def bench(
    stage: "Stage", reports: "Reports", monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Bench]:
    monkeypatch.setenv("MADE_UP_RESULT", reports.result(SPEC).model_dump_json())
    monkeypatch.setattr(finder, "POLL_S", 0.05)
    bench = Bench(stage, reports)
    yield bench
    await bench.stop()


async def test_findings_are_made_one_run_after_the_other_by_one_patient_child(
    bench: Bench, stage: "Stage"
) -> None:
    first, second = [await bench.end("made") for _ in range(2)]
    bench.work()

    rows = [await stage.findings_of(run_id) for run_id in (first, second)]

    assert [(row.state, row.attempt) for row in rows] == [(FindingsState.MADE, 1)] * 2
    async with stage.database.transaction() as session:
        (file,) = await artifacts_of(session, first)
    assert (file.name, file.path) == ("a.png", f"runs/{first}/attempt-1/out/a.png")
    assert await bench.maker(first) == await bench.maker(second)
    niceness, pid = await bench.maker(first)
    assert niceness == PATIENT
    assert os.getsid(pid) == pid  # so that nice values of sessions count, too


@pytest.mark.parametrize(
    ("fate", "reason", "message"),
    [
        ("refused", "dataset_missing", "digits is not here"),
        ("of another run", "files_changed", "result.json has another seed; restore them"),
        ("nonsense", "bug", "the child wrote a line that is not an event of this run"),
        ("a file elsewhere", "bug", "'/etc/passwd' is not in the subpath"),
    ],
)
async def test_findings_that_cannot_be_made_fail_and_the_next_are_made(
    bench: Bench, stage: "Stage", fate: str, reason: str, message: str
) -> None:
    failing, healthy = await bench.end(fate), await bench.end("made")
    bench.work()

    row = await stage.findings_of(failing)

    assert (row.state, row.reason) == (FindingsState.FAILED, reason)
    assert message in (row.message or "")
    assert (await stage.findings_of(healthy)).state is FindingsState.MADE


@pytest.mark.parametrize(
    ("fate", "message"),
    [
        ("killed", "the process that makes findings has ended with code -9"),
        ("disk full", "No space left on device"),
        ("hangs", "they took longer than 1 s"),
    ],
)
async def test_a_lost_attempt_is_repeated_after_a_pause_and_leaves_its_reason(
    bench: Bench, stage: "Stage", fate: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit_s = finder.LIMIT_S
    monkeypatch.setattr(finder, "LIMIT_S", 1.0 if fate == "hangs" else limit_s)
    monkeypatch.setattr(findings, "AGAIN_S", 0.5)
    unlucky = await bench.end(fate)
    bench.work()

    assert await bench.lost(unlucky) == message
    monkeypatch.setattr(finder, "LIMIT_S", limit_s)
    (bench.folder(unlucky) / "fate").write_text("made")
    healthy = await bench.end("made")

    row = await stage.findings_of(unlucky)
    assert row.state is FindingsState.MADE
    assert row.attempt >= 2
    assert (await stage.findings_of(healthy)).state is FindingsState.MADE


async def test_a_slot_that_trains_makes_only_what_somebody_waits_for(
    bench: Bench, stage: "Stage"
) -> None:
    bench.is_training = True
    patient, urgent = [await bench.end("made") for _ in range(2)]
    await bench.ask(urgent)
    bench.work()

    assert (await stage.findings_of(urgent)).state is FindingsState.MADE
    assert (await bench.row(patient)).attempt == 0
    niceness, pid = await bench.maker(urgent)
    assert niceness == URGENT
    await stage.until(lambda: stage.is_gone(pid))  # its memory belongs to the training
    bench.is_training = False
    assert (await stage.findings_of(patient)).state is FindingsState.MADE
    assert (await bench.maker(patient))[0] == PATIENT


async def test_a_finder_that_is_stopped_gives_back_what_it_has_and_leaves_no_child(
    bench: Bench, stage: "Stage"
) -> None:
    run_id = await bench.end("hangs")
    bench.work()
    _, pid = await bench.maker(run_id)

    await bench.stop()

    assert stage.is_gone(pid)
    row = await bench.row(run_id)
    assert (row.state, row.losses, row.lease_until) == (FindingsState.TO_COME, 0, None)


async def test_a_lease_is_renewed_while_the_child_works_and_a_lost_one_ends_it(
    bench: Bench, stage: "Stage"
) -> None:
    run_id = await bench.end("hangs")
    bench.work()
    _, pid = await bench.maker(run_id)
    before = (await bench.row(run_id)).lease_until
    assert before is not None
    await stage.findings(run_id, lambda row: (row.lease_until or before) > before)

    (bench.folder(run_id) / "fate").write_text("made")
    async with stage.database.transaction() as session:  # as if another had taken it
        (await session.get_one(FindingsRow, run_id)).attempt += 1

    await stage.until(lambda: stage.is_gone(pid))


async def test_findings_that_somebody_asks_for_meanwhile_are_made_anew_without_patience(
    bench: Bench, stage: "Stage"
) -> None:
    run_id = await bench.end("hangs")
    bench.work()
    _, patient = await bench.maker(run_id)
    (bench.folder(run_id) / "fate").write_text("made")

    await bench.ask(run_id)

    row = await stage.findings_of(run_id)
    assert (row.state, row.attempt) == (FindingsState.MADE, 2)
    assert stage.is_gone(patient)
    assert (await bench.maker(run_id))[0] == URGENT


async def test_findings_that_somebody_asks_for_do_not_wait_for_others_that_take_long(
    bench: Bench, stage: "Stage"
) -> None:
    slow, asked_for = await bench.end("hangs"), await bench.end("made")
    bench.work()
    _, patient = await bench.maker(slow)

    await bench.ask(asked_for)

    assert (await stage.findings_of(asked_for)).state is FindingsState.MADE
    assert stage.is_gone(patient)
    row = await stage.findings(slow, lambda row: row.attempt == 2)
    assert row.losses == 1  # the attempt that goes on; the first was given back


@pytest.mark.parametrize(("failing", "fate"), [("record", "made"), ("renew", "hangs")])
async def test_an_error_of_the_finder_fails_the_findings_and_the_next_are_made(
    bench: Bench,
    stage: "Stage",
    failing: str,
    fate: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    fail_once(monkeypatch, failing)
    failed, healthy = await bench.end(fate), await bench.end("made")
    bench.work()

    row = await stage.findings_of(failed)

    assert (row.state, row.reason) == (FindingsState.FAILED, "bug")
    assert "a bug of ours" in (row.message or "")
    assert "findings failed in their agent" in caplog.text
    assert (await stage.findings_of(healthy)).state is FindingsState.MADE


async def test_a_finder_that_cannot_look_for_findings_looks_again(
    bench: Bench, stage: "Stage", monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    fail_once(monkeypatch, "claim")
    run_id = await bench.end("made")
    bench.work()

    assert (await stage.findings_of(run_id)).state is FindingsState.MADE
    assert "a bug of ours" in caplog.text


def fail_once(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Let the next call of this function of storage fail."""
    works = getattr(findings, name)

    def fail(*_: object, **__: object) -> None:
        monkeypatch.setattr(findings, name, works)
        raise KeyError("a bug of ours")

    monkeypatch.setattr(findings, name, fail)


async def test_a_finder_that_is_stopped_while_it_claims_gives_back_what_it_has_claimed(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    once, has_claimed = PatientDatabase.once, asyncio.Event()

    async def slowly(database: PatientDatabase, work: Work[T]) -> T:
        result = await once(database, work)
        if isinstance(result, Claimed):
            has_claimed.set()
            await asyncio.sleep(0.1)
        return result

    monkeypatch.setattr(PatientDatabase, "once", slowly)
    run_id = await bench.end("hangs")
    bench.work()
    await has_claimed.wait()

    await bench.stop()

    row = await bench.row(run_id)
    assert (row.attempt, row.losses, row.lease_until) == (1, 0, None)


async def test_a_finder_that_is_stopped_while_it_records_gives_back_what_it_has(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_recording = asyncio.Event()

    async def hang(*_: object) -> None:
        is_recording.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(findings, "record", hang)
    run_id = await bench.end("made")
    bench.work()
    await is_recording.wait()

    await bench.stop()

    row = await bench.row(run_id)
    assert (row.state, row.losses, row.lease_until) == (FindingsState.TO_COME, 0, None)
