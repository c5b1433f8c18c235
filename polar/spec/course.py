"""Which training goes on from which: stages of a warm start, and trainings of more steps.

The course of a training is everything that decides its numbers at a step, wherever it ends.
Trainings of the same course are the same training as long as both last, so that the longer may go
on from the last state of the shorter. The same holds for the stages of a warm start, which are
trainings of their own.
"""

from typing import Any, Literal

from polar.errors import InvalidInput
from polar.spec.experiment import ExperimentSpec, hash_of
from polar.spec.training import Stage, TrainingSpec


def course(spec: ExperimentSpec) -> str:
    """SHA-256 (hex) of everything that decides the state and the evaluation at each step."""
    ends = {"steps", "until", "checkpoint_every", "weight_warm_up"}
    other: dict[str, Any] = {"name": True, "device": True, "downstream": True, "training": ends}
    warm_up, rising = spec.training.weight_warm_up, warm_up_steps(trainings(spec)[0].training)
    rise = [warm_up.scale, rising] if warm_up is not None and rising else None
    return hash_of([spec.model_dump(mode="json", exclude=other), rise])


def warm_up_steps(training: TrainingSpec) -> int:
    """The number of steps over which the weight rises; after a warm start it does not rise."""
    if training.weight_warm_up is None or training.warm_start:
        return 0
    return round(training.weight_warm_up.fraction * training.steps)


def trainings(spec: ExperimentSpec) -> tuple[ExperimentSpec, ...]:
    """The stages of a spec's warm start as specs of their own, in order, and then the spec."""
    training = spec.training
    stages = (
        spec.model_copy(
            update={
                "model": spec.model.with_weight(stage.weight),
                "training": training.model_copy(
                    update={
                        "steps": stage.steps,
                        "until": "steps",
                        "warm_start": training.warm_start[:place],
                    }
                ),
            }
        )
        for place, stage in enumerate(training.warm_start)
    )
    return (*stages, spec)


def with_steps(spec: ExperimentSpec, steps: int) -> ExperimentSpec:
    """The same training with another number of steps, all of which it makes.

    Raises:
        InvalidInput: there are fewer steps than those over which the weight rises, or they are no
            number of steps.
    """
    return longer(spec, steps, until="steps")


def longer(
    spec: ExperimentSpec, steps: int, until: Literal["steps", "settled"] | None = None
) -> ExperimentSpec:
    """The same training with another number of steps; the weight rises over as many as before.

    Args:
        spec: The training.
        steps: The number of steps.
        until: When it ends, as in `TrainingSpec`; by default as before.

    Raises:
        InvalidInput: as `with_steps`.
    """
    rising = warm_up_steps(spec.training)
    if steps < rising:
        raise InvalidInput(
            f"steps is {steps}; allowed: at least {rising}, because the weight rises so long"
        )
    content = spec.model_dump()
    content["training"] |= {"steps": steps, "until": until or spec.training.until}
    if rising:
        content["training"]["weight_warm_up"]["fraction"] = rising / steps
    elif not spec.training.warm_start:
        content["training"]["weight_warm_up"] = None
    return ExperimentSpec.from_content(content)


def warm_started(
    spec: ExperimentSpec, weight: float, *, steps: int | None = None
) -> ExperimentSpec:
    """A training at another weight that goes on from the end of the given training.

    If that training ended because it had settled, it is first trained to all its steps.

    Args:
        spec: The training that comes before; its model has a weight.
        weight: Weight of the new training.
        steps: Number of its steps; by default those of the training before.

    Raises:
        InvalidInput: the model has no weight, or weight or steps are not allowed.
    """
    if spec.model.weight_name is None or spec.model.weight is None:
        raise InvalidInput(f"the model is {spec.model.name}; allowed: a model with a weight")
    before = Stage(weight=spec.model.weight, steps=spec.training.steps)
    content = spec.model_dump()
    content["model"][spec.model.weight_name] = weight
    content["training"]["warm_start"] = [*content["training"]["warm_start"], before.model_dump()]
    content["training"]["steps"] = before.steps if steps is None else steps
    return ExperimentSpec.from_content(content)
