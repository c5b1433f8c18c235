"""Runs that end with findings to come."""

from collections.abc import Collection
from typing import TYPE_CHECKING
from uuid import UUID

import pytest

from polar.records.events import Result
from service.storage import findings
from service.storage.database import Database
from service.storage.findings import Claimed
from service.storage.states import FindingsState, RunState
from service.storage.tables import FindingsRow

if TYPE_CHECKING:
    from tests.conftest import Reports
    from tests.service.conftest import SpecMaker, Submitter, Worker

DIGEST = "d" * 64


class Ends:
    """Ends runs with their verdict alone, and does with findings what a finder does."""

    def __init__(
        self,
        database: Database,
        submit: "Submitter",
        worker: "Worker",
        spec_of: "SpecMaker",
        reports: "Reports",
    ) -> None:
        self._database = database
        self._submit = submit
        self._worker = worker
        self._spec_of = spec_of
        self.whole = reports.result(spec_of())
        self.verdict = self.whole.model_copy(update={"summary": None, "explanation": "One."})

    async def end(
        self,
        result: Result | None = None,
        state: RunState = RunState.SUCCEEDED,
        digest: str = DIGEST,
        **fields: object,
    ) -> UUID:
        (run,) = (await self._submit(self._spec_of(**fields), digest, force=True)).runs
        await self._worker.claim(run.id)
        await self._worker.record(run.id, result or self.verdict)
        await self._worker.finish(run.id, state)
        return run.id

    async def claim(
        self,
        lease_s: float = 30.0,
        *,
        only_asked_for: bool = False,
        max_attempts: int = 5,
        codes: Collection[str] = (),
    ) -> Claimed | None:
        async with self._database.transaction() as session:
            return await findings.claim(
                session,
                [DIGEST],
                lease_s,
                max_attempts=max_attempts,
                only_asked_for=only_asked_for,
                codes=codes,
            )

    async def ask(self, run_id: UUID) -> None:
        async with self._database.transaction() as session:
            await findings.ask(session, run_id)

    async def row(self, run_id: UUID) -> FindingsRow | None:
        async with self._database.transaction() as session:
            return await findings.of_run(session, run_id)

    async def state(self, run_id: UUID) -> tuple[FindingsState, str | None]:
        row = await self.row(run_id)
        assert row is not None
        return row.state, row.message


@pytest.fixture
async def ends(
    database: Database,
    submit: "Submitter",
    worker: "Worker",
    spec_of: "SpecMaker",
    reports: "Reports",
) -> Ends:
    await worker.announce()
    return Ends(database, submit, worker, spec_of, reports)
