"""The range of a study: what its trials show about the band, and which training to try next."""

from collections.abc import Collection, Sequence

from polar.ranges import Search, find_range, propose
from polar.records.ranges import Action, Observation, Outcome, RangeReport, StudyRange
from polar.records.trials import Measured
from polar.spec import StudySpec
from polar.spec.points import SEED, STEPS, WARM_START, Point
from service.storage.states import TrialState
from service.storage.study_tables import Trial


def search_of(spec: StudySpec) -> Search | None:
    """Where the band is searched; None unless a study sweeps exactly one field, on a log axis."""
    axes = list(spec.swept.values())
    if len(axes) != 1 or axes[0].log_uniform is None:
        return None
    low, high = axes[0].log_uniform
    return Search(
        low=low,
        high=high,
        of=spec.range.of,
        seeds=spec.base.seeds,
        steps=spec.steps,
        max_steps=spec.range.max_steps,
        held=spec.range.held,
    )


def range_of(spec: StudySpec, trials: Sequence[Trial]) -> StudyRange:
    """The range that a study has found so far.

    Args:
        spec: The spec of the study, with the seeds that were added later.
        trials: All trials of the study.
    """
    search = search_of(spec)
    report = _no_range(spec) if search is None else find_range(_history(spec, trials), search)
    return StudyRange(**report.model_dump(), fields=tuple(spec.swept))


def next_point(spec: StudySpec, trials: Sequence[Trial], known: Collection[Trial]) -> Point:
    """The point of the next training of a study whose sampler is `range`.

    Args:
        spec: The spec of the study, with the seeds that were added later.
        trials: All trials of the study.
        known: The trials whose outcomes the proposal may depend on. The others count as in
            flight, and so do trials that failed, because a training that fails has no verdict.
    """
    search = search_of(spec)
    assert search is not None  # the spec has one field on a log axis
    (field,) = spec.swept
    history = _history(spec, known)
    ended = {
        Action(weight=seen.weight, seed=seen.seed, warm_start=seen.warm_start, steps=seen.steps)
        for seen in history
    }
    cancelled = {trial.number for trial in known if trial.state is TrialState.CANCELLED}
    asked = [
        _action_at(field, trial.point)
        for trial in trials
        if trial.number not in cancelled and SEED in trial.point
    ]
    in_flight = [action for action in dict.fromkeys(asked) if action not in ended]
    action = propose(history, in_flight, search)
    point = {field: action.weight, SEED: action.seed, STEPS: action.steps}
    return point if action.warm_start is None else {**point, WARM_START: action.warm_start}


def _action_at(field: str, point: Point) -> Action:
    return Action.model_validate(
        {
            "weight": point[field],
            "seed": point[SEED],
            "warm_start": point.get(WARM_START),
            "steps": point[STEPS],
        }
    )


def _no_range(spec: StudySpec) -> RangeReport:
    return RangeReport(
        outcome=Outcome.NOT_ONE_FIELD,
        of=spec.range.of,
        steps=spec.steps,
        seeds=spec.base.seeds,
        intervals=(),
        envelope=None,
        by_steps=(),
        settled=None,
        disagreeing=(),
        weights=0,
        trainings=0,
        headline="a range takes exactly one swept field, on a log_uniform axis",
        remarks=(),
    )


def _history(spec: StudySpec, trials: Collection[Trial]) -> list[Observation]:
    """What each training of the completed trials ended with."""
    (field,) = spec.swept
    return [
        Observation(
            weight=float(trial.point[field]),
            seed=seed,
            warm_start=trial.point.get(WARM_START),
            **outcome.model_dump(),
        )
        for trial in trials
        if trial.state is TrialState.COMPLETED and isinstance(trial.measured, Measured)
        # a trial from before the study was extended by seeds has fewer of them
        for seed, outcome in zip(
            spec.seeds_of(trial.point), trial.measured.observations, strict=False
        )
    ]
