"""Real agents go on from the last states of finished runs, and need none of them."""

from typing import TYPE_CHECKING
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from polar.data import catalogue
from polar.records.events import LAST_STATE_FILE
from polar.spec import ExperimentSpec
from polar.spec.course import with_steps
from service import queue
from service.storage import experiments
from service.storage.evaluations import evaluations_of
from service.storage.metrics import TRAINING
from service.storage.states import RunState
from service.storage.tables import Metric, Run

if TYPE_CHECKING:
    from tests.processes import Stage

SPEC = ExperimentSpec.model_validate(
    {
        "dataset": {"name": "digits", "images": 100},
        "model": {"latent_dim": 2, "widths": [4, 4, 4, 4, 4]},
        "training": {"steps": 20, "batch_size": 16, "weight_warm_up": {}},
        "diagnostics": {"information_images": 0},
    }
)


async def end_of(stage: "Stage", spec: ExperimentSpec, *, force: bool = False) -> Run:
    async with stage.database.transaction() as session:
        digest = catalogue.digest("digits")
        submission = await experiments.create(session, spec, digest, force=force)
        await queue.enqueue(stage.app, session, submission.new)
    ended = await stage.end_of(submission.runs[0].id)
    assert ended.state is RunState.SUCCEEDED, ended.status_message
    return ended


def first_step(run: Run) -> int:
    assert run.started is not None
    step: int = run.started["step"]
    return step


async def training_curves(session: AsyncSession, run_id: UUID) -> list[tuple[str, int, float]]:
    query = select(Metric).where(Metric.run_id == run_id, Metric.key.startswith(TRAINING))
    rows = await session.scalars(query.order_by(Metric.key, Metric.step))
    return [(row.key, row.step, row.value) for row in rows]


async def test_a_longer_run_goes_on_from_a_shorter_one_to_the_same_numbers(
    stage: "Stage",
) -> None:
    stage.start_agent()

    short = await end_of(stage, SPEC)
    extended = await end_of(stage, with_steps(SPEC, 40))
    anew = await end_of(stage, with_steps(SPEC, 40), force=True)
    (stage.settings.artifacts / _folder(short) / LAST_STATE_FILE).write_bytes(b"damaged")
    without = await end_of(stage, with_steps(SPEC, 30))

    assert [first_step(run) for run in (short, extended, anew, without)] == [0, 20, 0, 0]
    assert extended.result == anew.result
    async with stage.database.transaction() as session:
        evaluations = await evaluations_of(session, extended.id)
        assert evaluations == await evaluations_of(session, anew.id)
        assert await training_curves(session, extended.id) == (
            await training_curves(session, anew.id)
        )
    assert stage.checkpoints_of(extended.id) == []


def _folder(run: Run) -> str:
    return f"runs/{run.id}/attempt-{run.attempt}/out"
