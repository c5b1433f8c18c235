"""What a trial came to, from the results of its runs: one for each seed."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import get_args
from uuid import UUID

from polar.confidence import half_width
from polar.records.events import Evaluation, Result
from polar.records.ranges import SeedOutcome
from polar.records.trials import Measured, Measures
from polar.spec import StudySpec
from polar.spec.study import Measure
from service.storage.states import RunState, TrialState
from service.storage.tables import Run

#: Confidence of the interval of a mean over the seeds, both sides together.
CONFIDENCE = 0.8
#: Why a run was stopped whose latents were all passive.
COLLAPSED = "collapsed"
#: Why a trial failed whose study asks for a measure that its runs do not have.
NOT_MEASURED = "not_measured"
#: What becomes of a trial, by the worst that happened to one of its runs.
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
    #: The value of each objective; none unless the trial is completed.
    values: list[float] | None = None
    #: None unless the trial is completed.
    measured: Measured | None = None
    #: How far each constraint is missed, by its words; 0 and below where it is kept.
    violations: dict[str, float] = field(default_factory=dict)
    reason: str | None = None
    message: str | None = None


@dataclass(frozen=True)
class Final:
    """The last evaluation of one seed, and whether its training had converged."""

    evaluation: Evaluation
    converged: bool


def judge(
    spec: StudySpec, runs: Sequence[Run], last: Mapping[UUID, Evaluation] | None = None
) -> TrialOutcome | None:
    """How a trial with these runs ended; None while one of them goes on.

    Args:
        spec: The spec of the study.
        runs: The runs of the trial.
        last: The last evaluation of each run that was stopped because it had collapsed.
    """
    if not all(run.state.is_final for run in runs):
        return None
    for bad, state in ENDS_AS.items():
        run = next((run for run in runs if run.state is bad and not has_collapsed(run)), None)
        if run is not None:
            message = (
                f"the run of seed {run.seed} {bad}: {run.status_message or 'no reason given'}"
            )
            return TrialOutcome(state, reason=run.status_reason, message=message)
    try:
        return _completed(spec, runs, [_final(run, last or {}) for run in runs])
    except NotMeasured as error:
        return TrialOutcome(TrialState.FAILED, reason=NOT_MEASURED, message=str(error))


def _completed(spec: StudySpec, runs: Sequence[Run], finals: Sequence[Final]) -> TrialOutcome:
    of_seeds = [measures(final.evaluation) for final in finals]
    means = _means(of_seeds)
    collapsed = next((run for run in runs if has_collapsed(run)), None)
    return TrialOutcome(
        TrialState.COMPLETED,
        values=[value_of(spec, place, of_seeds) for place in range(len(spec.objectives))],
        measured=Measured(
            **means.model_dump(),
            of_seeds=tuple(of_seeds),
            regimes=tuple(final.evaluation.verdict.regime for final in finals),
            converged=tuple(final.converged for final in finals),
            observations=tuple(_seed_outcome(final) for final in finals),
        ),
        violations=violations_of(spec, means),
        reason=COLLAPSED if collapsed else None,
        message=(
            f"the run of seed {collapsed.seed}: {collapsed.status_message}" if collapsed else None
        ),
    )


def has_collapsed(run: Run) -> bool:
    """Whether a run was stopped because it had collapsed, which is its verdict."""
    return run.state is RunState.PRUNED and run.status_reason == COLLAPSED


def _final(run: Run, last: Mapping[UUID, Evaluation]) -> Final:
    if has_collapsed(run):
        return Final(last[run.id], converged=False)
    result = Result.model_validate(run.result)
    return Final(result.final, result.converged)


def _seed_outcome(final: Final) -> SeedOutcome:
    verdict = final.evaluation.verdict
    stds = [latent.equivalent_std for latent in final.evaluation.latents]
    return SeedOutcome(
        regime=verdict.regime,
        n_active=verdict.n_active,
        n_passive=verdict.n_passive,
        weakest_std=min(stds),
        strongest_std=max(stds),
        converged=final.converged,
    )


def measures(evaluation: Evaluation) -> Measures:
    """Every measure that can be an objective, of one evaluation."""
    verdict = evaluation.verdict
    kl = [latent.kl_nats for latent in evaluation.latents if latent.kl_nats is not None]
    return Measures(
        clean_polarisation=verdict.clean_polarisation or 0.0,
        polarisation=verdict.polarisation,
        explained=verdict.explained or 0.0,
        reconstruction=evaluation.reconstruction_nats,
        n_active=verdict.n_active,
        kl=math.fsum(kl) if kl else None,
    )


def value_of(spec: StudySpec, place: int, of_seeds: Sequence[Measures]) -> float:
    """The value of one objective over the seeds.

    Raises:
        NotMeasured: a seed does not have the measure of this objective.
    """
    objective = spec.objectives[place]
    values = [_measured(one, objective.measure) for one in of_seeds]
    if objective.target is not None:
        values = [abs(value - objective.target) for value in values]
    if spec.aggregate == "mean":
        return _mean(values)
    half = half_width(values, confidence=CONFIDENCE)
    return _mean(values) + (half if objective.direction == "minimize" else -half)


def violations_of(spec: StudySpec, means: Measures) -> dict[str, float]:
    """How far each constraint is missed by these means of the measures, by its words.

    Raises:
        NotMeasured: a seed does not have the measure of a constraint.
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


def _means(of_seeds: Sequence[Measures]) -> Measures:
    """The mean of each measure that all seeds have."""
    by_name = {name: [one.value(name) for one in of_seeds] for name in get_args(Measure)}
    known = {
        name: [value for value in values if value is not None] for name, values in by_name.items()
    }
    return Measures.model_validate(
        {name: _mean(values) for name, values in known.items() if len(values) == len(of_seeds)}
    )


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)
