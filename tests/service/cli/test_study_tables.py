"""Studies and their trials on terminals of any width."""

import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from polar.records.latents import Regime
from polar.records.trials import Measures
from polar.spec.study_parts import MOST_TRIALS
from service.api.studies.schemas import StudyPlan, StudySummary, StudyView, TrialView
from service.cli import demo_study, output, study_tables
from service.storage.states import StudyState, TrialState
from tests.service.cli.terminals import FIELDS, LINK, NAMES, assert_whole, runs, show, terminal

if TYPE_CHECKING:
    from tests.conftest import Reports

MEASURES = ["clean_polarisation", "reconstruction_nats", "explained", "n_mixed"]


EDGE = {
    "low": 1.234e-05,
    "high": 2.345e-05,
    "confidence": 0.9,
    "movement": {"is_settled": False, "factor": 0.4762, "low": 0.4, "high": 0.6},
}
FOUND: dict[str, Any] = {
    "outcome": "coarse",
    "of": "clean",
    "intervals": [{"left": EDGE, "right": EDGE}] * 3,
    "envelope": {"left": EDGE, "right": {**EDGE, "high": None, "movement": None}},
    "by_steps": [
        {"steps": 50_000, "trainings": 18, "envelope": None},
        {"steps": 100_000, "trainings": 18, "envelope": {"left": EDGE, "right": EDGE}},
    ],
    "settled": False,
    "disagreeing": [1.234e-05, 56.78],
    "fields": ["model.beta"],
    "steps": 100_000,
    "seeds": [0, 1],
    "weights": 9,
    "trainings": 18,
    "headline": "Clean over 2 seeds, with 90 % intervals: left edge 1.234e-05..2.345e-05 at "
    "100,000 steps, moving by 1/2.1 per doubling; right edge above 1.234e-05 at 100,000 steps.",
    "remarks": ["Seeds disagree on the verdict at 1.234e-05, and at others, too. " * 2],
}


def measured_by(*regimes: str) -> dict[str, Any]:
    means = dict.fromkeys(Measures.model_fields, 0.5)
    return {
        **means,
        "of_seeds": [means for _ in regimes],
        "regimes": regimes,
        "settled": [True for _ in regimes],
        "observations": [],
    }


def trial(number: int, fields: Sequence[str], measures: Sequence[str], **other: Any) -> TrialView:  # noqa: ANN401
    return TrialView.model_validate(
        {
            "number": number,
            "point": dict.fromkeys(fields, 1.234e-05 * (number + 1)),
            "state": TrialState.COMPLETED,
            "reason": None,
            "message": None,
            "values": [0.1234 + at + number for at in range(len(measures))],
            "measured": measured_by("under_regularised", "clean"),
            "experiment_id": uuid4(),
            "created_at": datetime.now(UTC),
            "finished_at": None,
            "of_earlier_version": [],
            "links": {},
            **other,
        }
    )


def study(
    name: str, measures: Sequence[str], best: TrialView | None, trials: int = 5000
) -> StudyView:
    return StudyView(
        id=uuid4(),
        name=name,
        tags={},
        note="",
        state=StudyState.COMPLETED,
        reason="budget_spent",
        message="it has what it wanted",
        created_at=datetime.now(UTC),
        finished_at=None,
        spec={
            "objectives": [{"measure": measure} for measure in measures],
            "budget": {"trials": trials},
        },
        dataset_digest="",
        trials_wanted=MOST_TRIALS,
        steps_wanted=10**9,
        steps_spent=987_654_321,
        training_steps_wanted=None,
        completed=2000,
        seeds_wanted=[0],
        trials=dict.fromkeys(TrialState, 1000),
        best=best,
        range=FOUND,
        mlflow_error=None,
        of_earlier_version=["spec"],
        links={},
        watch="",
    )


COUNTED = {TrialState.COMPLETED: 2, TrialState.RUNNING: 1}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("fields", [1, 8])
def test_a_study(fields: int, name: str, columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    measures = MEASURES[: max(1, fields // 2)]
    trials = [trial(number, FIELDS[:fields], measures) for number in range(14)]
    trials.append(
        trial(14, FIELDS[:fields], measures, state="failed", values=None, message="no, " * 50)
    )
    shown = study(name, measures, trials[0])

    lines = show(study_tables.of_study(shown, trials), columns, monkeypatch)

    points = [f"{field}={value:.4g}" for one in trials for field, value in one.point.items()]
    values = [f"{value:.4g}" for one in trials for value in one.values or ()]
    assert_whole(lines, columns, [shown.id, "completed", "failed", *points, *values])
    assert_whole(lines, columns, ["under_regularised", "1.234e-05..2.345e-05", "above 1.234e-05"])
    assert_whole(lines, columns, ["1,000,000,000", "moving by 1/2.1", "50,000", "no band"])


def test_a_study_that_steps_alone_limit_says_how_many_are_spent() -> None:
    by_steps = study("mine", MEASURES[:1], None, trials=MOST_TRIALS)
    by_both = study("mine", MEASURES[:1], None)

    assert by_steps.is_by_steps
    assert study_tables.name_of_bar(by_steps) == "mine (steps)"
    assert not by_both.is_by_steps
    assert study_tables.name_of_bar(by_both) == "mine"
    assert study_tables.name_of_bar(study("", (), None, trials=MOST_TRIALS)) == "steps"


def test_the_trials_of_a_study_that_steps_alone_limit_are_counted_without_a_bound(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # A study with 60,000 steps once said "12 of 10000 completed".
    by_steps = study("mine", MEASURES[:1], None, trials=MOST_TRIALS)

    lines = show(study_tables.of_study(by_steps, []), 200, monkeypatch)
    of_both = show(study_tables.of_study(study("mine", MEASURES[:1], None), []), 200, monkeypatch)

    spent = "987,654,321 of 1,000,000,000 training steps spent"
    assert any(spent in line for line in lines)
    assert not any("of 10000" in line for line in lines)
    assert any("2000 of 10000 completed" in line for line in of_both)
    assert any(spent in line for line in of_both)


def test_beside_a_bar_of_completed_trials_only_the_others_are_counted() -> None:
    of_trials, of_steps = (
        study("mine", (), None, trials=bound).model_copy(update={"trials": COUNTED})
        for bound in (3, MOST_TRIALS)
    )
    new = of_trials.model_copy(update={"trials": {}})

    assert study_tables.status(of_trials) == "completed; trials: 1 running"
    assert study_tables.status(of_steps) == "completed; trials: 2 completed, 1 running"
    assert study_tables.status(new) == "completed"


def test_a_study_of_one_field_is_a_line_for_each_trial_at_80_columns(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    trials = [
        trial(number, FIELDS[:1], MEASURES[:1], measured=measured_by("under_regularised"))
        for number in range(14)
    ]

    lines = show(study_tables.of_study(study("", MEASURES[:1], None), trials), 80, monkeypatch)

    last = trials[-1]
    beta = f"model.beta={last.point['model.beta']:.4g}"
    assert lines[-2].split() == ["13", "completed", beta, "13.12", "under_regularised"]
    assert lines[-3].split()[0] == "12"


@pytest.mark.parametrize("name", NAMES)
def test_lists_and_ranges_of_studies(
    name: str, columns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = [study(name, MEASURES, None) for _ in range(3)]
    found = [StudySummary.model_validate(one.model_dump()) for one in full]

    listed = show(study_tables.of_studies(found), columns, monkeypatch)
    ranges = show(study_tables.of_ranges(full), columns, monkeypatch)

    ids = [one.id.hex[:8] for one in full]
    assert_whole(listed, columns, [*ids, "completed", "1,000 superseded", MOST_TRIALS])
    assert_whole(ranges, columns, [*ids, "completed", "2000", "1.234e-05..2.345e-05", "moving by"])


def test_the_plan_of_a_study(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = StudyPlan(
        spec={},
        dataset_digest="",
        trials=10_000,
        runs=1_000_000,
        ends="after 10,000 completed trials or 60,000 training steps, whichever comes first",
        estimated_s=1e7,
        estimated_least_s=1e6,
        estimate="0.12 s a step, as in the latest runs like these; 2,000 steps a run",
    )

    lines = show(study_tables.of_plan(plan), columns, monkeypatch)

    assert_whole(lines, columns, ["10000", "1000000", "60,000 training"])
    assert_whole(lines, columns, ["11 days, 13:46:40", "115 days, 17:46:40"])


def test_the_demo(columns: int, reports: "Reports", monkeypatch: pytest.MonkeyPatch) -> None:
    # The README's first command once lost beta, P and verdict to the links.
    trained = [
        (trial(number, ["model.beta"], MEASURES[:1]), run)
        for number, run in enumerate(runs(reports, len(Regime)))
    ]

    with terminal(columns, monkeypatch) as screen:
        output.console_on(sys.stdout).print(demo_study._of_results(trained, 1024, has_links=False))
    lines = screen.lines()
    progress = show(demo_study._of_progress(trained), columns, monkeypatch)

    betas = [f"{one.point['model.beta']:.4g}" for one, _ in trained]
    assert_whole(lines, columns, [*betas, *Regime, "1 of 1024", "0.99", "0.90", "yes", "no"])
    assert_whole(progress, columns, [*betas, "succeeded", "failed", "100 / 100", "0.99"])
    assert screen.sent.decode().count(LINK) == len(Regime)
    if columns >= 80:
        assert len([line for line in lines if line.strip()]) == 1 + len(Regime)
