"""What a trial came to, from its runs; no database is there, rows are made by hand."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, get_args
from uuid import UUID, uuid4

import pytest

from polar.records.events import Evaluation, Result
from polar.records.latents import Flaw, Regime
from polar.records.trials import Measures
from polar.spec import StudySpec
from polar.spec.objectives import Measure
from service.storage.states import RunState, TrialState
from service.storage.tables import Run
from service.studies.judging import (
    NotMeasured,
    TrialOutcome,
    collapse_of,
    judge,
    measures,
    value_of,
    violations_of,
)

if TYPE_CHECKING:
    from tests.conftest import Reports
    from tests.service.studies.conftest import SpecOf

SUCCEEDED, PRUNED = RunState.SUCCEEDED, RunState.PRUNED


class Judged:
    """Runs of one trial, as they are stored."""

    def __init__(self, reports: "Reports", spec: StudySpec) -> None:
        self._reports = reports
        self._result = reports.result(spec.base)

    def evaluation(
        self,
        *,
        step: int = 100,
        kl: Sequence[float | None] | None = None,
        **verdict: Any,  # noqa: ANN401
    ) -> Evaluation:
        """The evaluation of a test, with another verdict, or other KL divergences."""
        made = self._reports.evaluation(step)
        latents = made.latents
        if kl is not None:
            latents = tuple(
                latent.model_copy(update={"kl_nats": nats})
                for latent, nats in zip(latents, kl, strict=True)
            )
        changed = {"latents": latents, "verdict": made.verdict.model_copy(update=verdict)}
        return made.model_copy(update=changed)

    def succeeded(self, seed: int, final: Evaluation, *, settled: bool = True) -> Run:
        result: Result = self._result.model_copy(
            update={"final": final, "settled": settled, "seed": seed}
        )
        return self.run(seed, SUCCEEDED, result=result.model_dump(mode="json"))

    def run(self, seed: int, state: RunState, **fields: Any) -> Run:  # noqa: ANN401
        spec = {"training": {"steps": 100}}
        return Run(id=uuid4(), seed=seed, state=state, spec=spec, **fields)

    def collapsed(self, seed: int, state: RunState = PRUNED) -> Run:
        return self.run(seed, state, status_reason="collapsed", status_message="it had collapsed")


@pytest.fixture
def runs(reports: "Reports", spec_of: "SpecOf") -> Judged:
    return Judged(reports, spec_of())


def outcome_of(
    spec: StudySpec, runs: Sequence[Run], seen: Mapping[UUID, Sequence[Evaluation]] | None = None
) -> TrialOutcome:
    """How a trial of these runs ended; runs have no evaluations unless these are said."""
    evaluations = {**{run.id: [] for run in runs}, **(seen or {})}
    collapses = {
        run.id: collapse
        for run in runs
        if (collapse := collapse_of(spec, run, evaluations[run.id]))
    }
    return judge(spec, runs, evaluations, collapses)


def of(**measured: float | None) -> Measures:
    """Measures that are 0 unless said otherwise."""
    return Measures.model_validate({**dict.fromkeys(get_args(Measure), 0.0), **measured})


def test_the_measures_of_an_evaluation_are_those_of_its_verdict_and_its_latents(
    runs: Judged,
) -> None:
    evaluation = runs.evaluation(
        kl=[1.5, 0.25],
        polarisation=0.75,
        explained=0.5,
        clean_polarisation=0.375,
        n_active=7,
    )

    assert measures(evaluation) == Measures(
        clean_polarisation=0.375,
        polarisation=0.75,
        explained=0.5,
        reconstruction=90.0,
        n_active=7.0,
        kl=1.75,
    )


def test_without_a_decoder_nothing_is_explained_and_without_a_posterior_there_is_no_kl(
    runs: Judged,
) -> None:
    said = measures(runs.evaluation(kl=[None, None], explained=None, clean_polarisation=None))

    assert (said.explained, said.clean_polarisation, said.kl) == (0.0, 0.0, None)


def test_the_value_of_a_trial_is_the_mean_over_its_seeds(spec_of: "SpecOf") -> None:
    spec = spec_of(objectives=["polarisation", "reconstruction"], sampler="random")
    seeds = [of(polarisation=0.5, reconstruction=80.0), of(polarisation=1.0, reconstruction=100.0)]

    assert [value_of(spec, place, seeds) for place in (0, 1)] == [0.75, 90.0]


def test_a_target_is_missed_by_the_mean_distance_of_the_seeds(spec_of: "SpecOf") -> None:
    spec = spec_of(objectives=[{"measure": "n_active", "target": 4}])

    # the mean of 2 and 6 is 4, but no seed has 4
    assert value_of(spec, 0, [of(n_active=2.0), of(n_active=6.0)]) == 2.0


@pytest.mark.parametrize(
    ("objective", "value"), [("polarisation", 0.5 - 0.7694), ("reconstruction", 0.5 + 0.7694)]
)
def test_the_confidence_bound_is_the_worse_end_of_the_interval(
    objective: str, value: float, spec_of: "SpecOf"
) -> None:
    spec = spec_of(objectives=[objective], aggregate="confidence_bound", sampler="random")
    seeds = [of(polarisation=at, reconstruction=at) for at in (0.25, 0.75)]

    # Student's t of one degree of freedom at 0.9 is 3.0777, and s / sqrt(2) of these is 0.25
    assert value_of(spec, 0, seeds) == pytest.approx(value, abs=1e-4)


def test_each_end_of_a_constraint_is_missed_by_its_distance_from_the_mean(
    spec_of: "SpecOf",
) -> None:
    spec = spec_of(
        constraints=[
            {"measure": "n_active", "at_least": 2, "at_most": 8},
            {"measure": "explained", "at_least": 0.5},
        ]
    )

    violations = violations_of(spec, of(n_active=10.0, explained=0.75))

    assert violations == {
        "n_active at least 2": -8.0,
        "n_active at most 8": 2.0,
        "explained at least 0.5": -0.25,
    }


def test_a_completed_trial_has_the_means_and_what_each_seed_ended_with(
    runs: Judged, spec_of: "SpecOf"
) -> None:
    spec = spec_of(
        objectives=["polarisation"], constraints=[{"measure": "kl", "at_most": 2}], sampler="tpe"
    )
    first = runs.evaluation(kl=[1.0, 0.0], polarisation=0.5, n_active=1, n_passive=1)
    second = runs.evaluation(
        kl=[2.0, 1.0], polarisation=1.0, regime=Regime.FORMING, n_active=2, n_passive=0
    )

    outcome = outcome_of(
        spec, [runs.succeeded(0, first), runs.succeeded(1, second, settled=False)]
    )

    assert (outcome.state, outcome.reason, outcome.message) == (TrialState.COMPLETED, None, None)
    assert outcome.values == [0.75]
    assert outcome.violations == {"kl at most 2": 0.0}
    measured = outcome.measured
    assert measured is not None
    assert (measured.polarisation, measured.kl, measured.n_active) == (0.75, 2.0, 1.5)
    assert [seed.kl for seed in measured.of_seeds] == [1.0, 3.0]
    assert measured.regimes == (Regime.CLEAN, Regime.FORMING)
    assert measured.settled == (True, False)
    ended = measured.observations[1]
    assert (ended.regime, ended.n_active, ended.n_passive) == (Regime.FORMING, 2, 0)
    assert (ended.weakest_std, ended.strongest_std, ended.settled) == (0.5, 0.5, False)


def test_the_outcome_of_a_seed_has_its_way_there_and_what_keeps_the_limits(
    runs: Judged, spec_of: "SpecOf"
) -> None:
    spec = spec_of(constraints=[{"measure": "n_active", "at_least": 3}])
    way = [
        runs.evaluation(step=20, n_active=2, regime=Regime.UNTRAINED),
        runs.evaluation(step=50, n_active=3, regime=Regime.FORMING, flaws=(Flaw.LEAK,)),
    ]
    done = runs.succeeded(0, runs.evaluation(n_active=4))

    measured = outcome_of(spec, [done], {done.id: [*way, runs.evaluation()]}).measured

    assert measured is not None
    (ended,) = measured.observations
    assert (ended.steps, ended.regime, ended.keeps_limits) == (100, Regime.CLEAN, True)
    assert ended.paper_regime is Regime.POLARISED
    assert [(seen.steps, seen.regime, seen.flaws) for seen in ended.trajectory] == [
        (20, Regime.UNTRAINED, ()),
        (50, Regime.FORMING, (Flaw.LEAK,)),
    ]
    assert [seen.keeps_limits for seen in ended.trajectory] == [False, True]


def test_evaluations_count_once_the_weight_has_stood_still_for_as_long_as_it_rose(
    runs: Judged, spec_of: "SpecOf"
) -> None:
    way = [runs.evaluation(step=step) for step in (10, 20, 39, 40, 70)]
    rising = runs.succeeded(0, runs.evaluation())
    rising.spec["training"]["weight_warm_up"] = {"fraction": 0.2, "scale": "linear"}

    measured = outcome_of(spec_of(), [rising], {rising.id: way}).measured

    assert measured is not None
    assert [seen.steps for seen in measured.observations[0].trajectory] == [40, 70]


@pytest.mark.parametrize("state", [PRUNED, SUCCEEDED, RunState.FAILED])
def test_a_run_that_has_collapsed_counts_with_its_collapse_whatever_came_after_it(
    state: RunState, runs: Judged, spec_of: "SpecOf"
) -> None:
    spec = spec_of(objectives=["polarisation"], pruner="collapse")
    collapsed = runs.collapsed(1, state)
    seen = [
        runs.evaluation(step=10, regime=Regime.COLLAPSED, polarisation=0.75),
        runs.evaluation(step=30, regime=Regime.COLLAPSED, polarisation=0.0, n_active=0),
        runs.evaluation(step=60, regime=Regime.COLLAPSED, polarisation=0.5),
        runs.evaluation(step=80, polarisation=0.25),
    ]

    outcome = outcome_of(
        spec,
        [runs.succeeded(0, runs.evaluation(polarisation=0.5)), collapsed],
        {collapsed.id: seen},
    )

    assert outcome.measured is not None
    ended = outcome.measured.observations[1]
    assert (ended.steps, ended.settled) == (100, True)  # it stands for the whole training
    assert [before.steps for before in ended.trajectory] == [10]
    assert (outcome.state, outcome.values) == (TrialState.COMPLETED, [0.25])
    assert outcome.measured.regimes == (Regime.CLEAN, Regime.COLLAPSED)
    assert outcome.measured.settled == (True, True)
    assert (outcome.reason, outcome.message) == (
        "collapsed",
        "the run of seed 1 had collapsed at step 30",
    )


@pytest.mark.parametrize(
    ("states", "state"),
    [
        ((SUCCEEDED, RunState.FAILED), TrialState.FAILED),
        ((SUCCEEDED, RunState.CANCELLED), TrialState.CANCELLED),
        ((SUCCEEDED, PRUNED), TrialState.PRUNED),
        ((PRUNED, RunState.CANCELLED, RunState.FAILED), TrialState.FAILED),
        ((PRUNED, RunState.CANCELLED), TrialState.CANCELLED),
        ((RunState.FAILED, RunState.FAILED), TrialState.FAILED),
    ],
)
def test_the_worst_of_its_runs_says_what_becomes_of_a_trial(
    states: Sequence[RunState], state: TrialState, runs: Judged, spec_of: "SpecOf"
) -> None:
    ended = [
        runs.run(seed, one, status_reason=f"reason {seed}", status_message=f"message {seed}")
        for seed, one in enumerate(states)
    ]

    outcome = outcome_of(spec_of(), ended)

    worst = states.index(RunState(state.value))
    assert (outcome.state, outcome.values, outcome.measured) == (state, None, None)
    assert outcome.violations == {}
    assert outcome.reason == f"reason {worst}"
    assert outcome.message == f"the run of seed {worst} ended as {state}: message {worst}"


def test_a_failure_counts_more_than_a_collapse(runs: Judged, spec_of: "SpecOf") -> None:
    collapsed = runs.collapsed(0)

    outcome = outcome_of(
        spec_of(pruner="collapse"),
        [collapsed, runs.run(1, RunState.FAILED)],
        {collapsed.id: [runs.evaluation(regime=Regime.COLLAPSED)]},
    )

    assert (outcome.state, outcome.reason) == (TrialState.FAILED, None)
    assert outcome.message == "the run of seed 1 ended as failed: no reason was given"


@pytest.mark.parametrize(
    "asked",
    [{"objectives": ["kl"]}, {"constraints": [{"measure": "kl", "at_most": 3}]}],
    ids=["an objective", "a constraint"],
)
def test_a_trial_without_a_measure_that_its_study_asks_for_has_failed(
    asked: dict[str, Any], runs: Judged, spec_of: "SpecOf"
) -> None:
    # It was a KeyError, which the broker repeated. The spec of a study refuses `kl` of a
    # deterministic autoencoder; this is about whatever a later measure may lack.
    spec = spec_of(**asked)
    finals = [runs.evaluation(kl=[1.0, 0.5]), runs.evaluation(kl=[None, None])]

    outcome = outcome_of(spec, [runs.succeeded(seed, final) for seed, final in enumerate(finals)])

    assert (outcome.state, outcome.values) == (TrialState.FAILED, None)
    assert outcome.reason == "not_measured"
    assert outcome.message == "the study asks for kl, which its runs do not measure"


def test_a_measure_that_nobody_asks_for_may_be_missing(runs: Judged, spec_of: "SpecOf") -> None:
    finals = [runs.evaluation(kl=[1.0, 0.5]), runs.evaluation(kl=[None, None])]

    outcome = outcome_of(
        spec_of(), [runs.succeeded(seed, final) for seed, final in enumerate(finals)]
    )

    assert outcome.state is TrialState.COMPLETED
    assert outcome.measured is not None
    assert outcome.measured.kl is None
    assert [seed.kl for seed in outcome.measured.of_seeds] == [1.5, None]


@pytest.mark.parametrize("measure", get_args(Measure))
def test_every_measure_can_be_an_objective_and_a_constraint(
    measure: Measure, runs: Judged, spec_of: "SpecOf"
) -> None:
    spec = spec_of(
        objectives=[measure], constraints=[{"measure": measure, "at_least": 0}], sampler="tpe"
    )

    outcome = outcome_of(spec, [runs.succeeded(0, runs.evaluation())])

    assert outcome.values == [measures(runs.evaluation()).value(measure)]
    assert list(outcome.violations) == [f"{measure} at least 0"]


def test_a_value_without_its_measure_says_which(spec_of: "SpecOf") -> None:
    with pytest.raises(NotMeasured, match="asks for kl, which its runs do not measure"):
        value_of(spec_of(objectives=["kl"]), 0, [of(kl=None)])


def test_a_run_that_stopped_because_it_had_settled_has_not_collapsed(
    runs: Judged, spec_of: "SpecOf"
) -> None:
    outcome = outcome_of(spec_of(), [runs.succeeded(0, runs.evaluation(step=64))])

    assert outcome.state is TrialState.COMPLETED
    assert (outcome.reason, outcome.message) == (None, None)
