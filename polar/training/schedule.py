"""What happens at which step: the weight of each step, and the steps of the evaluations."""

from collections.abc import Sequence
from itertools import count, takewhile

from polar.records.events import Evaluation
from polar.spec import ExperimentSpec
from polar.spec.course import warm_up_steps

#: The step from which on evaluations follow the spec. Chosen by us, because a network has hardly
#: moved before: the powers of two suffice there.
FINE_FROM = 32
#: The first power of four at which the information is measured. It costs more than all else that
#: is measured of the codes, and says little before anything is learned.
INFORMATION_FROM = 256
#: Where a logarithmic warm-up starts, as a part of the weight.
WARM_UP_FROM = 1e-3


def steps_per_epoch(spec: ExperimentSpec) -> int:
    """Batches in one pass over the training images; the last partial batch is dropped."""
    return spec.training_images // spec.training.batch_size


def weight(spec: ExperimentSpec, step: int) -> float:
    """The weight of the penalty in a step; 0 for a model without a weight.

    Args:
        spec: What is trained.
        step: Number of steps before it, at least 0.

    Returns:
        During the warm-up, weight * step / n or weight * 1000^(step / n - 1), where n is the
        number of its steps; the weight itself from step n on.
    """
    full, warm_up, n = (
        spec.model.weight or 0.0,
        spec.training.weight_warm_up,
        warm_up_steps(spec.training),
    )
    if warm_up is None or step >= n:
        return full
    if warm_up.scale == "linear":
        return full * (step / n)
    return full * WARM_UP_FROM ** (1 - step / n)


def end(spec: ExperimentSpec, evaluations: Sequence[Evaluation]) -> int | None:
    """The step at which a training ends because it has settled; None if that is not known yet."""
    if spec.training.until == "steps":
        return None
    settled = (evaluation.step for evaluation in evaluations if evaluation.verdict.settled)
    return next(settled, None)


def evaluation_steps(spec: ExperimentSpec) -> tuple[int, ...]:
    """The steps after which a run is evaluated, ascending; the last is the end of training.

    They are the powers of two, and from 32 on the rounded powers of 2^(1 / evaluations per
    doubling), or the ends of the epochs that the spec names. Only the last depends on the number
    of steps, so that a longer training has the evaluations of a shorter one. The powers of two
    are always among them, because whether training has settled is judged from the last evaluation
    within the first 60 % of the steps on.
    """
    last, per_doubling = spec.training.steps, spec.diagnostics.evaluations_per_doubling
    steps = {last, *_powers(1, last)}
    if spec.diagnostics.epochs is None:
        steps |= {step for step in _powers(per_doubling, last) if step >= FINE_FROM}
    else:
        steps |= {epoch * steps_per_epoch(spec) for epoch in spec.diagnostics.epochs}
    return tuple(sorted(step for step in steps if step <= last))


def measures_information(spec: ExperimentSpec, step: int, *, has_settled: bool) -> bool:
    """Whether the information is measured at an evaluation.

    It is at the end of training, at the powers of four from 256 on, and at the epochs that the
    spec names.

    Args:
        spec: What is trained.
        step: The step of the evaluation.
        has_settled: Whether the training had settled by then.
    """
    training = spec.training
    is_end = step == training.steps or (has_settled and training.until == "settled")
    is_named = step in {epoch * steps_per_epoch(spec) for epoch in spec.diagnostics.epochs or ()}
    is_power = step >= INFORMATION_FROM and step.bit_count() == 1 and step.bit_length() % 2 == 1
    return is_end or is_named or is_power


def _powers(per_doubling: int, last: int) -> set[int]:
    """The powers of 2^(1 / per_doubling), rounded, from 1 to at most the last step."""
    steps = (round(2 ** (exponent / per_doubling)) for exponent in count())
    return set(takewhile(lambda step: step <= last, steps))
