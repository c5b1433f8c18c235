"""The range sampler in a plain Optuna study, without a broker."""

import itertools
import math

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polar.ranges import Search
from polar.records.latents import Regime
from polar.records.ranges import Edge, Outcome, SeedOutcome
from polar.spec import StudySpec
from service.studies.ranges import RangeSampler, range_of, search_of

#: Under-regularised below, collapsed above.
LOW, HIGH = 0.3, 5.0
SEARCH = Search(low=0.01, high=100)


def outcome(weight: float, low: float = LOW, high: float = HIGH) -> SeedOutcome:
    """What a model of 16 latents says: half of them are active in the band."""
    if weight < low:
        return SeedOutcome(regime=Regime.UNDER_REGULARISED, n_active=16, n_passive=0)
    if weight > high:
        return SeedOutcome(regime=Regime.COLLAPSED, n_active=0, n_passive=16)
    return SeedOutcome(regime=Regime.POLARISED, n_active=8, n_passive=8)


def spec_of(seeds: tuple[int, ...] = (0,), **fields: object) -> StudySpec:
    base = {"dataset": {"name": "digits"}, "model": {}, "seeds": list(seeds)}
    search = {"model.beta": {"log_uniform": [0.01, 100]}}
    return StudySpec.model_validate({"base": base, "search": search, **fields})


def ends_of(edge: Edge) -> tuple[float, float]:
    """The weights around an edge that is open at no side."""
    assert edge.low is not None
    assert edge.high is not None
    return edge.low, edge.high


def carry_out(search: Search, trials: int, low: float = LOW, high: float = HIGH) -> list[float]:
    """Four trials at a time."""
    study = optuna.create_study(sampler=RangeSampler(search), direction="maximize")
    for _ in range(trials // 4):
        asked = [study.ask() for _ in range(4)]
        for trial in asked:
            weight = trial.suggest_float("model.beta", search.low, search.high, log=True)
            said = outcome(weight, low, high).model_dump(mode="json")
            trial.set_user_attr("observations", [said])
        for trial in asked:
            study.tell(trial, 0.0)
    return [trial.params["model.beta"] for trial in study.trials]


def test_both_edges_are_bracketed_within_a_tenth() -> None:
    weights = carry_out(SEARCH, 24)

    trials = [({"model.beta": weight}, [outcome(weight)]) for weight in weights]
    found = range_of(spec_of(), trials)
    assert found.outcome is Outcome.FOUND
    assert found.envelope is not None
    low, high = ends_of(found.envelope.left)
    assert low < LOW <= high <= 1.1 * low * (1 + 1e-9)
    low, high = ends_of(found.envelope.right)
    assert low <= HIGH < high <= 1.1 * low * (1 + 1e-9)
    assert found.fields == ("model.beta",)
    assert (found.steps, found.seeds) == (3000, (0,))


@settings(max_examples=10)
@given(low=st.floats(0.02, 5), factor=st.floats(1.5, 15))
def test_no_weight_is_tried_twice(low: float, factor: float) -> None:
    weights = carry_out(SEARCH, 16, low, low * factor)

    assert len(set(weights)) == 16
    assert all(0.01 <= weight <= 100 for weight in weights)


def test_a_weight_that_is_to_be_measured_again_is_tried_just_beside_it() -> None:
    weights = sorted(carry_out(Search(low=0.01, high=100, flip_rate=0.05), 40))

    nearest = min(b / a for a, b in itertools.pairwise(weights))
    assert len(set(weights)) == 40
    assert 1 < nearest <= 1.001 * (1 + 1e-9)


def test_a_study_without_a_polarised_trial_says_so() -> None:
    trials = [
        ({"model.beta": beta}, [outcome(beta, 200, 300)]) for beta in (0.01, 0.1, 1.0, 100.0)
    ]

    assert range_of(spec_of(), trials).outcome is Outcome.NO_BAND


def test_a_band_that_reaches_the_end_of_the_search_is_open_there() -> None:
    trials = [
        ({"model.beta": beta}, [outcome(beta, 1, 300)]) for beta in (0.01, 0.99, 1.01, 100.0)
    ]

    found = range_of(spec_of(), trials)

    assert found.outcome is Outcome.OPEN
    assert found.envelope is not None
    assert found.envelope.right.high is None


def test_seeds_that_disagree_are_named() -> None:
    seeds = [outcome(1.0), outcome(100.0)]
    trials = [({"model.beta": 1.0}, seeds), ({"model.beta": 0.1}, [outcome(0.1)] * 2)]

    found = range_of(spec_of((0, 1)), trials)

    assert found.disagreeing == (1.0,)


def test_a_study_that_sweeps_two_fields_has_no_range_and_says_why() -> None:
    two = spec_of(
        search={
            "model.beta": {"log_uniform": [0.01, 100]},
            "training.learning_rate": {"log_uniform": [1e-4, 1e-2]},
        },
        sampler="tpe",
    )

    assert search_of(two) is None
    found = range_of(two, [({"model.beta": 1.0}, [outcome(1.0)])])
    assert found.outcome is Outcome.NOT_ONE_FIELD
    assert found.fields == ("model.beta", "training.learning_rate")
    assert (found.intervals, found.envelope, found.weights, found.trainings) == ((), None, 0, 0)
    assert found.remarks == ("a range takes exactly one swept field, on a log_uniform axis",)


def test_one_seed_repeats_exactly_and_several_may_flip() -> None:
    one, three = search_of(spec_of()), search_of(spec_of((0, 1, 2)))

    assert one is not None
    assert three is not None
    assert (one.flip_rate, three.flip_rate) == (0.0, 0.05)
    assert math.isclose(one.factor, 1.1)


@pytest.mark.parametrize("high", [100.0, 0.011])
def test_the_ends_of_the_search_are_kept(high: float) -> None:
    search = Search(low=0.01, high=high, flip_rate=0.05)

    weights = carry_out(search, 16, 0.0101, 0.0105)

    assert all(0.01 <= weight <= high for weight in weights)
