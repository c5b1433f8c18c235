"""What MLflow is told of a study and of its trials."""

import json
import math
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polar.records.latents import Regime
from polar.records.ranges import Edge, Interval, Outcome, StudyRange
from polar.records.trials import Measured, Measures
from polar.spec import StudySpec
from polar.spec.points import SEED, STEPS, WARM_START
from polar.spec.study import MOST_FIELDS
from service.storage.forms import Unreadable
from service.storage.states import RunState, StudyState, TrialState
from service.storage.study_tables import Study, Trial
from service.storage.study_tracking import Nesting
from workers.tracking import run_entries, study_entries
from workers.tracking.run_entries import MLflowMetric

STUDY_ID = UUID(int=7)
NOON = datetime(2026, 11, 22, 12, 0, 0, 123_456, tzinfo=UTC)
NOON_MS = 1_795_348_800_123

LEFT = Edge(low=0.3, high=0.34, confidence=0.9)
BAND = Interval(left=LEFT, right=Edge(low=12.1234567, high=14.0, confidence=0.9))
HEADLINE = "Clean over 2 seeds, with 90 % intervals: left edge 0.3..0.34 at 3,000 steps, settled."
FOUND = StudyRange(
    outcome=Outcome.COARSE,
    of="clean",
    steps=3000,
    seeds=(0, 1),
    intervals=(BAND,),
    envelope=BAND,
    by_steps=(),
    settled=True,
    disagreeing=(),
    weights=4,
    trainings=4,
    headline=HEADLINE,
    remarks=("The right edge is known within a factor 1.15.", "Seeds disagree."),
    fields=("model.beta",),
)
MEANS = Measures(
    clean_polarisation=0.5, polarisation=0.75, explained=0.25, reconstruction=100.0, n_active=6.0
)


def found(**changes: Any) -> StudyRange:  # noqa: ANN401
    return FOUND.model_copy(update=changes)


def envelope(low: float, left_high: float | None, right_low: float, high: float) -> Interval:
    return Interval(
        left=Edge(low=low, high=left_high, confidence=0.9),
        right=Edge(low=right_low, high=high, confidence=0.9),
    )


def measured(means: Measures = MEANS, *regimes: Regime) -> Measured:
    return Measured(
        **means.model_dump(),
        of_seeds=tuple(means for _ in regimes),
        regimes=regimes,
        settled=tuple(True for _ in regimes),
        observations=(),
    )


def spec_of(**fields: Any) -> StudySpec:  # noqa: ANN401
    axis = {"model.beta": {"log_uniform": [0.01, 100]}}
    base = {"dataset": {"name": "digits"}, "model": {}}
    return StudySpec.model_validate({"base": base, "search": axis, **fields})


def study_of(spec: StudySpec, state: StudyState = StudyState.RUNNING, **fields: Any) -> Study:  # noqa: ANN401
    return Study(
        id=STUDY_ID,
        name=spec.name,
        spec=spec.model_dump(mode="json"),
        dataset_digest="d" * 64,
        state=state,
        trials_wanted=16,
        tags={},
        note="",
        **fields,
    )


def trial_of(point: dict[str, Any], state: TrialState, **fields: Any) -> Trial:  # noqa: ANN401
    ended = {} if state is TrialState.RUNNING else {"finished_at": NOON}
    return Trial(study_id=STUDY_ID, number=3, point=point, state=state, **ended, **fields)


def values_of(metrics: Sequence[MLflowMetric]) -> dict[str, float]:
    return {metric["key"]: metric["value"] for metric in metrics}


@pytest.mark.parametrize(
    ("state", "status"),
    [
        (StudyState.RUNNING, "RUNNING"),
        (StudyState.PAUSED, "RUNNING"),
        (StudyState.COMPLETED, "FINISHED"),
        (StudyState.FAILED, "FAILED"),
        (StudyState.CANCELLED, "KILLED"),
        (TrialState.RUNNING, "RUNNING"),
        (TrialState.COMPLETED, "FINISHED"),
        (TrialState.SUPERSEDED, "FINISHED"),
        (TrialState.PRUNED, "KILLED"),
        (TrialState.FAILED, "FAILED"),
        (TrialState.CANCELLED, "KILLED"),
    ],
)
def test_every_state_has_a_status(state: StudyState | TrialState, status: str) -> None:
    assert run_entries.status(state) == status


@pytest.mark.parametrize("states", [RunState, TrialState, StudyState])
def test_no_state_is_forgotten(states: type[RunState]) -> None:
    told = [run_entries.status(state) for state in states]

    assert len(told) == len(states)


def test_a_study_has_its_own_name_or_that_of_what_it_sweeps() -> None:
    named, unnamed = spec_of(name="where is beta clean?"), spec_of()

    assert study_entries.study_name(study_of(named), named) == "where is beta clean?"
    assert study_entries.study_name(study_of(unnamed), unnamed) == "study of model.beta"


def test_a_trial_is_named_by_its_number_and_point() -> None:
    point = {"model.beta": 1.2345678, "model.latent_dim": 8, "model.prior": "fixed"}

    name = study_entries.trial_name(trial_of(point, TrialState.RUNNING))

    assert name == "trial 3 beta=1.235 latent_dim=8 prior=fixed"


def test_the_parameters_are_the_whole_spec_with_dotted_names() -> None:
    spec = spec_of(
        search={
            "model.beta": {"log_uniform": [0.01, 100]},
            "training.batch_size": {"choices": [32, 64]},
        },
        sampler="tpe",
        objectives=["clean_polarisation", {"measure": "n_active", "target": 4}],
        budget={"trials": 24},
    )

    told = study_entries.study_parameters(spec)

    assert told["search.model.beta.log_uniform"] == "[0.01, 100.0]"
    assert told["search.training.batch_size.choices"] == "[32, 64]"
    assert [name for name in told if name.startswith("search.")] == [
        "search.model.beta.log_uniform",
        "search.training.batch_size.choices",
    ]
    assert told["sampler"] == "tpe"
    assert told["budget.trials"] == "24"
    assert told["budget.hours"] == "none"
    assert json.loads(told["objectives"])[1] == {"measure": "n_active", "target": 4}
    assert told["base.model.beta"] == "1.0"
    assert told["base.seeds"] == "[0]"


@pytest.mark.parametrize("model", ["beta_vae", "ivae", "lv_ae"])
def test_mlflow_takes_all_parameters_at_once(model: str) -> None:
    base = {"dataset": {"name": "sprites"}, "model": {"name": model}, "downstream": {}}
    axis = {"log_uniform": [0.001, 0.01], "points": 9}
    spec = spec_of(base=base, search={"training.learning_rate": axis}, sampler="grid")

    told = study_entries.study_parameters(spec)

    assert len(told) + (MOST_FIELDS - 1) * len(axis) <= 100  # MLflow's limit


def test_an_ended_trial_is_one_point_at_the_step_of_its_number() -> None:
    spec = spec_of(objectives=[{"measure": "n_active", "target": 4}])
    trial = trial_of(
        {"model.beta": 10.0},
        TrialState.COMPLETED,
        values=[2.0],
        measured=measured(MEANS, Regime.CLEAN),
    )

    told = study_entries.trial_metrics(trial, spec)

    assert values_of(told) == {
        "trial/model.beta": 10.0,
        "trial/model.beta_log10": 1.0,
        "trial/n_active": 6.0,
        "trial/polarisation": 0.75,
        "trial/clean_polarisation": 0.5,
        "trial/explained": 0.25,
        "trial/reconstruction": 100.0,
        "trial/objective_n_active": 2.0,
    }
    assert {(metric["step"], metric["timestamp"]) for metric in told} == {(3, NOON_MS)}


def test_a_trial_of_a_range_is_a_training_with_its_seed_and_its_steps() -> None:
    trial = trial_of({"model.beta": 10.0, SEED: 2, STEPS: 4000}, TrialState.FAILED)

    assert study_entries.trial_name(trial) == "trial 3 beta=10 seed=2 steps=4000"
    assert values_of(study_entries.trial_metrics(trial, spec_of())) == {
        "trial/model.beta": 10.0,
        "trial/model.beta_log10": 1.0,
        "trial/seed": 2.0,
        "trial/training.steps": 4000.0,
    }


def test_a_training_that_went_on_tells_the_weight_where_it_began() -> None:
    point = {"model.beta": 10.0, SEED: 2, STEPS: 4000, WARM_START: 1.0}

    told = study_entries.trial_metrics(
        trial_of(point, TrialState.FAILED), spec_of(range={"held": True})
    )

    assert (
        values_of(told).items()
        >= {
            "trial/training.warm_start.weight": 1.0,
            "trial/training.warm_start.weight_log10": 0.0,
        }.items()
    )


def test_a_trial_that_failed_tells_its_point_and_one_in_flight_nothing() -> None:
    point = {"model.beta": 0.1, "model.prior": "fixed"}
    failed = trial_of(point, TrialState.FAILED)
    in_flight = trial_of(point, TrialState.RUNNING)

    told = values_of(study_entries.trial_metrics(failed, spec_of()))

    assert told == {"trial/model.beta": 0.1, "trial/model.beta_log10": pytest.approx(-1.0)}
    assert study_entries.trial_metrics(in_flight, spec_of()) == []


@given(
    beta=st.floats(0.01, 100),
    means=st.builds(
        Measures,
        **dict.fromkeys(Measures.model_fields, st.floats(allow_nan=False, allow_infinity=False)),
    ),
)
def test_no_name_is_that_of_a_number_of_a_run(beta: float, means: Measures) -> None:
    trial = trial_of(
        {"model.beta": beta}, TrialState.COMPLETED, values=[0.5], measured=measured(means)
    )

    names = values_of(study_entries.trial_metrics(trial, spec_of()))

    assert all(re.fullmatch(r"trial/[\w.]+", name) for name in names)
    assert all(math.isfinite(value) for value in names.values())


def test_a_trial_has_the_verdicts_of_its_seeds_each_once() -> None:
    said = measured(MEANS, Regime.CLEAN, Regime.FORMING, Regime.CLEAN)
    trial = trial_of({"model.beta": 1.0}, TrialState.COMPLETED, values=[0.5], measured=said)

    assert study_entries.trial_tags(trial)["polar.regime"] == "clean, forming"


def test_a_pruned_trial_says_why() -> None:
    message = "the run of seed 1 pruned: below the median at step 600"
    trial = trial_of(
        {"model.beta": 1.0}, TrialState.PRUNED, status_reason="median", status_message=message
    )

    told = study_entries.trial_tags(trial)

    assert told["polar.state"] == "pruned"
    assert told["polar.status_reason"] == "median"
    assert told["mlflow.note.content"] == f"**pruned** (median): {message}"
    assert "polar.regime" not in told


def test_a_study_says_its_range_in_words_and_numbers() -> None:
    spec = spec_of()
    study = study_of(
        spec,
        StudyState.COMPLETED,
        range=FOUND,
        finished_at=NOON,
        status_reason="budget_spent",
        status_message="16 trials are completed",
    )

    tags = study_entries.study_tags(study, spec)

    assert tags["polar.range"] == "0.34 to 12.12"
    assert tags["polar.range_of"] == "clean"
    assert tags["polar.range_outcome"] == "coarse"
    assert tags["mlflow.note.content"] == (
        "**completed** (budget_spent): 16 trials are completed\n\n"
        f"model.beta: {HEADLINE}\n\n"
        "- The right edge is known within a factor 1.15.\n- Seeds disagree.\n\n"
        f"Polar study `{STUDY_ID}`."
    )
    assert [
        (metric["key"], metric["value"], metric["step"], metric["timestamp"])
        for metric in study_entries.range_metrics(study)
    ] == [("range/low", 0.34, 16, NOON_MS), ("range/high", 12.1234567, 16, NOON_MS)]
    assert StudyRange.model_validate_json(study_entries.range_text(study)) == FOUND


@pytest.mark.parametrize(
    ("stored", "outcome"),
    [
        (None, "none"),
        (Unreadable({"seeds": [0]}, "/steps: missing"), "none"),
        (found(outcome=Outcome.NOT_ONE_FIELD, envelope=None), "not_one_field"),
        (found(outcome=Outcome.NO_BAND, envelope=None), "no_band"),
        (found(envelope=envelope(1.0, 9.0, 3.0, 12.0)), "coarse"),  # seeds contradict each other
        (found(envelope=envelope(1.0, None, 3.0, 4.0)), "coarse"),
    ],
)
def test_a_study_without_a_range_claims_none(
    stored: StudyRange | Unreadable | None, outcome: str
) -> None:
    spec = spec_of()
    study = study_of(spec, StudyState.COMPLETED, range=stored, finished_at=NOON)

    tags = study_entries.study_tags(study, spec)

    assert study_entries.range_metrics(study) == []
    assert tags["polar.range"] == "none"
    assert tags["polar.range_outcome"] == outcome


@pytest.mark.parametrize("stored", [None, Unreadable({"seeds": [0]}, "/steps: missing")])
def test_a_study_of_which_no_range_can_be_read_has_no_headline(
    stored: Unreadable | None,
) -> None:
    study = study_of(spec_of(), StudyState.COMPLETED, range=stored, finished_at=NOON)

    tags = study_entries.study_tags(study, spec_of())

    assert tags["polar.range_of"] == "none"
    assert tags["mlflow.note.content"] == f"**completed**\n\nPolar study `{STUDY_ID}`."


def test_a_study_that_goes_on_has_no_range_in_numbers_yet() -> None:
    study = study_of(spec_of(), range=FOUND)

    assert study_entries.range_metrics(study) == []
    assert study_entries.study_tags(study, spec_of())["polar.range"] == "0.34 to 12.12"


def test_marks_tell_studies_trials_and_runs_apart() -> None:
    of_study = study_entries.marks_of_study(study_of(spec_of()))
    of_trial = study_entries.marks_of_trial(trial_of({}, TrialState.RUNNING))
    of_run = study_entries.nesting_tags(Nesting(UUID(int=1), "r", "parent", STUDY_ID, 3))

    assert of_study == {"polar.kind": "study", "polar.study_id": str(STUDY_ID)}
    assert of_trial == {
        "polar.kind": "trial",
        "polar.study_id": str(STUDY_ID),
        "polar.trial": "3",
    }
    assert of_run == {
        "mlflow.parentRunId": "parent",
        "polar.study_id": str(STUDY_ID),
        "polar.trial": "3",
    }
