"""The spec of a study: which fields of an experiment to vary, what to look for, and for how long.

This module imports no Optuna, because how a study is carried out does not concern its spec.
"""

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, Self, TypeAlias

from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_core import PydanticCustomError

from polar.spec.axis import Axis, Value
from polar.spec.course import longer
from polar.spec.experiment import MOST_SEED, ExperimentSpec
from polar.spec.faults import Fault, nearest, pointer_to
from polar.spec.fields import Integer, Name
from polar.spec.misfit import misfit, raise_misfits
from polar.spec.models import MODELS
from polar.spec.objectives import Bound, Objective, measures_that_cannot_be
from polar.spec.points import SEED, STEPS, WARM_START, Point, at_point
from polar.spec.study_parts import MOST_TRIALS, BandSpec, Budget, Pruner
from polar.spec.submitted import SubmittedSpec
from polar.spec.training import MOST_STEPS

SamplerName: TypeAlias = Literal["range", "tpe", "gp", "random", "grid", "nsga2", "qmc"]

#: Parts of an experiment that may be searched; searching `diagnostics` would tune the ruler.
SEARCHED_PARTS = ("model", "training")
MOST_FIELDS = 8
#: Largest ratio of the ends of a logarithmic axis.
MOST_SPAN = 1e15


class StudySpec(SubmittedSpec):
    """Which fields of an experiment to vary, what to look for, and for how long."""

    #: A label for people.
    name: Name = ""
    #: What all trials have in common. Every trial has all of its seeds; with the sampler `range`,
    #: every trial is one training with one of them.
    base: ExperimentSpec
    #: The axis of each field, by its dotted name, such as `model.beta`.
    search: dict[str, Axis] = Field(min_length=1, max_length=MOST_FIELDS)
    objectives: tuple[Objective, ...] = Field((Objective(),), min_length=1, max_length=4)
    #: How the value of a trial is computed from its seeds: their mean, or the worse end of the
    #: mean's 80 % confidence interval (Student's t), which takes at least two seeds.
    aggregate: Literal["mean", "confidence_bound"] = "mean"
    constraints: tuple[Bound, ...] = Field((), max_length=8)
    sampler: SamplerName = "range"
    range: BandSpec = BandSpec()
    #: Seed of the sampler's random draws.
    sampler_seed: Integer = Field(0, ge=0, lt=2**32)
    pruner: Pruner = Pruner()
    budget: Budget = Budget()
    #: Most trials in flight at a time. A proposal knows the outcomes of the trials up to its own
    #: number minus this, so that it does not matter which training ends first; agents that wait
    #: for a slow trial idle less with a concurrency above their number.
    concurrency: Integer = Field(4, ge=1, le=1000)

    @model_validator(mode="before")
    @classmethod
    def _refuse_an_experiment(cls, data: Any) -> Any:  # noqa: ANN401
        if isinstance(data, Mapping) and "dataset" in data and "base" not in data:
            message = "this is the spec of an experiment; submit it with `polar submit`"
            raise PydanticCustomError("other_kind", message)
        return data

    @field_validator("objectives", mode="before")
    @classmethod
    def _a_name_is_an_objective(cls, data: Any) -> Any:  # noqa: ANN401
        if not isinstance(data, Sequence) or isinstance(data, str):
            return data
        return [{"measure": item} if isinstance(item, str) else item for item in data]

    @field_validator("pruner", mode="before")
    @classmethod
    def _a_name_is_a_pruner(cls, data: Any) -> Any:  # noqa: ANN401
        return {"name": data} if isinstance(data, str) else data

    @model_validator(mode="after")
    def _parts_fit_together(self) -> Self:
        raise_misfits(self, _misfits(self))
        return self

    @property
    def swept(self) -> dict[str, Axis]:
        """The fields that differ between trials, with their axes."""
        return {name: axis for name, axis in self.search.items() if axis.size != 1}

    @property
    def fixed(self) -> dict[str, Value]:
        """The value of each field whose axis has a single one, which all trials have."""
        return {name: axis.grid[0] for name, axis in self.search.items() if axis.size == 1}

    @property
    def axes(self) -> dict[str, Axis]:
        """The axis of each part of a trial's point.

        These are the swept fields, and with the sampler `range` the seed and the steps as well.
        Where the held band is searched, some points also have the weight of a warm start.
        """
        if self.sampler != "range":
            return self.swept
        steps = Axis(integer=(1, MOST_STEPS))
        axes = {**self.swept, SEED: Axis(integer=(0, MOST_SEED)), STEPS: steps}
        if self.range.held:
            (axes[WARM_START],) = self.swept.values()
        return axes

    @property
    def trials(self) -> int:
        """The largest number of trials, unless the hours are over earlier."""
        most = self.budget.trials
        if self.budget.steps is not None:
            most = min(most, math.ceil(self.budget.steps / self.steps_of_a_trial))
        if self.sampler != "grid":
            return most
        sizes = [axis.size or 1 for axis in self.search.values()]
        return min(most, math.prod(sizes))

    @property
    def steps(self) -> int:
        """The least number of steps of a training."""
        axis = self.search.get(STEPS)
        return min(map(int, axis.ends)) if axis else self.base.training.steps

    @property
    def most_steps(self) -> int:
        """The largest number of steps of a training."""
        axis = self.search.get(STEPS)
        longest = max(map(int, axis.ends)) if axis else self.base.training.steps
        return self.range.max_steps or longest

    @property
    def runs_of_a_trial(self) -> int:
        """The number of trainings in each trial: one for each seed, or one alone for a range."""
        return 1 if self.sampler == "range" else len(self.base.seeds)

    @property
    def steps_of_a_trial(self) -> int:
        """The least number of training steps in a trial."""
        return self.steps * self.runs_of_a_trial

    @property
    def runs(self) -> int:
        """The largest number of trainings in all trials."""
        return self.trials * self.runs_of_a_trial

    def seeds_of(self, point: Point) -> tuple[int, ...]:
        """The seeds of the trial at this point."""
        return (int(point[SEED]),) if SEED in point else self.base.seeds

    def with_seeds(self, seeds: Sequence[int]) -> Self:
        """The same study, with these seeds in every trial."""
        base = self.base.model_copy(update={"seeds": tuple(seeds)})
        return self.model_copy(update={"base": base})

    def experiment(self, point: Point) -> ExperimentSpec:
        """The experiment of the trial at this point.

        All trainings of a range at one weight and seed are of one course, whatever their steps.

        Raises:
            ValidationError: the point has values that the fields do not allow.
        """
        base, steps = self.base, int(point.get(STEPS, self.steps))
        if self.sampler == "range" and steps != self.steps:
            base = longer(at_point(base, self.fixed), steps)
        return at_point(base, {**self.fixed, **point})


def _misfits(spec: StudySpec) -> Iterator[PydanticCustomError]:
    """The faults of parts that are valid alone, but do not fit together."""
    unknown = [misfits for name in spec.search if (misfits := list(_unknown(spec, name)))]
    yield from itertools.chain.from_iterable(unknown)
    if not unknown:
        yield from _ends_that_do_not_fit(spec)
    yield from measures_that_cannot_be(spec.objectives, spec.constraints, spec.base.model)
    yield from _bounds_of_one_seed(spec)
    yield from _searches_that_cannot_be(spec)


def _unknown(spec: StudySpec, name: str) -> Iterator[PydanticCustomError]:
    part, pointer = name.partition(".")[0], pointer_to(("search", name))
    if part not in SEARCHED_PARTS:
        message = f"{part} cannot be searched: only the model and its training can be"
        if part == "diagnostics":
            message = "diagnostics cannot be searched: that would tune the ruler, not the model"
        meant = next((known for known in _searchable(spec) if known.endswith(f".{name}")), None)
        yield misfit("not_searched", message, pointer, name, "model.* or training.*", meant)
        return
    known = [field for field in _searchable(spec) if field.startswith(f"{part}.")]
    if name not in known:
        message = "no field of this name can be searched"
        suggestion = _own_weight(spec, name) or nearest(name, known)
        yield misfit("unknown_field", message, pointer, name, ", ".join(known), suggestion)


def _searchable(spec: StudySpec) -> Iterator[str]:
    """The dotted names of all fields that can be searched."""
    for part in SEARCHED_PARTS:
        dumped = getattr(spec.base, part).model_dump(mode="json")
        yield from (f"{part}.{key}" for key, value in dumped.items() if not _is_nested(key, value))


def _own_weight(spec: StudySpec, name: str) -> str | None:
    """The weight of the spec's model, if the name is the weight of another model."""
    weights = {f"model.{kind.weight_name}" for kind in MODELS.values()}
    own = spec.base.model.weight_name
    return f"model.{own}" if own and name in weights else None


def _is_nested(key: str, value: object) -> bool:
    """Whether a field is no axis: a list, an object, or a name, which changes the other fields."""
    return key in ("name", "class", "code") or isinstance(value, list | dict)


def _ends_that_do_not_fit(spec: StudySpec) -> Iterator[PydanticCustomError]:
    """The faults of axes whose ends, put into the base one by one, give no valid experiment."""
    base = spec.base
    fixed = {name: end for name, end in spec.fixed.items() if not _fault_of(base, {name: end})}
    for name, axis in spec.search.items():
        pointer = pointer_to(("search", name))
        points = [{**fixed, name: end} for end in axis.ends]
        faults = [(point[name], fault) for point in points if (fault := _fault_of(base, point))]
        for end, fault in faults:
            allowed = fault.allowed or "what an experiment takes"
            yield misfit("out_of_range", fault.message, pointer, end, allowed)
        if axis.is_continuous and not faults and _is_whole(base, name):
            message = "the axis has fractions between its ends; this field takes whole numbers"
            allowed = "integer: [first, last], choices, or fixed"
            yield misfit("not_whole", message, pointer, list(axis.ends), allowed)


def _fault_of(base: ExperimentSpec, point: Point) -> Fault | None:
    """The first fault of the base at a point; None if it has no fault."""
    try:
        at_point(base, point)
    except ValidationError as error:
        return ExperimentSpec.faults_of(error)[0]
    return None


def _is_whole(base: ExperimentSpec, name: str) -> bool:
    part, _, field = name.partition(".")
    return isinstance(getattr(base, part).model_dump()[field], int)


def _bounds_of_one_seed(spec: StudySpec) -> Iterator[PydanticCustomError]:
    if spec.aggregate != "confidence_bound":
        return
    if len(spec.base.seeds) == 1:
        message = "a single seed has no confidence interval"
        yield misfit("one_seed", message, "/base/seeds", list(spec.base.seeds), "at least 2 seeds")
    elif spec.sampler == "range":
        message = "a trial of a range is one training, which has no confidence interval"
        yield misfit("one_training", message, "/aggregate", spec.aggregate, "mean")


def _searches_that_cannot_be(spec: StudySpec) -> Iterator[PydanticCustomError]:
    swept, pointer = spec.swept, "/sampler"
    is_one_log_axis = [axis.log_uniform is not None for axis in swept.values()] == [True]
    if not swept:
        message = "every field has a single value, so there is nothing to search"
        yield misfit("nothing_swept", message, "/search", list(spec.search), "at least one axis")
    elif spec.sampler == "range" and not is_one_log_axis:
        fields, others = ", ".join(swept), "tpe, gp, random, grid, nsga2, qmc"
        message = f"a range takes exactly one swept field, on a log_uniform axis; here: {fields}"
        yield misfit("several_swept", message, pointer, "range", others)
    yield from _budgets_that_do_not_double(spec)
    yield from _bands_that_cannot_be_held(spec)
    for name, axis in swept.items():
        if axis.log_uniform is not None and axis.log_uniform[1] / axis.log_uniform[0] > MOST_SPAN:
            message, place = "the ends of the axis lie too far apart", pointer_to(("search", name))
            allowed = f"a factor of at most {MOST_SPAN:g}"
            yield misfit("too_wide", message, place, list(axis.log_uniform), allowed)
    if spec.sampler == "range" and len(spec.objectives) > 1:
        message = "the range sampler goes by the verdict; it cannot weigh several objectives"
        others = "nsga2, tpe, random, grid, qmc"
        yield misfit("several_objectives", message, pointer, "range", others)
    if spec.sampler == "range" and spec.pruner.compares:
        message = "a range needs the verdict of every trial, even of trials far from the best"
        yield misfit("range_pruned", message, "/pruner/name", spec.pruner.name, "none, collapse")
    if spec.sampler == "grid":
        yield from _grids_that_cannot_be(swept)


def _budgets_that_do_not_double(spec: StudySpec) -> Iterator[PydanticCustomError]:
    most, pointer = spec.range.max_steps, "/range/max_steps"
    if most is None:
        return
    if spec.sampler != "range":
        message = f"only the sampler range trains longer; here the sampler is {spec.sampler}"
        yield misfit("not_a_range", message, pointer, most, "sampler: range, or no max_steps")
        return
    doublings = math.log2(most / spec.steps)
    if doublings < 0 or not doublings.is_integer():
        message = f"the sampler range doubles the {spec.steps:,} steps of a training"
        allowed = ", ".join(str(spec.steps * 2**n) for n in range(4))
        yield misfit("not_doubled", message, pointer, most, f"{allowed}, and so on")


def _bands_that_cannot_be_held(spec: StudySpec) -> Iterator[PydanticCustomError]:
    if not spec.range.held:
        return
    pointer, weight = "/range/held", spec.base.model.weight_name
    if spec.sampler != "range":
        message = f"only the sampler range holds a band; here the sampler is {spec.sampler}"
        yield misfit("not_a_range", message, pointer, True, "sampler: range, or held: false")
    elif list(spec.swept) != [f"model.{weight}"]:
        message = f"a band is held along the weight of its model; here: {', '.join(spec.swept)}"
        allowed = f"a search of model.{weight}, or held: false" if weight else "held: false"
        yield misfit("not_the_weight", message, pointer, True, allowed)
    if spec.base.training.warm_start:
        message = "trainings go on from trainings from scratch, but base has a warm start itself"
        yield misfit("two_warm_starts", message, pointer, True, "held: false, or no warm start")
    until = spec.search.get("training.until")
    if "settled" in (until.ends if until else (spec.base.training.until,)):
        message = "trainings go on from others after all steps, but these end once they settle"
        yield misfit("not_all_steps", message, pointer, True, "held: false, or until: steps")


def _grids_that_cannot_be(swept: Mapping[str, Axis]) -> Iterator[PydanticCustomError]:
    for name, axis in swept.items():
        if axis.size is None:
            message = "a grid needs to know how many points of this axis to take"
            place = pointer_to(("search", name))
            yield misfit("no_points", message, place, None, "points: 2 to 1000")
    size = math.prod(axis.size or 1 for axis in swept.values())
    if size > MOST_TRIALS:
        message = f"the grid has {size:,} points"
        yield misfit("too_large", message, "/search", size, f"at most {MOST_TRIALS:,} points")
