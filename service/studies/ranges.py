"""The range of a study: what its trials show about the band, and which weight to try next."""

from collections.abc import Sequence
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from polar.ranges import Search, find_range, propose
from polar.records.ranges import Observation, Outcome, RangeReport, SeedOutcome, StudyRange
from polar.spec import StudySpec
from polar.spec.study import Point

#: Chance that the verdict of a seed differs from the true verdict of the weight, for studies of
#: several seeds. With a single seed a training repeats exactly, so the chance is 0.
FLIP_RATE = 0.05
#: A weight that is to be measured again is moved by this factor, because at the very same weight
#: the same seeds would repeat their verdicts.
NUDGE = 1.001


def search_of(spec: StudySpec) -> Search | None:
    """Where the band is searched; None unless a study sweeps exactly one field, on a log axis."""
    axes = list(spec.swept.values())
    if len(axes) != 1 or axes[0].log_uniform is None:
        return None
    low, high = axes[0].log_uniform
    return Search(low=low, high=high, flip_rate=FLIP_RATE if len(spec.base.seeds) > 1 else 0.0)


def range_of(spec: StudySpec, trials: Sequence[tuple[Point, Sequence[SeedOutcome]]]) -> StudyRange:
    """The range that a study has found so far.

    Args:
        spec: The spec of the study.
        trials: The point of each completed trial, and what each of its seeds ended with.
    """
    return StudyRange(
        **_report(spec, trials).model_dump(),
        fields=tuple(spec.swept),
        steps=spec.base.training.steps,
        seeds=spec.base.seeds,
    )


def _report(spec: StudySpec, trials: Sequence[tuple[Point, Sequence[SeedOutcome]]]) -> RangeReport:
    search = search_of(spec)
    if search is None:
        return RangeReport(
            outcome=Outcome.NOT_ONE_FIELD,
            intervals=(),
            envelope=None,
            converged=None,
            disagreeing=(),
            weights=0,
            trainings=0,
            remarks=("a range takes exactly one swept field, on a log_uniform axis",),
        )
    (field,) = spec.swept
    history = [
        Observation(weight=float(point[field]), **seed.model_dump())
        for point, seeds in trials
        for seed in seeds
    ]
    return find_range(history, search)


class RangeSampler(BaseSampler):
    """Optuna sampler that brackets the polarised band on one log axis, then straddles its edges.

    It reads what each seed of a trial ended with from the trial's user attribute `observations`.
    """

    def __init__(self, search: Search) -> None:
        self._search = search

    def infer_relative_search_space(
        self,
        study: Study,  # noqa: ARG002
        trial: FrozenTrial,  # noqa: ARG002
    ) -> dict[str, BaseDistribution]:
        """An empty space, because the single field is sampled independently."""
        return {}

    def sample_relative(
        self,
        study: Study,  # noqa: ARG002
        trial: FrozenTrial,  # noqa: ARG002
        search_space: dict[str, BaseDistribution],  # noqa: ARG002
    ) -> dict[str, Any]:  # Optuna's own signature
        """No values, because the relative search space is empty."""
        return {}

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,  # noqa: ARG002
    ) -> float:
        """The weight to try next."""
        others = [
            other
            for other in study.get_trials(deepcopy=False)
            if other.number != trial.number and param_name in other.params
        ]
        # The last trial at a weight replaces earlier trials, because it has the most seeds.
        completed = {
            other.params[param_name]: other
            for other in others
            if other.state is TrialState.COMPLETE
        }
        history = [
            Observation(weight=weight, **seed)
            for weight, other in completed.items()
            for seed in other.user_attrs.get("observations", ())
        ]
        # A weight whose trainings failed has no verdict, just like a weight in flight.
        without_verdict = {other.params[param_name] for other in others} - completed.keys()
        return self._untried(
            propose(history, sorted(without_verdict), self._search),
            without_verdict | completed.keys(),
        )

    def _untried(self, weight: float, tried: set[float]) -> float:
        """The weight, nudged until it differs from all weights that were tried."""
        step = NUDGE if weight * NUDGE ** len(tried) < self._search.high else 1 / NUDGE
        while weight in tried:
            weight *= step
        return weight
