"""The training loop, in the order in which things happen."""

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from jaxtyping import Int64
from torch import Tensor

from polar.records.events import CheckpointSaved, Evaluation, Progress
from polar.spec import ExperimentSpec
from polar.training import checkpoint, schedule, seeding
from polar.training.evaluation import evaluate
from polar.training.inputs import Inputs
from polar.training.meter import Meter
from polar.training.state import TrainingState
from polar.training.subset import EvaluationSubset


def train(
    state: TrainingState,
    spec: ExperimentSpec,
    inputs: Inputs,
    subset: EvaluationSubset,
    *,
    checkpoints: Path | None = None,
    stop: Callable[[], bool] | None = None,
) -> Iterator[Progress | Evaluation | CheckpointSaved]:
    """Train to the end, or until `stop` says so.

    A stopped training leaves `state.step` below the spec's steps. The numbers do not depend on
    reports, nor on stopping and resuming from a checkpoint.

    Args:
        state: Fresh or restored; changed in place.
        spec: A spec with one seed.
        inputs: All images, on the device of the model.
        subset: The images to evaluate on.
        checkpoints: Folder for the checkpoints; None to write none.
        stop: Called before every step; when it returns true, training writes a last checkpoint
            and ends.

    Yields:
        Progress, evaluations and saved checkpoints, as they occur.

    Raises:
        Diverged: a loss or the model is no longer finite.
    """
    steps, saved_every = spec.training.steps, spec.training.checkpoint_every
    evaluate_at = set(schedule.evaluation_steps(spec))
    batches = _batches(len(inputs), spec, state.step)
    meter = Meter(spec, state)

    while state.step < steps and not (stop and stop()):
        rows = next(batches).to(inputs.images.device)
        losses = state.model.losses(*inputs.batch(rows), state.noise)
        state.optimiser.zero_grad(set_to_none=True)
        torch.autograd.backward(losses.total)
        state.optimiser.step()
        state.step += 1
        meter.add(losses)

        evaluates = state.step in evaluate_at
        saves = state.step % saved_every == 0 or state.step == steps
        if not (evaluates or saves or meter.is_due()):
            continue
        yield meter.report()  # raises Diverged if a loss was not finite
        if evaluates:
            evaluation = evaluate(
                state.model, subset, spec, state.step, state.evaluations
            )
            state.evaluations.append(evaluation)
            yield evaluation
        if saves and checkpoints:
            yield _saved(state, checkpoints)
        meter.restart_clock()

    if checkpoints and state.step < steps:
        meter.check()
        yield _saved(state, checkpoints)


def _batches(n: int, spec: ExperimentSpec, first_step: int) -> Iterator[Int64[Tensor, " batch"]]:
    """Rows of each batch from `first_step` on; every epoch has its own order."""
    (seed,) = spec.seeds
    batch_size, epoch_steps = spec.training.batch_size, schedule.steps_per_epoch(spec)
    for step in itertools.count(first_step):
        epoch, position = divmod(step, epoch_steps)
        if position == 0 or step == first_step:
            order = seeding.order(seed, epoch, n)
        yield order[position * batch_size : (position + 1) * batch_size]


def _saved(state: TrainingState, folder: Path) -> CheckpointSaved:
    return CheckpointSaved(step=state.step, path=str(checkpoint.save(state, folder)))
