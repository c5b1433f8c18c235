"""The steps at which a run is evaluated."""

import numpy as np

from polar.spec import ExperimentSpec


def steps_per_epoch(spec: ExperimentSpec) -> int:
    """Batches in one pass over the images; the last partial batch is dropped."""
    return spec.dataset.images // spec.training.batch_size


def evaluation_steps(spec: ExperimentSpec) -> tuple[int, ...]:
    """The steps after which a run is evaluated, ascending; the last is the end of training.

    They are log-spaced from 1 to the end, or follow the epochs that the spec names. 0.8 and 0.9 of
    the steps are always among them, because convergence is judged over the last fifth.
    """
    diagnostics, steps = spec.diagnostics, spec.training.steps
    if diagnostics.epochs is None:
        wanted = _log_spaced(steps, diagnostics.evaluations)
    else:
        wanted = {epoch * steps_per_epoch(spec) for epoch in diagnostics.epochs}
    always = {8 * steps // 10, 9 * steps // 10, steps}
    return tuple(sorted(step for step in wanted | always if 1 <= step <= steps))


def _log_spaced(steps: int, count: int) -> set[int]:
    """`count` log-spaced steps from 1 on; where rounding makes two equal, the later moves up."""
    chosen = [0]
    for step in np.geomspace(1, steps, count).round().astype(int).tolist():
        chosen.append(max(step, chosen[-1] + 1))
    return set(chosen[1:])
