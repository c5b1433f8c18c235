"""A training that is done twice, and has the same numbers whatever happens to one of the two."""

from typing import TYPE_CHECKING
from uuid import UUID

from polar.spec import ExperimentSpec
from polar.training.schedule import evaluation_steps
from service.storage import runs
from service.storage.evaluations import evaluations_of
from service.storage.metrics import SYSTEM, TRAINING

if TYPE_CHECKING:
    from tests.processes import Stage

INTERVAL = 25
SPEC = ExperimentSpec.model_validate(
    {
        "dataset": {"name": "digits", "images": 256},
        "model": {"latent_dim": 4, "widths": [4, 4, 4, 4, 4]},
        "training": {"steps": 10 * INTERVAL, "batch_size": 16, "checkpoint_every": INTERVAL},
        "diagnostics": {"evaluations_per_doubling": 1, "images": 64},
    }
)


def longer(intervals: int) -> ExperimentSpec:
    """The training with so many intervals of checkpoints, for faults that take a while."""
    training = SPEC.training.model_copy(update={"steps": intervals * INTERVAL})
    return SPEC.model_copy(update={"training": training})


async def checkpoint_of(stage: "Stage", run_id: UUID, after: int = 0) -> int:
    """The step of the run's newest checkpoint, as soon as it has one after this step."""
    run = await stage.run(run_id, lambda run: (run.checkpoint_step or 0) > after)
    return run.checkpoint_step or 0


async def assert_same_numbers(stage: "Stage", run_id: UUID, other_id: UUID) -> None:
    """Those of the training and of the findings, which are made from its last state."""
    for each in (run_id, other_id):
        await stage.findings_of(each)
    await assert_same_training(stage, run_id, other_id)
    async with stage.database.transaction() as session:
        run, other = await runs.get(session, run_id), await runs.get(session, other_id)
    assert run.result == other.result
    metrics, others = [
        {
            at: metric.value
            for at, metric in (await stage.metrics_of(each)).items()
            if not metric.key.startswith(SYSTEM)
        }
        for each in (run_id, other_id)
    ]
    assert metrics == others


async def assert_same_training(stage: "Stage", run_id: UUID, other_id: UUID) -> None:
    """Those of every step and of every evaluation, and the verdict: all that a training tells."""
    metrics, others = [
        {
            at: metric.value
            for at, metric in (await stage.metrics_of(each)).items()
            if metric.key.startswith(TRAINING)
        }
        for each in (run_id, other_id)
    ]
    assert metrics == others
    async with stage.database.transaction() as session:
        evaluations = await evaluations_of(session, run_id)
        assert evaluations == await evaluations_of(session, other_id)
        run, other = await runs.get(session, run_id), await runs.get(session, other_id)
    planned = evaluation_steps(ExperimentSpec.model_validate(run.spec))
    assert [evaluation["step"] for evaluation in evaluations] == list(planned)
    assert run.result is not None
    assert other.result is not None
    assert run.result["final"] == other.result["final"]
