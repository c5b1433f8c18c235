"""The training loop, in the order in which things happen."""

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

from jaxtyping import Int64
from torch import Tensor

from polar.records.events import CheckpointSaved, Evaluation, Progress
from polar.spec import ExperimentSpec
from polar.training import checkpoint, schedule, seeding
from polar.training.evaluation import evaluate
from polar.training.inputs import Inputs
from polar.training.meter import Meter
from polar.training.state import TrainingState
from polar.training.steps import Steps
from polar.training.subset import EvaluationSubset


def train(
    state: TrainingState,
    inputs: Inputs,
    subset: EvaluationSubset,
    *,
    checkpoints: Path | None = None,
    stop: Callable[[], bool] | None = None,
) -> Iterator[Progress | Evaluation | CheckpointSaved]:
    """Train to the end, through the stages of a warm start first, or until `stop` says so.

    The numbers do not depend on reports, nor on stopping and resuming from a checkpoint.

    Args:
        state: Fresh or restored, of a spec with one seed; changed in place.
        inputs: The images to train on, on the device of the model.
        subset: The images to evaluate on.
        checkpoints: Folder for the checkpoints; None to write none.
        stop: Called before every step; when it returns true, training writes a last checkpoint
            and ends, and the state has not ended.

    Yields:
        Progress, evaluations and saved checkpoints, as they occur; only checkpoints, at step 0 of
        the run, while a stage of the warm start is trained.

    Raises:
        Diverged: a loss or the model is no longer finite.
    """
    while True:
        yield from _train_one(state, inputs, subset, checkpoints, stop)
        if not (state.is_in_warm_start and state.has_ended):
            return
        state.begin_next_training()


def _train_one(
    state: TrainingState,
    inputs: Inputs,
    subset: EvaluationSubset,
    checkpoints: Path | None,
    stop: Callable[[], bool] | None,
) -> Iterator[Progress | Evaluation | CheckpointSaved]:
    """Train the present training of the state to its end."""
    spec, is_reported = state.spec, not state.is_in_warm_start
    evaluate_at = set(schedule.evaluation_steps(spec)) if is_reported else set()
    batches = _batches(inputs, spec, state.step)
    meter = Meter(state)
    steps = Steps(state, inputs, meter)

    while not state.has_ended and not (stop and stop()):
        steps.make(next(batches), schedule.weight(spec, state.step))
        evaluates = state.step in evaluate_at
        saves = state.step % spec.training.checkpoint_every == 0
        if not (evaluates or saves or meter.is_due() or state.has_ended):
            continue
        progress = meter.report()  # raises Diverged if a loss was not finite
        if is_reported:
            yield progress
        if evaluates:
            evaluation = evaluate(state.model, subset, spec, state.step, state.evaluations)
            state.evaluations.append(evaluation)
            yield evaluation
        if checkpoints and (saves or state.has_ended):
            yield _saved(state, checkpoints)
        meter.restart_clock()

    if checkpoints and not state.has_ended:
        meter.check()
        yield _saved(state, checkpoints)


def _batches(
    inputs: Inputs, spec: ExperimentSpec, first_step: int
) -> Iterator[Int64[Tensor, " batch"]]:
    """Rows of each batch from `first_step` on, on the device; every epoch has its own order."""
    (seed,) = spec.seeds
    batch_size, epoch_steps = spec.training.batch_size, schedule.steps_per_epoch(spec)
    for step in itertools.count(first_step):
        epoch, position = divmod(step, epoch_steps)
        if position == 0 or step == first_step:
            order = seeding.order(seed, epoch, len(inputs))
            order = order.to(inputs.images.device, non_blocking=True)
        yield order[position * batch_size : (position + 1) * batch_size]


def _saved(state: TrainingState, folder: Path) -> CheckpointSaved:
    path = checkpoint.save(state, folder)
    return CheckpointSaved(step=0 if state.is_in_warm_start else state.step, path=str(path))
