"""Which training a range tries next and what it says of the band; rows are made by hand."""

import itertools
from collections.abc import Sequence
from uuid import uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polar.records.latents import Regime
from polar.records.ranges import Outcome, SeedOutcome
from polar.records.trials import Measured, Measures
from polar.spec import StudySpec
from polar.spec.points import Point
from service.storage.forms import Unreadable
from service.storage.states import TrialState
from service.storage.study_tables import Trial
from service.studies.ranges import next_point, range_of, search_of

#: Under-regularised below, collapsed above.
LOW, HIGH = 0.3, 5.0
MEASURES = Measures(
    clean_polarisation=0.5, polarisation=0.5, explained=0.5, reconstruction=1.0, n_active=8
)


def spec_of(seeds: Sequence[int] = (0,), **fields: object) -> StudySpec:
    base = {"dataset": {"name": "digits"}, "model": {}, "seeds": list(seeds)}
    search = {"model.beta": {"log_uniform": [0.01, 100]}}
    return StudySpec.model_validate({"base": base, "search": search, **fields})


def outcome(point: Point, low: float = LOW, high: float = HIGH) -> SeedOutcome:
    """What a model of 16 latents says: half of them are active in the band."""
    regime, actives = Regime.CLEAN, 8
    if float(point["model.beta"]) < low:
        regime, actives = Regime.UNDER_REGULARISED, 16
    if float(point["model.beta"]) > high:
        regime, actives = Regime.COLLAPSED, 0
    steps = int(point.get("training.steps", 3000))
    return SeedOutcome(regime=regime, steps=steps, n_active=actives, n_passive=16 - actives)


def completed(number: int, point: Point, *outcomes: SeedOutcome) -> Trial:
    """A completed trial whose seeds ended so."""
    ended = outcomes or (outcome(point),)
    measured = Measured(
        **MEASURES.model_dump(),
        of_seeds=(MEASURES,) * len(ended),
        regimes=tuple(one.regime for one in ended),
        settled=(True,) * len(ended),
        observations=tuple(ended),
    )
    return trial_of(number, point, TrialState.COMPLETED, measured)


def trial_of(
    number: int,
    point: Point,
    state: TrialState,
    measured: Measured | Unreadable | None = None,
) -> Trial:
    return Trial(
        study_id=uuid4(),
        number=number,
        point=point,
        experiment_id=uuid4(),
        state=state,
        measured=measured,
    )


def carried_out(spec: StudySpec, trials: int, low: float = LOW, high: float = HIGH) -> list[Trial]:
    """Four trainings at a time, each of which knows those up to its own number minus four."""
    done: list[Trial] = []
    for number in range(trials):
        point = next_point(spec, done, done[: max(number - 3, 0)])
        done.append(completed(number, point, outcome(point, low, high)))
    return done


def test_both_edges_are_found_between_trainings_of_one_seed() -> None:
    trials = carried_out(spec_of(), 24)

    found = range_of(spec_of(), trials)

    assert found.outcome is Outcome.FOUND
    assert found.envelope is not None
    left, right = found.envelope.left, found.envelope.right
    assert left.low is not None
    assert left.high is not None
    assert left.low < LOW <= left.high <= 1.1 * left.low * (1 + 1e-9)
    assert right.low is not None
    assert right.high is not None
    assert right.low <= HIGH < right.high <= 1.1 * right.low * (1 + 1e-9)
    assert (left.confidence, right.confidence) == (None, None)
    assert found.fields == ("model.beta",)
    assert (found.steps, found.seeds, found.trainings) == (3000, (0,), 24)


@settings(max_examples=5)
@given(low=st.floats(0.02, 5), factor=st.floats(1.5, 15), seeds=st.integers(1, 3))
def test_no_training_is_tried_twice(low: float, factor: float, seeds: int) -> None:
    trials = carried_out(spec_of(range(seeds)), 12, low, low * factor)

    points = [tuple(trial.point.items()) for trial in trials]
    assert len(set(points)) == 12
    assert all(0.01 <= float(trial.point["model.beta"]) <= 100 for trial in trials)
    assert {trial.point["seed"] for trial in trials} <= set(range(seeds))
    assert {trial.point["training.steps"] for trial in trials} == {3000}


def test_a_proposal_depends_neither_on_later_outcomes_nor_on_the_order_of_rows() -> None:
    spec = spec_of((0, 1))
    trials = carried_out(spec, 8)
    known, others = trials[:5], trials[5:]
    expected = next_point(spec, trials, known)

    for states in itertools.product(
        [TrialState.RUNNING, TrialState.FAILED, TrialState.COMPLETED], repeat=3
    ):
        changed = [
            trial_of(trial.number, trial.point, state, trial.measured)
            for trial, state in zip(others, states, strict=True)
        ]
        assert next_point(spec, [*changed, *known[::-1]], known[::-1]) == expected


def test_a_training_that_failed_is_not_tried_again_and_one_that_was_cancelled_is() -> None:
    spec = spec_of()
    first = next_point(spec, [], [])

    failed = [trial_of(0, first, TrialState.FAILED)]
    cancelled = [trial_of(0, first, TrialState.CANCELLED)]

    assert next_point(spec, failed, failed) != first
    assert next_point(spec, cancelled, cancelled) == first
    assert next_point(spec, cancelled, []) != first


def test_a_training_that_failed_and_then_succeeded_counts_with_its_outcome() -> None:
    spec = spec_of()
    trials = carried_out(spec, 6)
    again = [trial_of(9, trials[0].point, TrialState.FAILED), *trials]

    assert next_point(spec, again, again) == next_point(spec, trials, trials)


def test_the_search_is_that_of_the_spec() -> None:
    fields = {"range": {"of": "polarised", "max_steps": 12_000}}

    search = search_of(spec_of((3, 1), **fields))

    assert search is not None
    assert (search.low, search.high, search.factor) == (0.01, 100, 1.1)
    assert (search.of, search.seeds) == ("polarised", (3, 1))
    assert (search.steps, search.max_steps) == (3000, 12_000)


def test_a_study_of_another_sampler_has_a_range_of_all_seeds() -> None:
    spec = spec_of((0, 4), sampler="random")
    trials = [
        completed(number, {"model.beta": beta}, *[outcome({"model.beta": beta})] * 2)
        for number, beta in enumerate((0.01, 0.1, 1.0, 100.0))
    ]

    found = range_of(spec, trials)

    assert (found.weights, found.trainings, found.seeds) == (4, 8, (0, 4))
    assert found.envelope is not None


def test_a_training_that_breaks_a_limit_is_not_inside() -> None:
    spec = spec_of(sampler="random")
    points: list[Point] = [{"model.beta": beta} for beta in (0.01, 0.5, 1.0, 100.0)]
    limited = [outcome(point).model_copy(update={"keeps_limits": False}) for point in points]
    trials = [completed(n, point, limited[n]) for n, point in enumerate(points)]

    assert range_of(spec, trials).outcome is Outcome.NO_BAND


def test_what_an_earlier_version_stored_says_nothing() -> None:
    spec = spec_of()
    trial = completed(0, {"model.beta": 1.0})
    assert isinstance(trial.measured, Measured)
    trial.measured = trial.measured.model_copy(update={"observations": ()})

    assert range_of(spec, [trial]).trainings == 0
    assert next_point(spec, [trial], [trial]) == next_point(spec, [], [])


def test_a_study_that_sweeps_two_fields_has_no_range_and_says_why() -> None:
    two = spec_of(
        search={
            "model.beta": {"log_uniform": [0.01, 100]},
            "training.learning_rate": {"log_uniform": [1e-4, 1e-2]},
        },
        sampler="tpe",
    )

    assert search_of(two) is None
    found = range_of(two, [])
    assert found.outcome is Outcome.NOT_ONE_FIELD
    assert found.fields == ("model.beta", "training.learning_rate")
    assert (found.intervals, found.envelope, found.weights, found.trainings) == ((), None, 0, 0)
    assert found.headline == "a range takes exactly one swept field, on a log_uniform axis"


@pytest.mark.parametrize("high", [100.0, 0.011])
def test_the_ends_of_the_search_are_kept(high: float) -> None:
    search = {"model.beta": {"log_uniform": [0.01, high]}}
    spec = spec_of((0, 1), search=search)

    trials = carried_out(spec, 12, 0.0101, 0.0105)

    assert all(0.01 <= float(trial.point["model.beta"]) <= high for trial in trials)
