"""Last states: from which finished runs another run may go on."""

from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
from sqlalchemy import select, update

from polar.records.events import LAST_STATE_FILE, ArtifactSaved, Progress
from polar.spec import ExperimentSpec
from polar.spec.course import warm_started, with_steps
from service.storage import runs
from service.storage.database import Database
from service.storage.last_states import last_states_for
from service.storage.states import RunState
from service.storage.tables import Metric, Run

if TYPE_CHECKING:
    from tests.conftest import Reports
    from tests.service.conftest import SpecMaker, Submitter, Worker

DIGEST = "d" * 64


class Trainer:
    """Submits runs and ends them, as an agent does, with a last state named after the run."""

    def __init__(self, database: Database, submit: "Submitter", worker: "Worker") -> None:
        self._database = database
        self._submit = submit
        self._worker = worker

    async def submit(
        self, spec: ExperimentSpec, digest: str = DIGEST, *, force: bool = False
    ) -> UUID:
        (run,) = (await self._submit(spec, digest, force=force)).runs
        return run.id

    async def finish(
        self,
        spec: ExperimentSpec,
        digest: str = DIGEST,
        *,
        made: int | None = None,
        state: RunState = RunState.SUCCEEDED,
        has_state: bool = True,
        reported: Progress | None = None,
    ) -> str:
        """Ends a run of the spec after so many steps, and returns where its last state is."""
        run_id = await self.submit(spec, digest)
        await self._worker.claim(run_id)
        path = f"runs/{run_id}/{LAST_STATE_FILE}"
        if reported is not None:
            await self._worker.record(run_id, reported)
        if has_state:
            await self._worker.record(run_id, ArtifactSaved(name=LAST_STATE_FILE, path=path))
        await self._worker.record(run_id, ArtifactSaved(name="result.json", path="other"))
        async with self._database.transaction() as session:
            result = {"steps": spec.training.steps if made is None else made}
            await session.execute(update(Run).where(Run.id == run_id).values(result=result))
        await self._worker.finish(run_id, state)
        return path

    async def offered(self, run_id: UUID) -> list[str]:
        async with self._database.transaction() as session:
            return list(await last_states_for(session, await runs.get(session, run_id)))


@pytest.fixture
def trainer(database: Database, submit: "Submitter", worker: "Worker") -> Trainer:
    return Trainer(database, submit, worker)


@pytest.fixture
def spec(spec_of: "SpecMaker") -> ExperimentSpec:
    return spec_of(training={"steps": 100})


async def test_a_run_goes_on_from_the_longest_of_the_shorter_runs(
    trainer: Trainer, spec: ExperimentSpec
) -> None:
    paths = {
        steps: await trainer.finish(with_steps(spec, steps)) for steps in (100, 400, 200, 300)
    }

    offered = await trainer.offered(await trainer.submit(with_steps(spec, 350)))

    assert offered == [paths[300], paths[200], paths[100]]


async def test_a_run_that_ended_early_counts_with_the_steps_that_it_made(
    trainer: Trainer, spec: ExperimentSpec, spec_of: "SpecMaker"
) -> None:
    settled = spec_of(training={"steps": 1000, "until": "settled"})
    path = await trainer.finish(settled, made=150)

    assert await trainer.offered(await trainer.submit(with_steps(spec, 200))) == [path]
    assert await trainer.offered(await trainer.submit(with_steps(spec, 120))) == []


async def test_a_warm_start_goes_on_from_its_latest_stage(
    trainer: Trainer, spec: ExperimentSpec
) -> None:
    warm = warm_started(spec, weight=2.0, steps=50)
    warmer = warm_started(warm, weight=3.0, steps=1000)
    first = await trainer.finish(spec)
    shorter = await trainer.finish(with_steps(spec, 99))
    second = await trainer.finish(warm)

    offered = await trainer.offered(await trainer.submit(warmer))

    assert offered == [second, first, shorter]


@pytest.mark.parametrize(
    "changed",
    [
        {"model": {"beta": 2.0}},
        {"seeds": [1]},
        {"training": {"steps": 100, "learning_rate": 0.5}},
        {"dataset": {"name": "digits", "images": 1000}},
    ],
)
async def test_runs_of_another_course_are_of_no_use(
    trainer: Trainer, spec: ExperimentSpec, spec_of: "SpecMaker", changed: dict[str, Any]
) -> None:
    await trainer.finish(spec_of(**{"training": {"steps": 100}, **changed}))

    assert await trainer.offered(await trainer.submit(with_steps(spec, 200))) == []


async def test_runs_on_another_dataset_are_of_no_use(
    trainer: Trainer, spec: ExperimentSpec
) -> None:
    await trainer.finish(spec, digest="e" * 64)

    assert await trainer.offered(await trainer.submit(with_steps(spec, 200))) == []


@pytest.mark.parametrize(
    "ending", [{"state": RunState.FAILED}, {"state": RunState.PRUNED}, {"has_state": False}]
)
async def test_only_runs_that_have_succeeded_and_kept_their_state_are_of_use(
    trainer: Trainer, spec: ExperimentSpec, ending: dict[str, Any]
) -> None:
    await trainer.finish(spec, **ending)

    assert await trainer.offered(await trainer.submit(with_steps(spec, 200))) == []


async def test_a_run_that_is_to_be_trained_anew_goes_on_from_none(
    trainer: Trainer, spec: ExperimentSpec
) -> None:
    await trainer.finish(spec)

    assert await trainer.offered(await trainer.submit(with_steps(spec, 200), force=True)) == []


async def curve_of(database: Database, run_id: UUID) -> dict[str, list[int]]:
    """The steps of each metric of a run, in the order in which the tracker reads them."""
    async with database.transaction() as session:
        rows = await session.scalars(
            select(Metric).where(Metric.run_id == run_id).order_by(Metric.sequence)
        )
        curves: dict[str, list[int]] = {}
        for row in rows:
            curves.setdefault(row.key, []).append(row.step)
        return curves


async def test_the_training_curves_of_a_longer_run_begin_with_the_first_step(
    trainer: Trainer,
    spec: ExperimentSpec,
    worker: "Worker",
    reports: "Reports",
    database: Database,
) -> None:
    # They began where the shorter run had ended, so that MLflow showed the end of a course alone.
    run_ids = []
    for steps, first in ((100, 0), (200, 100), (400, 200)):
        run_id = await trainer.submit(with_steps(spec, steps))
        await worker.claim(run_id)
        await worker.record(run_id, reports.started(first))
        await worker.record(run_id, *(reports.progress(step) for step in (first + 50, steps)))
        await worker.record(run_id, reports.evaluation(steps))
        async with database.transaction() as session:
            await session.execute(
                update(Run).where(Run.id == run_id).values(result={"steps": steps})
            )
        await worker.finish(run_id)
        run_ids.append(run_id)

    curves = await curve_of(database, run_ids[-1])

    assert curves["train/loss"] == [50, 100, 150, 200, 250, 400]
    assert curves["train/penalty"] == curves["train/loss"]
    assert curves["latent/n_active"] == [400]  # the child reports all evaluations anew


async def test_a_run_from_scratch_or_of_another_course_inherits_no_curve(
    trainer: Trainer,
    spec: ExperimentSpec,
    spec_of: "SpecMaker",
    worker: "Worker",
    reports: "Reports",
    database: Database,
) -> None:
    await trainer.finish(spec, made=100, reported=reports.progress(50))
    scratch = await trainer.submit(with_steps(spec, 200))
    other = await trainer.submit(spec_of(training={"steps": 200}, model={"beta": 2.0}))
    for run_id, first in ((scratch, 0), (other, 100)):
        await worker.claim(run_id)
        await worker.record(run_id, reports.started(first))

    assert await curve_of(database, scratch) == {}
    assert await curve_of(database, other) == {}


async def test_a_run_that_an_earlier_version_queued_inherits_no_curve(
    trainer: Trainer,
    spec: ExperimentSpec,
    worker: "Worker",
    reports: "Reports",
    database: Database,
) -> None:
    await trainer.finish(spec, made=100, reported=reports.progress(50))
    queued = await trainer.submit(with_steps(spec, 200))
    async with database.transaction() as session:
        await session.execute(update(Run).values(course=None))
    await worker.claim(queued)
    await worker.record(queued, reports.started(100))

    assert await curve_of(database, queued) == {}
