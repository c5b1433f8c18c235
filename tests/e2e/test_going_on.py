"""Real agents go on from the last states of finished runs, and need none of them."""

from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

import torch
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from polar.data import catalogue
from polar.records.events import LAST_STATE_FILE
from polar.spec import ExperimentSpec, StudySpec
from polar.spec.course import with_steps
from polar.spec.points import WARM_START
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


async def test_a_training_from_inside_the_band_takes_the_last_state_of_its_donor(
    stage: "Stage",
) -> None:
    study = StudySpec.model_validate(
        {
            "base": SPEC.model_dump(),
            "search": {"model.beta": {"log_uniform": [0.01, 100]}},
            "range": {"held": True},
        }
    )
    point = {"model.beta": 1.0, "seed": 0, "training.steps": 20}
    held = {**point, "model.beta": 4.0, WARM_START: 1.0}
    stage.start_agent()

    donor = await end_of(stage, study.experiment(point))
    _double_weights(stage.settings.artifacts / _folder(donor) / LAST_STATE_FILE)
    went_on = await end_of(stage, study.experiment(held))
    anew = await end_of(stage, study.experiment(held), force=True)

    # They would be the same if it had trained the donor again.
    assert went_on.result != anew.result


def _double_weights(path: Path) -> None:
    """Makes another network of a state, so that whatever goes on from it comes elsewhere."""
    state = torch.load(path, weights_only=True)
    state["model"] = {
        name: 2 * weights if weights.is_floating_point() else weights
        for name, weights in state["model"].items()
    }
    torch.save(state, path)


def _folder(run: Run) -> str:
    return f"runs/{run.id}/attempt-{run.attempt}/out"
