"""Edges, intervals and ranges as records: their words, and what travels as JSON."""

import json
import subprocess
import sys

import pytest
from pydantic import ValidationError

from polar.records.latents import Regime
from polar.records.ranges import (
    Edge,
    Interval,
    Observation,
    Outcome,
    RangeReport,
    SeedOutcome,
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


def test_a_range_of_a_study_is_a_flat_report_with_what_it_depends_on() -> None:
    band = Interval(left=edge(0.3, 0.34), right=edge(12.1, None))
    report = RangeReport(
        outcome=Outcome.OPEN,
        intervals=(band,),
        envelope=band,
        converged=None,
        disagreeing=(1.0,),
        weights=9,
        trainings=18,
        remarks=("Seeds disagree on the verdict at 1.",),
    )

    found = StudyRange(**report.model_dump(), fields=("model.beta",), steps=30, seeds=(0, 1))

    told = json.loads(found.model_dump_json())
    about = {"fields": ["model.beta"], "steps": 30, "seeds": [0, 1]}
    assert told == {**json.loads(report.model_dump_json()), **about}
    assert told["envelope"]["right"] == {"low": 12.1, "high": None, "confidence": 0.95}
    assert StudyRange.model_validate(told) == found


def test_what_a_seed_said_becomes_an_observation_of_its_weight() -> None:
    outcome = SeedOutcome(regime=Regime.FORMING, n_active=3, n_passive=5, converged=False)

    seen = Observation(weight=0.5, **outcome.model_dump())

    assert (seen.weight, seen.regime, seen.n_active, seen.converged) == (0.5, "forming", 3, False)


@pytest.mark.parametrize(
    "wrong",
    [{"weight": 0.0}, {"weight": float("nan")}, {"n_active": -1}, {"weakest_std": -0.1}],
    ids=str,
)
def test_impossible_observations_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        Observation.model_validate({"weight": 1.0, "regime": "forming", **wrong})


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
