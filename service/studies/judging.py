"""What a trial came to, from the results of its runs: one for each seed."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from polar.intervals import half_width
from polar.records.events import Evaluation, Result
from polar.spec import StudySpec
from service.storage.states import RunState, TrialState
from service.storage.tables import Run

#: Of the mean over the seeds, both sides together.
CONFIDENCE = 0.8
#: Why a run was stopped whose latents were all passive.
COLLAPSED = "collapsed"
#: What becomes of a trial, by the worst that happened to one of its runs.
ENDINGS = {
    RunState.FAILED: TrialState.FAILED,
    RunState.CANCELLED: TrialState.CANCELLED,
    RunState.PRUNED: TrialState.PRUNED,
}


@dataclass(frozen=True)
class Ending:
    """How a trial ended."""

    state: TrialState
    #: Of each objective; none unless the trial is completed.
    values: list[float] | None = None
    #: Means of all measures over the seeds, and the verdict of each.
    measured: dict[str, Any] = field(default_factory=dict)
    #: How far each constraint is missed, by its words; 0 and below where it is kept.
    violations: dict[str, float] = field(default_factory=dict)
    reason: str | None = None
    message: str | None = None


@dataclass(frozen=True)
class Final:
    """What the training of one seed ended with."""

    evaluation: Evaluation
    converged: bool


def judge(
    spec: StudySpec, runs: Sequence[Run], last: Mapping[UUID, Evaluation] | None = None
) -> Ending | None:
    """How a trial with these runs ended; None while one of them goes on.

    Args:
        spec: Of the study.
        runs: Of the trial.
        last: The last evaluation of each run that was stopped since it had collapsed.
    """
    if not all(run.state.is_final for run in runs):
        return None
    for bad, state in ENDINGS.items():
        run = next((run for run in runs if run.state is bad and not has_collapsed(run)), None)
        if run is not None:
            message = (
                f"the run of seed {run.seed} {bad}: {run.status_message or 'no reason given'}"
            )
            return Ending(state, reason=run.status_reason, message=message)
    finals = [_final(run, last or {}) for run in runs]
    of_seeds = [measures(final.evaluation) for final in finals]
    means = {name: _mean([one[name] for one in of_seeds]) for name in of_seeds[0]}
    collapsed = next((run for run in runs if has_collapsed(run)), None)
    return Ending(
        TrialState.COMPLETED,
        values=[value_of(spec, place, of_seeds) for place in range(len(spec.objectives))],
        measured={
            **means,
            "of_seeds": of_seeds,
            "regimes": [final.evaluation.verdict.regime.value for final in finals],
            "converged": [final.converged for final in finals],
            "observations": [_observation(final) for final in finals],
        },
        violations=violations_of(spec, means),
        reason=COLLAPSED if collapsed else None,
        message=(
            f"the run of seed {collapsed.seed}: {collapsed.status_message}" if collapsed else None
        ),
    )


def has_collapsed(run: Run) -> bool:
    """Whether a run was stopped since it had collapsed: that is its verdict."""
    return run.state is RunState.PRUNED and run.status_reason == COLLAPSED


def _final(run: Run, last: Mapping[UUID, Evaluation]) -> Final:
    if has_collapsed(run):
        return Final(last[run.id], converged=False)
    result = Result.model_validate(run.result)
    return Final(result.final, result.converged)


def _observation(final: Final) -> dict[str, Any]:
    """What one seed says of the weight, for the range."""
    verdict = final.evaluation.verdict
    stds = [latent.equivalent_std for latent in final.evaluation.latents]
    return {
        "regime": verdict.regime.value,
        "n_active": verdict.n_active,
        "n_passive": verdict.n_passive,
        "weakest_std": min(stds),
        "strongest_std": max(stds),
        "converged": final.converged,
    }


def measures(evaluation: Evaluation) -> dict[str, float]:
    """Every measure that can be an objective, of one evaluation."""
    verdict = evaluation.verdict
    kl = [latent.kl_nats for latent in evaluation.latents if latent.kl_nats is not None]
    return {
        "clean_polarisation": verdict.clean_polarisation or 0.0,
        "polarisation": verdict.polarisation,
        "explained": verdict.explained or 0.0,
        "reconstruction": evaluation.reconstruction_nats,
        "n_active": float(verdict.n_active),
        **({"kl": math.fsum(kl)} if kl else {}),
    }


def value_of(spec: StudySpec, place: int, of_seeds: Sequence[Mapping[str, float]]) -> float:
    """The value of one objective over the seeds."""
    objective = spec.objectives[place]
    values = [one[objective.measure] for one in of_seeds]
    if objective.target is not None:
        values = [abs(value - objective.target) for value in values]
    if spec.aggregate == "mean":
        return _mean(values)
    half = half_width(values, confidence=CONFIDENCE)
    return _mean(values) + (half if objective.direction == "minimize" else -half)


def violations_of(spec: StudySpec, means: Mapping[str, float]) -> dict[str, float]:
    """How far each constraint is missed by these means of the measures, by its words."""
    return {
        words: missed
        for bound in spec.constraints
        for words, missed in bound.violations(means[bound.measure]).items()
    }


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)
