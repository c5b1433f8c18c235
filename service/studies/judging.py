"""Judges trials: the outcome of a trial follows from its runs' results, one for each seed."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import get_args
from uuid import UUID

from polar.confidence import half_width
from polar.records.events import Evaluation, Result
from polar.records.latents import Regime
from polar.records.ranges import SeedOutcome, Snapshot
from polar.records.trials import Measured, Measures
from polar.spec import StudySpec
from polar.spec.course import warm_up_steps
from polar.spec.objectives import Measure
from polar.spec.training import TrainingSpec
from service.storage.states import RunState, TrialState
from service.storage.studies import COLLAPSED
from service.storage.study_tables import Trial
from service.storage.tables import Run

#: Two-sided confidence of the interval of a mean over the seeds.
CONFIDENCE = 0.8
#: Reason of a trial that failed because its study asks for a measure that its runs do not have.
NOT_MEASURED = "not_measured"
#: State of a trial whose runs did not all succeed, by the worst state of its runs, worst first.
ENDS_AS = {
    RunState.FAILED: TrialState.FAILED,
    RunState.CANCELLED: TrialState.CANCELLED,
    RunState.PRUNED: TrialState.PRUNED,
}


class NotMeasured(Exception):
    """A study asks for a measure that the evaluations of its runs do not have."""

    def __init__(self, measure: Measure) -> None:
        super().__init__(f"the study asks for {measure}, which its runs do not measure")


@dataclass(frozen=True)
class TrialOutcome:
    """How a trial ended."""

    state: TrialState
    #: The value of each objective; None unless the trial is completed.
    values: list[float] | None = None
    #: What the trial measured; None unless it is completed.
    measured: Measured | None = None
    #: How far the trial misses each limit of a constraint, by the limit's words; at most 0 where
    #: the limit is kept.
    violations: dict[str, float] = field(default_factory=dict)
    reason: str | None = None
    message: str | None = None


@dataclass(frozen=True)
class _Ended:
    """A run that has a verdict."""

    run: Run
    #: The evaluation that is its verdict.
    verdict: Evaluation
    settled: bool | None
    #: Whether the verdict is the collapse for which the study's pruner stops the run; later
    #: evaluations then do not count.
    is_collapse: bool
    #: The evaluations before that one, by step.
    earlier: Sequence[Evaluation]


def judge(
    spec: StudySpec,
    runs: Sequence[Run],
    evaluations: Mapping[UUID, Sequence[Evaluation]],
    collapses: Mapping[UUID, Evaluation],
) -> TrialOutcome:
    """How a trial ended.

    A run that has collapsed in the eyes of the study's pruner is judged by that evaluation,
    whatever came after it: how much came after it depends on how soon the run was stopped, and on
    whether another experiment wants it too.

    Args:
        spec: The spec of the study.
        runs: The runs of the trial, which have all ended.
        evaluations: All evaluations of each of these runs, by step.
        collapses: For each run that the pruner stops for a collapse, the evaluation that
            `collapse_of` finds; empty if the pruner lets the trial train on.
    """
    for bad, state in ENDS_AS.items():
        run = next((run for run in runs if run.state is bad and run.id not in collapses), None)
        if run is not None:
            why = run.status_message or "no reason was given"
            message = f"the run of seed {run.seed} ended as {bad}: {why}"
            return TrialOutcome(state, reason=run.status_reason, message=message)
    try:
        return _completed(
            spec, [_ended(run, collapses.get(run.id), evaluations[run.id]) for run in runs]
        )
    except NotMeasured as error:
        return TrialOutcome(TrialState.FAILED, reason=NOT_MEASURED, message=str(error))


def collapse_of(spec: StudySpec, run: Run, evaluations: Sequence[Evaluation]) -> Evaluation | None:
    """The evaluation, by step, for which the study's pruner stops a run; None without any."""
    if spec.pruner.name == "none":
        return None
    return next((seen for seen in evaluations if has_collapsed(spec, run, seen)), None)


def has_collapsed(spec: StudySpec, run: Run, evaluation: Evaluation) -> bool:
    """Whether an evaluation after the pruner's warm-up calls a run collapsed, which is settled."""
    is_warm = evaluation.step >= spec.pruner.warm_up * _steps_of(run)
    return is_warm and evaluation.verdict.regime is Regime.COLLAPSED


def stored_outcome(spec: StudySpec, trial: Trial) -> TrialOutcome:
    """How a trial ended, from what is stored of it."""
    measured = trial.measured if isinstance(trial.measured, Measured) else None
    return TrialOutcome(
        trial.state,
        values=trial.values,
        measured=measured,
        violations=violations_of(spec, measured) if measured else {},
        reason=trial.status_reason,
        message=trial.status_message,
    )


def _completed(spec: StudySpec, ended: Sequence[_Ended]) -> TrialOutcome:
    by_seed = [measures(one.verdict) for one in ended]
    means = _means(by_seed)
    collapsed = next((one for one in ended if one.is_collapse), None)
    return TrialOutcome(
        TrialState.COMPLETED,
        values=[value_of(spec, place, by_seed) for place in range(len(spec.objectives))],
        measured=Measured(
            **means.model_dump(),
            of_seeds=tuple(by_seed),
            regimes=tuple(one.verdict.verdict.regime for one in ended),
            settled=tuple(one.settled for one in ended),
            observations=tuple(_seed_outcome(spec, one) for one in ended),
        ),
        violations=violations_of(spec, means),
        reason=COLLAPSED if collapsed else None,
        message=(
            f"the run of seed {collapsed.run.seed} had collapsed at step "
            f"{collapsed.verdict.step:,}"
            if collapsed
            else None
        ),
    )


def _ended(run: Run, collapse: Evaluation | None, evaluations: Sequence[Evaluation]) -> _Ended:
    if collapse is None:
        result = Result.model_validate(run.result)
        verdict, settled = result.final, result.settled
    else:
        verdict, settled = collapse, True
    # While the weight rises, an evaluation is of another weight. It says what training for so many
    # steps reaches only once the weight has stood still for as long as it rose.
    begin = 2 * warm_up_steps(TrainingSpec.model_validate(run.spec["training"]))
    earlier = [seen for seen in evaluations if begin <= seen.step < verdict.step]
    return _Ended(run, verdict, settled, collapse is not None, earlier)


def _seed_outcome(spec: StudySpec, ended: _Ended) -> SeedOutcome:
    stds = [latent.equivalent_std for latent in ended.verdict.latents]
    # A collapse is the verdict of the whole training, however early it came.
    snapshot = _snapshot(spec, ended.verdict, steps=_steps_of(ended.run))
    return SeedOutcome(
        **snapshot.model_dump(),
        weakest_std=min(stds),
        strongest_std=max(stds),
        settled=ended.settled,
        trajectory=tuple(
            _snapshot(spec, evaluation, steps=evaluation.step) for evaluation in ended.earlier
        ),
    )


def _snapshot(spec: StudySpec, evaluation: Evaluation, *, steps: int) -> Snapshot:
    verdict = evaluation.verdict
    violations = violations_of(spec, measures(evaluation))
    return Snapshot(
        steps=steps,
        regime=verdict.regime,
        flaws=verdict.flaws,
        paper_regime=verdict.paper_regime,
        n_active=verdict.n_active,
        n_passive=verdict.n_passive,
        keeps_limits=all(missed <= 0 for missed in violations.values()),
    )


def _steps_of(run: Run) -> int:
    steps: int = run.spec["training"]["steps"]
    return steps


def measures(evaluation: Evaluation) -> Measures:
    """The value at one evaluation of every measure that can be an objective."""
    kl_nats = (latent.kl_nats for latent in evaluation.latents)
    return Measures.of(evaluation.verdict, evaluation.reconstruction_nats, kl_nats)


def value_of(spec: StudySpec, place: int, by_seed: Sequence[Measures]) -> float:
    """The value of the objective at this place of the spec, aggregated over the seeds.

    Raises:
        NotMeasured: a seed lacks the measure of this objective.
    """
    objective = spec.objectives[place]
    values = [_measured(seed, objective.measure) for seed in by_seed]
    if objective.target is not None:
        values = [abs(value - objective.target) for value in values]
    if spec.aggregate == "mean":
        return _mean(values)
    half = half_width(values, confidence=CONFIDENCE)
    return _mean(values) + (half if objective.direction == "minimize" else -half)


def violations_of(spec: StudySpec, means: Measures) -> dict[str, float]:
    """How far these means over the seeds miss each limit of a constraint, by the limit's words.

    Raises:
        NotMeasured: a seed lacks the measure of a constraint.
    """
    return {
        words: missed
        for bound in spec.constraints
        for words, missed in bound.violations(_measured(means, bound.measure)).items()
    }


def _measured(measures: Measures, measure: Measure) -> float:
    value = measures.value(measure)
    if value is None:
        raise NotMeasured(measure)
    return value


def _means(by_seed: Sequence[Measures]) -> Measures:
    """The mean of each measure that all seeds have."""
    by_name = {name: [seed.value(name) for seed in by_seed] for name in get_args(Measure)}
    known = {
        name: [value for value in values if value is not None] for name, values in by_name.items()
    }
    return Measures.model_validate(
        {name: _mean(values) for name, values in known.items() if len(values) == len(by_seed)}
    )


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)
