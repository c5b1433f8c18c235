"""What a study's figures show, gathered from the study and its trials."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TypeAlias

from polar.errors import InvalidInput
from polar.records.phases import Phases, StudyFigure, Training
from polar.records.ranges import StudyRange
from polar.records.trials import Measured
from polar.spec import StudySpec
from polar.spec.points import WARM_START, Point
from service.storage.points import readable
from service.storage.states import TrialState
from service.storage.study_tables import Trial

Completed: TypeAlias = Iterable[tuple[Point, Measured | None]]
#: Gathers what a figure of a study's trainings shows, from its spec, range and completed trials.
Gather: TypeAlias = Callable[[StudySpec, StudyRange | None, Completed], Phases]


def completed_of(trials: Iterable[Trial]) -> list[tuple[Point, Measured | None]]:
    """The point of each completed trial, and its measures, or None if they are unknown."""
    return [
        (
            readable(trial.point) or {},
            trial.measured if isinstance(trial.measured, Measured) else None,
        )
        for trial in trials
        if trial.state is TrialState.COMPLETED
    ]


def phases_of(
    spec: StudySpec,
    study_range: StudyRange | None,
    completed: Completed,
) -> Phases:
    """What a study's phase diagram shows: its trainings from scratch.

    Args:
        spec: The spec of the study, with the seeds that were added later.
        study_range: The range of the study; None before its first completed trials.
        completed: The point of each completed trial, and its measures, or None if they are
            unknown.

    Raises:
        InvalidInput: there is nothing to draw, or the study does not sweep a single field of
            numbers.
    """
    phases = _phases(spec, study_range, completed)
    scratch = (training for training in phases.trainings if training.warm_start is None)
    return phases.model_copy(update={"trainings": tuple(scratch)})


def hysteresis_of(
    spec: StudySpec,
    study_range: StudyRange | None,
    completed: Completed,
) -> Phases:
    """What the figure of a study's hysteresis shows: all its trainings.

    Raises:
        InvalidInput: as for `phases_of`; or no training went on from the end of another.
    """
    phases = _phases(spec, study_range, completed)
    if all(training.warm_start is None for training in phases.trainings):
        raise InvalidInput(
            "there is nothing to draw: no training went on from another; those of a study with "
            "`range: {held: true}` do, once its edges from scratch are known"
        )
    return phases


def budgets_of(
    spec: StudySpec,
    study_range: StudyRange | None,
    completed: Completed,
) -> Phases:
    """What the figure weight by steps shows: the trainings from scratch, with their way there.

    Raises:
        InvalidInput: as for `phases_of`; or the study has no range, which knows edges by steps.
    """
    phases = phases_of(spec, study_range, completed)
    if phases.ends is None:
        raise InvalidInput(
            f"the axis of {phases.trainings[0].field} is linear; allowed: log_uniform, along "
            "which the edges are known at every number of steps"
        )
    if phases.range is None:
        raise InvalidInput("there is nothing to draw yet: the study has no range")
    return phases


#: The figures of a study's trainings, and what gathers what each of them shows.
FIGURES: Mapping[StudyFigure, Gather] = {
    StudyFigure.PHASE_DIAGRAM: phases_of,
    StudyFigure.HYSTERESIS: hysteresis_of,
    StudyFigure.WEIGHT_BY_STEPS: budgets_of,
}


def are_there(
    spec: StudySpec, study_range: StudyRange | None, completed: Completed
) -> dict[StudyFigure, bool]:
    """Whether there is something to draw in each figure of a study's trainings.

    This looks for a single training of each trial, because whoever watches a study asks for the
    answer every second.
    """
    try:
        field = _swept_field(spec)
    except InvalidInput:
        return dict.fromkeys(FIGURES, False)
    # None stands for trainings from scratch
    warm_starts = {
        point.get(WARM_START)
        for point, measured in completed
        if measured is not None and any(_of_trial(spec, field, point, measured))
    }
    has_edges = study_range is not None and spec.swept[field].log_uniform is not None
    return {
        StudyFigure.PHASE_DIAGRAM: bool(warm_starts),
        StudyFigure.HYSTERESIS: bool(warm_starts - {None}),
        StudyFigure.WEIGHT_BY_STEPS: bool(warm_starts) and has_edges,
    }


def _phases(spec: StudySpec, study_range: StudyRange | None, completed: Completed) -> Phases:
    field = _swept_field(spec)
    trials = list(completed)
    trainings = _at_last_ends(
        training
        for point, measured in trials
        if measured is not None
        for training in _of_trial(spec, field, point, measured)
    )
    if not trials:
        raise InvalidInput("there is nothing to draw yet: no trial is completed")
    if not trainings:
        raise InvalidInput(
            "there is nothing to draw: the completed trials are of an earlier version, whose "
            "verdicts followed other rules; allowed: the figure of a new study of the same spec"
        )
    ends = spec.swept[field].log_uniform
    return Phases(trainings=trainings, ends=ends, range=study_range if ends else None)


def _at_last_ends(trainings: Iterable[Training]) -> tuple[Training, ...]:
    """Each training once, at its last end; earlier ends, before it went on, are on its way."""
    ends: dict[tuple[float, int, float | None], list[Training]] = defaultdict(list)
    for training in trainings:
        ends[training.weight, training.seed, training.warm_start].append(training)
    return tuple(_at_last_end(of_one) for of_one in ends.values())


def _at_last_end(ends: Sequence[Training]) -> Training:
    *former, last = sorted(ends, key=lambda end: end.steps)
    seen = [at for end in former for at in end.snapshots]
    passed = {at.steps: at for at in (*seen, *last.trajectory) if at.steps < last.steps}
    trajectory = tuple(passed[steps] for steps in sorted(passed))
    return last.model_copy(update={"trajectory": trajectory})


def _swept_field(spec: StudySpec) -> str:
    fields = list(spec.swept)
    if len(fields) > 1:
        raise InvalidInput(
            f"a figure of a study is of one swept field; the study sweeps {', '.join(fields)}"
        )
    values = spec.swept[fields[0]].ends
    if any(isinstance(value, bool | str) for value in values):
        raise InvalidInput(
            f"a figure of a study is of a field of numbers; {fields[0]} is one of "
            f"{', '.join(map(str, values))}"
        )
    return fields[0]


def _of_trial(spec: StudySpec, field: str, point: Point, measured: Measured) -> Iterator[Training]:
    if field not in point:
        return  # somebody has broken it by hand
    # A trial from before the study was extended by seeds has fewer of them.
    seen = zip(spec.seeds_of(point), measured.observations, measured.of_seeds, strict=False)
    for seed, ended, measures in seen:
        if ended.n_active is None or ended.settled is None:
            continue  # an earlier version did not store them
        yield Training(
            model=spec.base.model.label,
            dataset=spec.base.dataset.label,
            field=field,
            steps=ended.steps,
            weight=float(point[field]),
            seed=seed,
            warm_start=point.get(WARM_START),
            regime=ended.regime,
            flaws=ended.flaws,
            n_active=ended.n_active,
            polarisation=measures.polarisation,
            explained=measures.explained,
            settled=ended.settled,
            trajectory=ended.trajectory,
        )
