"""How long runs take: their steps, and what comes before, between and after them."""

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import text, update

from polar.spec import StudySpec
from service.storage import durations, runs
from service.storage.database import Database
from service.storage.durations import Duration
from service.storage.states import RunState
from service.storage.tables import Run, Transition

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

    async def run(
        self,
        steps: int,
        seconds: float,
        images_per_s: float | None,
        *,
        first_step: int = 0,
        **training: Any,  # noqa: ANN401
    ) -> None:
        spec = self._spec_of(training={"steps": steps, **training})
        submission = await self._submit(spec, force=True)
        run_id = submission.runs[0].id
        await self._worker.claim(run_id)
        await self._worker.record(run_id, self._reports.started(first_step, steps))
        if images_per_s is not None:
            told = self._reports.progress(steps).model_copy(update={"images_per_s": images_per_s})
            await self._worker.record(run_id, told)
        await self._worker.finish(run_id, RunState.SUCCEEDED)
        ended = datetime.now(UTC)
        began = ended - timedelta(seconds=seconds)
        async with self._database.transaction() as session:
            times = update(Run).values(finished_at=ended)
            await session.execute(times.where(Run.id == run_id))
            claimed = update(Transition).values(at=began)
            await session.execute(
                claimed.where(Transition.run_id == run_id, Transition.state == RunState.RUNNING)
            )

    async def run_resumed(self, steps: int, at: int, seconds: float) -> None:
        """A run whose first attempt was lost, an hour before the second went on at a step."""
        submission = await self._submit(self._spec_of(training={"steps": steps}), force=True)
        run_id = submission.runs[0].id
        await self._worker.claim(run_id)
        await self._worker.record(run_id, self._reports.started(0, steps))
        async with self._database.transaction() as session:
            run = await runs.get(session, run_id)
            await runs.queue_lost(session, run)
        await self._worker.claim(run_id)
        await self._worker.record(run_id, self._reports.started(at, steps), attempt=2)
        await self._worker.finish(run_id, RunState.SUCCEEDED, attempt=2)
        ended = datetime.now(UTC)
        began = {1: ended - timedelta(hours=1), 2: ended - timedelta(seconds=seconds)}
        async with self._database.transaction() as session:
            await session.execute(
                update(Run).values(started_at=began[1], finished_at=ended).where(Run.id == run_id)
            )
            for attempt, at_time in began.items():
                claimed = (Transition.attempt == attempt) & (Transition.state == RunState.RUNNING)
                await session.execute(
                    update(Transition)
                    .values(at=at_time)
                    .where(Transition.run_id == run_id, claimed)
                )


@pytest.fixture
def past(
    database: Database,
    submit: "Submitter",
    spec_of: "SpecMaker",
    worker: "Worker",
    reports: "Reports",
) -> Past:
    return Past(database, submit, spec_of, worker, reports)


async def usual(
    database: Database,
    study_of: "StudyMaker",
    **fields: Any,  # noqa: ANN401
) -> Duration | None:
    async with database.transaction() as session:
        spec = StudySpec.model_validate(study_of(**fields))
        return await durations.usual_duration(session, spec.experiment({}))


async def test_a_start_of_seconds_is_not_counted_for_every_step(
    past: Past, database: Database, study_of: "StudyMaker"
) -> None:
    # 30 steps that took 0.3 s, in a run of 25 s: two runs of 2,000 steps were announced as hours.
    await past.run(steps=30, seconds=25.0, images_per_s=6400.0)  # of batches of 64

    found = await usual(database, study_of)

    assert found is not None
    assert found.step_s == pytest.approx(0.01)
    assert found.of(2000) == pytest.approx(24.7 + 20.0)


@pytest.mark.parametrize(("batch_size", "is_known"), [(64, True), (32, False)])
async def test_a_batch_size_to_which_the_study_is_fixed_counts(
    batch_size: int, is_known: bool, past: Past, database: Database, study_of: "StudyMaker"
) -> None:
    await past.run(steps=30, seconds=25.0, images_per_s=6400.0)  # of batches of 64
    base = {"dataset": {"name": "digits"}, "model": {}, "training": {"batch_size": 16}}
    axes = {
        "model.beta": {"log_uniform": [0.01, 100]},
        "training.batch_size": {"fixed": batch_size},
    }

    found = await usual(database, study_of, base=base, search=axes)

    assert (found is not None) is is_known


async def test_runs_of_other_lengths_agree(
    past: Past, database: Database, study_of: "StudyMaker"
) -> None:
    for steps in (100, 1000, 3000):
        await past.run(steps, seconds=12.0 + 0.01 * steps, images_per_s=6400.0)

    found = await usual(database, study_of)

    assert found is not None
    assert (found.step_s, found.besides_s) == pytest.approx((0.01, 12.0))


async def test_the_steps_of_a_shorter_run_take_a_longer_run_no_time(
    past: Past, database: Database, study_of: "StudyMaker"
) -> None:
    # A run from 2,000 to 2,100 steps counted as one of 2,100 steps within two seconds.
    await past.run(steps=2100, seconds=2.0, images_per_s=None, first_step=2000)

    found = await usual(database, study_of)

    assert found is not None
    assert (found.step_s, found.besides_s) == pytest.approx((0.02, 0.0))


async def test_what_a_run_from_a_shorter_one_takes_besides_its_steps_is_found(
    past: Past, database: Database, study_of: "StudyMaker"
) -> None:
    await past.run(steps=2100, seconds=13.0, images_per_s=6400.0, first_step=2000)

    found = await usual(database, study_of)

    assert found is not None
    assert (found.step_s, found.besides_s) == pytest.approx((0.01, 12.0))


async def test_a_run_that_made_no_step_says_nothing(
    past: Past, database: Database, study_of: "StudyMaker"
) -> None:
    await past.run(steps=100, seconds=5.0, images_per_s=None, first_step=100)

    assert await usual(database, study_of) is None


async def test_the_last_attempt_counts_with_its_own_steps_and_time(
    past: Past, database: Database, study_of: "StudyMaker"
) -> None:
    await past.run_resumed(steps=1000, at=900, seconds=3.0)

    found = await usual(database, study_of)

    assert found is not None
    assert (found.step_s, found.besides_s) == pytest.approx((0.03, 0.0))


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


async def test_a_run_that_went_on_from_another_training_says_nothing(
    past: Past, database: Database, study_of: "StudyMaker"
) -> None:
    await past.run(steps=1000, seconds=22.0, images_per_s=6400.0)
    donor = {"weight": 1.0, "steps": 5000}
    await past.run(steps=1000, seconds=72.0, images_per_s=6400.0, warm_start=[donor])

    found = await usual(database, study_of)

    assert found is not None
    assert (found.step_s, found.besides_s) == pytest.approx((0.01, 12.0))


async def test_a_run_from_before_there_were_warm_starts_counts(
    past: Past, database: Database, study_of: "StudyMaker"
) -> None:
    await past.run(steps=1000, seconds=22.0, images_per_s=6400.0)
    without = text("UPDATE app.runs SET spec = spec #- '{training,warm_start}'")
    async with database.transaction() as session:
        await session.execute(without)

    assert await usual(database, study_of) is not None


async def test_without_a_run_like_these_nothing_is_known(
    database: Database, study_of: "StudyMaker"
) -> None:
    assert await usual(database, study_of) is None


async def test_each_of_several_specs_has_the_duration_of_runs_like_its_own(
    past: Past, database: Database, spec_of: "SpecMaker"
) -> None:
    await past.run(steps=100, seconds=20.0, images_per_s=None, batch_size=16)
    await past.run(steps=100, seconds=50.0, images_per_s=None, batch_size=32)
    specs = [spec_of(training={"batch_size": size}) for size in (32, 64, 16, 32)]

    async with database.reading() as session:
        found = await durations.usual_durations(session, specs)
        assert await durations.usual_durations(session, []) == []

    assert [each and each.step_s for each in found] == [0.5, None, 0.2, 0.5]


async def test_the_latest_runs_count_alone(
    past: Past, database: Database, study_of: "StudyMaker"
) -> None:
    for seconds in [1000.0, *[20.0] * 19, *[40.0] * 10]:
        await past.run(steps=100, seconds=seconds, images_per_s=None)

    found = await usual(database, study_of)

    assert found is not None
    assert found.step_s == pytest.approx(0.3)  # of ten runs of each kind
