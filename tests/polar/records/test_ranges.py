"""Edges, intervals and ranges as records: their words, and what travels as JSON."""

import json
import subprocess
import sys

import pytest
from pydantic import ValidationError

from polar.records.latents import Flaw, Regime
from polar.records.ranges import (
    Action,
    AtBudget,
    Edge,
    Interval,
    Movement,
    Observation,
    Outcome,
    RangeReport,
    SeedOutcome,
    Snapshot,
    StudyRange,
)


def edge(low: float | None, high: float | None) -> Edge:
    return Edge(low=low, high=high, confidence=0.95)


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [
        (0.31, 0.34, "0.31..0.34"),
        (None, 0.01, "below 0.01"),
        (100.0, None, "above 100"),
        (None, None, "anywhere"),
        (0.0888149, 14.96743, "0.08881..14.97"),
        (1.234e-05, 2e15, "1.234e-05..2e+15"),
    ],
)
def test_an_edge_says_where_it_lies(low: float | None, high: float | None, words: str) -> None:
    assert edge(low, high).words() == words


def test_an_interval_is_said_by_its_edges() -> None:
    assert Interval(left=edge(None, 0.01), right=edge(7, 7.5)).words() == "below 0.01 to 7..7.5"


@pytest.mark.parametrize(
    ("left", "right", "core"),
    [
        (edge(0.3, 0.4), edge(4.0, 5.0), (0.4, 4.0)),
        (edge(None, 0.4), edge(4.0, None), (0.4, 4.0)),  # open beyond, which is not the core
        (edge(0.3, 0.4), edge(0.4, 5.0), (0.4, 0.4)),  # one tested weight
        (edge(1.0, 9.0), edge(3.0, 12.0), None),  # seeds contradict each other
        (edge(1.0, None), edge(3.0, 4.0), None),
        (edge(1.0, 2.0), edge(None, 4.0), None),
    ],
)
def test_the_core_of_an_interval_is_what_is_polarised_at_least(
    left: Edge, right: Edge, core: tuple[float, float] | None
) -> None:
    assert Interval(left=left, right=right).core == core


@pytest.mark.parametrize(
    ("found", "middle"),
    [
        (edge(1.0, 4.0), 2.0),
        (Edge(low=1.0, high=4.0, confidence=0.9, at=1.5, width=0.1), 1.5),
        (edge(None, 4.0), None),
    ],
)
def test_the_middle_of_an_edge_is_a_single_weight(found: Edge, middle: float | None) -> None:
    assert found.middle == middle


@pytest.mark.parametrize(
    ("is_settled", "factor", "words"),
    [
        (True, 1.02, "settled"),
        (None, 1.3, "not known to be settled"),
        (False, None, "moving"),
        (False, 1 / 2.1, "moving by 1/2.1 per doubling"),
        (False, 2.1, "moving by 2.1 per doubling"),
    ],
)
def test_a_movement_is_said_by_its_factor(
    is_settled: bool | None, factor: float | None, words: str
) -> None:
    movement = Movement(is_settled=is_settled, factor=factor, low=None, high=None)

    assert movement.words() == words


def test_the_cost_of_a_training_is_what_is_left_to_train() -> None:
    assert Action(weight=1.0, seed=0, steps=4000, done=1500).cost == 2500


def test_a_range_of_a_study_is_a_flat_report_with_what_it_depends_on() -> None:
    band = Interval(left=edge(0.3, 0.34), right=edge(12.1, None))
    report = RangeReport(
        outcome=Outcome.OPEN,
        of="clean",
        steps=30,
        seeds=(0, 1),
        intervals=(band,),
        envelope=band,
        by_steps=(AtBudget(steps=30, trainings=18, envelope=band),),
        settled=None,
        disagreeing=(1.0,),
        weights=9,
        trainings=18,
        headline="Clean.",
        remarks=("Seeds disagree on the verdict at 1.",),
    )

    found = StudyRange(**report.model_dump(), fields=("model.beta",))

    told = json.loads(found.model_dump_json())
    about = {"fields": ["model.beta"], "certificates": None}
    assert told == {**json.loads(report.model_dump_json()), **about}
    assert told["envelope"]["right"] == {
        "low": 12.1,
        "high": None,
        "confidence": 0.95,
        "at": None,
        "width": None,
        "movement": None,
    }
    assert StudyRange.model_validate(told) == found


def test_what_a_seed_said_becomes_an_observation_of_its_weight() -> None:
    outcome = SeedOutcome(
        steps=30,
        regime=Regime.FORMING,
        flaws=(Flaw.IDLE,),
        n_active=3,
        n_passive=5,
        settled=False,
        trajectory=(Snapshot(steps=10, regime=Regime.UNTRAINED),),
    )

    seen = Observation(weight=0.5, seed=2, **outcome.model_dump())

    assert (seen.weight, seen.seed, seen.steps, seen.settled) == (0.5, 2, 30, False)
    assert seen.trajectory == outcome.trajectory


@pytest.mark.parametrize(
    "wrong",
    [
        {"weight": 0.0},
        {"weight": float("nan")},
        {"n_active": -1},
        {"weakest_std": -0.1},
        {"steps": 0},
        {"trajectory": [{"steps": 0, "regime": "forming"}]},
    ],
    ids=str,
)
def test_impossible_observations_are_refused(wrong: dict[str, object]) -> None:
    right = {"weight": 1.0, "seed": 0, "steps": 10, "regime": "forming"}

    with pytest.raises(ValidationError):
        Observation.model_validate({**right, **wrong})


def test_records_load_neither_numpy_nor_torch() -> None:
    # The API reads all of them, and so do the agent and the command line.
    program = (
        "import sys, polar.records.phases, polar.records.measurement; "
        "print([name for name in ('numpy', 'torch') if name in sys.modules])"
    )

    loaded = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    assert loaded.stdout.strip() == "[]"
