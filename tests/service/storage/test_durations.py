"""How long runs take: their steps, and what comes before, between and after them."""

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import update

from polar.spec import StudySpec
from service.storage import durations
from service.storage.database import Database
from service.storage.durations import Duration
from service.storage.states import RunState
from service.storage.tables import Run

if TYPE_CHECKING:
    from tests.conftest import Reports
    from tests.service.conftest import SpecMaker, StudyMaker, Submitter, Worker


class Past:
    """Runs that have succeeded, and took as long as a test says."""

    def __init__(
        self,
        database: Database,
        submit: "Submitter",
        spec_of: "SpecMaker",
        worker: "Worker",
        reports: "Reports",
    ) -> None:
        self._database, self._submit, self._spec_of = database, submit, spec_of
        self._worker, self._reports = worker, reports

    async def run(self, steps: int, seconds: float, images_per_s: float | None) -> None:
        submission = await self._submit(self._spec_of(training={"steps": steps}), force=True)
        run_id = submission.runs[0].id
        await self._worker.claim(run_id)
        if images_per_s is not None:
            told = self._reports.progress(steps).model_copy(update={"images_per_s": images_per_s})
            await self._worker.record(run_id, told)
        await self._worker.finish(run_id, RunState.SUCCEEDED)
        ended = datetime.now(UTC)
        began = ended - timedelta(seconds=seconds)
        async with self._database.transaction() as session:
            times = update(Run).values(started_at=began, finished_at=ended)
            await session.execute(times.where(Run.id == run_id))


@pytest.fixture
def past(
    database: Database,
    submit: "Submitter",
    spec_of: "SpecMaker",
    worker: "Worker",
    reports: "Reports",
) -> Past:
    return Past(database, submit, spec_of, worker, reports)


async def usual(database: Database, study_of: "StudyMaker") -> Duration | None:
    async with database.transaction() as session:
        return await durations.usual_duration(session, StudySpec.model_validate(study_of()))


async def test_a_start_of_seconds_is_not_counted_for_every_step(
    past: Past, database: Database, study_of: "StudyMaker"
) -> None:
    # 30 steps that took 0.3 s, in a run of 25 s: two runs of 2,000 steps were announced as hours.
    await past.run(steps=30, seconds=25.0, images_per_s=6400.0)  # of batches of 64

    found = await usual(database, study_of)

    assert found is not None
    assert found.step_s == pytest.approx(0.01)
    assert found.of(2000) == pytest.approx(24.7 + 20.0)


async def test_runs_of_other_lengths_agree(
    past: Past, database: Database, study_of: "StudyMaker"
) -> None:
    for steps in (100, 1000, 3000):
        await past.run(steps, seconds=12.0 + 0.01 * steps, images_per_s=6400.0)

    found = await usual(database, study_of)

    assert found is not None
    assert (found.step_s, found.besides_s) == pytest.approx((0.01, 12.0))


async def test_a_run_that_waited_for_another_attempt_does_not_count_for_all(
    past: Past, database: Database, study_of: "StudyMaker"
) -> None:
    for seconds in (22.0, 22.0, 9000.0):
        await past.run(1000, seconds, images_per_s=6400.0)

    found = await usual(database, study_of)

    assert found is not None
    assert found.of(1000) == pytest.approx(22.0)


async def test_a_run_that_told_no_speed_counts_as_steps(
    past: Past, database: Database, study_of: "StudyMaker"
) -> None:
    await past.run(steps=100, seconds=20.0, images_per_s=None)

    found = await usual(database, study_of)

    assert found is not None
    assert (found.step_s, found.besides_s) == pytest.approx((0.2, 0.0))


async def test_a_speed_above_what_the_whole_run_took_leaves_nothing_besides(
    past: Past, database: Database, study_of: "StudyMaker"
) -> None:
    await past.run(steps=1000, seconds=5.0, images_per_s=6400.0)

    found = await usual(database, study_of)

    assert found is not None
    assert (found.step_s, found.besides_s) == pytest.approx((0.01, 0.0))


async def test_without_a_run_like_these_nothing_is_known(
    database: Database, study_of: "StudyMaker"
) -> None:
    assert await usual(database, study_of) is None
