"""The steps at which a run is evaluated."""

from itertools import count, takewhile

from polar.spec import ExperimentSpec

#: The step from which on evaluations follow the spec. Chosen by us, because a network has hardly
#: moved before: the powers of two suffice there.
FINE_FROM = 8


def steps_per_epoch(spec: ExperimentSpec) -> int:
    """Batches in one pass over the images; the last partial batch is dropped."""
    return spec.dataset.images // spec.training.batch_size


def evaluation_steps(spec: ExperimentSpec) -> tuple[int, ...]:
    """The steps after which a run is evaluated, ascending; the last is the end of training.

    They are the powers of two, and from 8 on the rounded powers of 2^(1 / evaluations per
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


def _powers(per_doubling: int, last: int) -> set[int]:
    """The powers of 2^(1 / per_doubling), rounded, from 1 to at most the last step."""
    steps = (round(2 ** (exponent / per_doubling)) for exponent in count())
    return set(takewhile(lambda step: step <= last, steps))
