"""What a study's phase diagram shows, gathered from the study and its trials."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

from pydantic import ValidationError

from polar.errors import InvalidInput
from polar.spec import ExperimentSpec, StudySpec
from polar.spec.study import Point
from service.api.schemas import ResponseModel


class Training(ResponseModel):
    """One row of the table that `polar.figures.phase_diagram` draws."""

    model: str
    dataset: str
    field: str
    steps: int
    weight: float
    seed: int
    regime: str
    n_active: int
    #: These two are means over the seeds where a trial has no others.
    polarisation: float
    explained: float
    converged: bool


class Phases(ResponseModel):
    """What is drawn, as it travels to the process that draws it."""

    trainings: list[Training]
    #: Of the logarithmic axis, if it is one.
    ends: tuple[float, float] | None
    #: As the study has it; none on a linear axis.
    range: dict[str, Any] | None


def phases_of(
    spec: StudySpec,
    found: Mapping[str, Any] | None,
    completed: Iterable[tuple[Point, Mapping[str, Any] | None]],
) -> Phases:
    """What a study's phase diagram shows.

    Args:
        spec: Of the study.
        found: Its range; none as long as nothing has happened.
        completed: Of each completed trial its point, and what was measured.

    Raises:
        InvalidInput: there is nothing to draw yet, or not one field of numbers to draw it by.
    """
    field = _swept_field(spec)
    seeds = found["seeds"] if found else ()
    trainings = [
        training
        for point, measured in completed
        for training in _of_trial(spec.experiment(point), field, point, measured or {}, seeds)
    ]
    if not trainings:
        raise InvalidInput("there is nothing to draw yet: no trial is completed")
    ends = spec.swept[field].log_uniform
    return Phases(trainings=trainings, ends=ends, range=dict(found) if ends and found else None)


def _swept_field(spec: StudySpec) -> str:
    fields = list(spec.swept)
    if len(fields) > 1:
        raise InvalidInput(
            f"a phase diagram is of one swept field; the study sweeps {', '.join(fields)}"
        )
    values = spec.swept[fields[0]].ends
    if any(isinstance(value, bool | str) for value in values):
        raise InvalidInput(
            f"a phase diagram is of a field of numbers; {fields[0]} is one of "
            f"{', '.join(map(str, values))}"
        )
    return fields[0]


def _of_trial(
    experiment: ExperimentSpec,
    field: str,
    point: Point,
    measured: Mapping[str, Any],
    seeds: Sequence[int],
) -> Iterator[Training]:
    observations = measured.get("observations", ())
    of_seeds = measured.get("of_seeds", [measured] * len(observations))
    # a trial from before the study was given more seeds has fewer
    for seed, observation, measures in zip(seeds, observations, of_seeds, strict=False):
        known = {
            "model": experiment.model.name,
            "dataset": experiment.dataset.name,
            "field": field,
            "steps": experiment.training.steps,
            "weight": float(point[field]),
            "seed": seed,
        }
        with suppress(ValidationError):  # an earlier version stored it otherwise
            yield Training.model_validate({**measures, **observation, **known})
