"""The points of a study, and the experiment at a point."""

from collections.abc import Mapping
from typing import TypeAlias

from polar.spec.axis import Value
from polar.spec.experiment import ExperimentSpec

#: A point of a study: the value of every swept field, by its dotted name. The point of a training
#: that the sampler `range` has chosen also has its `seed` and its `training.steps`, and, where it
#: goes on from the end of another training, the weight of that training.
Point: TypeAlias = Mapping[str, Value]

SEED, STEPS, WARM_START = "seed", "training.steps", "training.warm_start.weight"


def at_point(base: ExperimentSpec, point: Point) -> ExperimentSpec:
    """The base with the values of a point.

    Raises:
        ValidationError: the point has values that the fields do not allow, alone or together.
    """
    content = base.model_dump(mode="json")
    for name, value in point.items():
        part, _, field = name.partition(".")
        if name == SEED:
            content["seeds"] = [value]
        elif name == WARM_START:
            steps = point.get(STEPS, base.training.steps)
            content["training"]["warm_start"] = [{"weight": value, "steps": steps}]
        else:
            content[part][field] = value
    return ExperimentSpec.model_validate(content)
