"""What MLflow has been told of studies, and how it nests them."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from mlflow import MlflowClient

from polar.spec import StudySpec
from service.storage import agreement, studies
from service.storage.database import Database
from service.storage.states import RunState, StudyState, TrialState
from workers.tracking import study_entries
from workers.tracking.tracker import Tracker

if TYPE_CHECKING:
    from tests.workers.tracking.conftest import Story, StudyStory


async def test_with_one_seed_the_runs_lie_below_the_study(
    study_story: "StudyStory",
    story: "Story",
    tracker: Tracker,
    client: MlflowClient,
    study_spec: StudySpec,
    tmp_path: Path,
) -> None:
    study_id = await study_story.complete(study_spec, [0.5, 2.0])

    await tracker.tell_all()

    told = study_story.in_mlflow(study_id)
    runs = study_story.below(told)
    assert told.info.run_name == "where is beta clean?"
    assert client.get_experiment(told.info.experiment_id).name == "beta_vae-digits"
    assert told.info.status == "FINISHED"
    assert told.data.params == study_entries.study_parameters(study_spec)
    assert {run.data.tags["polar.trial"]: run.info.run_name for run in runs} == {
        "0": "trial 0 beta=0.5 steps=30 seed 0 (where is beta clean?)",
        "1": "trial 1 beta=2 steps=30 seed 0 (where is beta clean?)",
    }
    assert {run.info.experiment_id for run in runs} == {told.info.experiment_id}
    assert study_story.trials_in_mlflow(study_id) == []
    assert await study_story.runs_of_trials(study_id) == {
        int(run.data.tags["polar.trial"]): run.info.run_id for run in runs
    }
    assert story.files_in_mlflow(told) == ["range.json", "spec.yaml"]
    spec = client.download_artifacts(told.info.run_id, "spec.yaml", str(tmp_path))
    assert StudySpec.from_file(spec) == study_spec
    client.download_artifacts(told.info.run_id, "range.json", str(tmp_path))
    with (tmp_path / "range.json").open() as found:
        assert json.load(found)["outcome"] == "coarse"


async def test_with_several_seeds_they_lie_below_their_trial(
    study_story: "StudyStory",
    story: "Story",
    tracker: Tracker,
    study_spec_of_two_seeds: StudySpec,
) -> None:
    study_id = await study_story.begin(study_spec_of_two_seeds)
    runs = await study_story.begin_trial(study_id, 0, 0.5)

    await tracker.tell_all()

    study = study_story.in_mlflow(study_id)
    (trial,) = study_story.below(study)
    assert trial.info.run_name == "trial 0 beta=0.5"
    assert trial.data.params == {"model.beta": "0.5"}
    assert trial.data.metrics == {}
    assert (trial.info.status, study.info.status) == ("RUNNING", "RUNNING")
    seeds = {run.data.tags["polar.run_id"]: run for run in study_story.below(trial)}
    assert seeds.keys() == {str(run_id) for run_id in runs}
    assert [seeds[str(run_id)].info.run_name for run_id in runs] == [
        f"trial 0 beta=0.5 seed {seed} (where is beta clean?)" for seed in (0, 1)
    ]
    assert await study_story.runs_of_trials(study_id) == {0: trial.info.run_id}

    for run_id in runs:
        await story.finish(run_id)
    await study_story.end_trial(study_id, 0)
    await tracker.tell_all()

    (trial,) = study_story.trials_in_mlflow(study_id)
    assert trial.info.status == "FINISHED"
    assert trial.data.tags["polar.regime"] == "clean"
    assert story.numbers_in_mlflow(trial)["trial/polarisation"] == [(0, 0.75)]
    assert study_story.in_mlflow(study_id).info.status == "RUNNING"


async def test_a_study_has_one_point_for_each_ended_trial(
    study_story: "StudyStory", story: "Story", tracker: Tracker, study_spec: StudySpec
) -> None:
    study_id = await study_story.begin(study_spec)
    for number, beta in enumerate([0.1, 1.0, 10.0]):
        await study_story.begin_trial(study_id, number, beta)
    await tracker.tell_all()
    assert study_story.in_mlflow(study_id).data.metrics == {}

    await study_story.end_trial(study_id, 2)
    await tracker.tell_all()
    await study_story.end_trial(study_id, 0)
    await study_story.end_trial(study_id, 1, TrialState.FAILED, "diverged")
    await tracker.tell_all()

    numbers = story.numbers_in_mlflow(study_story.in_mlflow(study_id))
    assert numbers == {
        "trial/model.beta": [(0, 0.1), (1, 1.0), (2, 10.0)],
        "trial/model.beta_log10": [(0, -1.0), (1, 0.0), (2, 1.0)],
        "trial/seed": [(0, 0.0), (1, 0.0), (2, 0.0)],
        "trial/training.steps": [(0, 30.0), (1, 30.0), (2, 30.0)],
        "trial/objective_clean_polarisation": [(0, 0.5), (2, 0.52)],
        "trial/clean_polarisation": [(0, 0.5), (2, 0.5)],
        "trial/polarisation": [(0, 0.75), (2, 0.75)],
        "trial/explained": [(0, 0.67), (2, 0.67)],
        "trial/reconstruction": [(0, 100.0), (2, 100.0)],
        "trial/n_active": [(0, 1.0), (2, 3.0)],
    }


@pytest.mark.parametrize(
    ("state", "run_state", "reason", "status"),
    [
        (TrialState.PRUNED, RunState.PRUNED, "median", "KILLED"),
        (TrialState.CANCELLED, RunState.CANCELLED, "user", "KILLED"),
        (TrialState.FAILED, RunState.FAILED, "diverged", "FAILED"),
    ],
)
async def test_a_trial_that_came_to_nothing_says_why_and_so_do_its_runs(
    study_story: "StudyStory",
    story: "Story",
    tracker: Tracker,
    study_spec_of_two_seeds: StudySpec,
    state: TrialState,
    run_state: RunState,
    reason: str,
    status: str,
) -> None:
    study_id = await study_story.begin(study_spec_of_two_seeds)
    runs = await study_story.begin_trial(study_id, 0, 0.5)
    await tracker.tell_all()

    for run_id in runs:
        await story.finish(run_id, run_state, reason=reason, message="as it is told")
    await study_story.end_trial(study_id, 0, state, reason)
    await tracker.tell_all()

    (trial,) = study_story.trials_in_mlflow(study_id)
    seeds = study_story.below(trial)
    assert len(seeds) == 2
    for run in (trial, *seeds):
        assert run.info.status == status
        assert run.data.tags["polar.state"] == state
        assert run.data.tags["polar.status_reason"] == reason


async def test_a_paused_study_goes_on_in_mlflow_and_says_that_it_is_paused(
    study_story: "StudyStory", tracker: Tracker, study_spec: StudySpec
) -> None:
    study_id = await study_story.begin(study_spec)
    await tracker.tell_all()

    await study_story.change(study_id, studies.pause)
    await tracker.tell_all()
    paused = study_story.in_mlflow(study_id)
    await study_story.change(study_id, studies.resume)
    await tracker.tell_all()
    resumed = study_story.in_mlflow(study_id)

    assert (paused.info.status, paused.data.tags["polar.state"]) == ("RUNNING", "paused")
    assert (resumed.info.status, resumed.data.tags["polar.state"]) == ("RUNNING", "running")


async def test_a_study_that_is_extended_runs_again_and_ends_again(
    study_story: "StudyStory", story: "Story", tracker: Tracker, study_spec: StudySpec
) -> None:
    study_id = await study_story.complete(study_spec, [0.5])
    await tracker.tell_all()
    first = study_story.in_mlflow(study_id)

    await study_story.extend(study_id, trials=4)
    await tracker.tell_all()
    again = study_story.in_mlflow(study_id)
    (run_id,) = await study_story.begin_trial(study_id, 1, 2.0)
    await story.finish(run_id)
    await study_story.end_trial(study_id, 1)
    await study_story.end(study_id)
    await tracker.tell_all()
    last = study_story.in_mlflow(study_id)

    assert [told.info.status for told in (first, again, last)] == [
        "FINISHED",
        "RUNNING",
        "FINISHED",
    ]
    assert len({told.info.run_id for told in (first, again, last)}) == 1
    assert last.info.end_time > first.info.end_time
    numbers = story.numbers_in_mlflow(last)
    assert numbers["trial/n_active"] == [(0, 1.0), (1, 2.0)]
    wanted = study_spec.trials
    assert numbers["range/low"] == [(wanted, 0.4), (wanted + 4, 0.4)]
    assert numbers["range/high"] == [(wanted, 4.0), (wanted + 4, 4.0)]


async def test_a_study_that_ended_again_unseen_is_told(
    study_story: "StudyStory", tracker: Tracker, study_spec: StudySpec
) -> None:
    study_id = await study_story.complete(study_spec, [])
    await tracker.tell_all()
    first = study_story.in_mlflow(study_id)

    await study_story.extend(study_id, trials=4)
    await study_story.end(study_id, reason="time_over")
    await tracker.tell_all()

    last = study_story.in_mlflow(study_id)
    assert last.data.tags["polar.status_reason"] == "time_over"
    assert last.info.end_time > first.info.end_time


async def test_with_more_seeds_a_new_trial_lies_beside_the_one_that_it_supersedes(
    study_story: "StudyStory", story: "Story", tracker: Tracker, study_spec: StudySpec
) -> None:
    spec = study_spec.model_copy(update={"sampler": "tpe"})
    study_id = await study_story.complete(spec, [0.5])
    await tracker.tell_all()
    (first,) = study_story.below(study_story.in_mlflow(study_id))

    await study_story.extend(study_id, seeds=[1])
    shared, new = await study_story.begin_trial(study_id, 1, 0.5)
    await story.finish(new)
    await study_story.end_trial(study_id, 1)
    await study_story.end(study_id)
    await tracker.tell_all()

    (trial,) = study_story.trials_in_mlflow(study_id)
    assert trial.data.tags["polar.trial"] == "1"
    assert [run.data.tags["polar.run_id"] for run in study_story.below(trial)] == [str(new)]
    assert first.data.tags["polar.run_id"] == str(shared)
    below = {run.info.run_id for run in study_story.below(study_story.in_mlflow(study_id))}
    assert below == {first.info.run_id, trial.info.run_id}
    assert await study_story.runs_of_trials(study_id) == {
        0: first.info.run_id,
        1: trial.info.run_id,
    }


async def test_trials_come_to_lie_below_the_new_run_of_a_study_that_mlflow_lacked(
    study_story: "StudyStory",
    tracker: Tracker,
    client: MlflowClient,
    study_spec_of_two_seeds: StudySpec,
    database: Database,
) -> None:
    study_id = await study_story.complete(study_spec_of_two_seeds, [0.5])
    await tracker.tell_all()
    lost = study_story.in_mlflow(study_id).info.run_id
    client.delete_run(lost)

    async with database.transaction() as session:
        await agreement.copy_anew(session, [lost])  # as `polar doctor --repair` does
    await tracker.tell_all()

    study = study_story.in_mlflow(study_id)
    (trial,) = study_story.trials_in_mlflow(study_id)
    assert study.info.run_id != lost
    assert [run.info.run_id for run in study_story.below(study)] == [trial.info.run_id]
    assert len(study_story.below(trial)) == 2


async def test_a_cancelled_study_leaves_nothing_running(
    study_story: "StudyStory",
    story: "Story",
    tracker: Tracker,
    study_spec_of_two_seeds: StudySpec,
) -> None:
    study_id = await study_story.begin(study_spec_of_two_seeds)
    runs = await study_story.begin_trial(study_id, 0, 0.5)
    await tracker.tell_all()

    await study_story.change(study_id, studies.cancel)
    await tracker.tell_all()
    cancelled = study_story.in_mlflow(study_id)
    for run_id in runs:
        await story.finish(run_id, RunState.CANCELLED, reason="user")
    await study_story.end_trial(study_id, 0, TrialState.CANCELLED, "user")
    await tracker.tell_all()

    assert cancelled.info.status == "KILLED"
    (trial,) = study_story.trials_in_mlflow(study_id)
    everything = [study_story.in_mlflow(study_id), trial, *study_story.below(trial)]
    assert [run.info.status for run in everything] == ["KILLED"] * 4


async def test_a_run_that_was_told_before_the_study_comes_to_lie_below_it(
    study_story: "StudyStory", story: "Story", tracker: Tracker, study_spec: StudySpec
) -> None:
    run_id = await story.run_of(study_spec.experiment({"model.beta": 0.5}))
    await story.finish(run_id)
    await tracker.tell_all()
    (alone,) = story.in_mlflow(run_id)

    study_id = await study_story.begin(study_spec)
    shared = await study_story.begin_trial(study_id, 0, 0.5)
    await tracker.tell_all()

    (told,) = story.in_mlflow(run_id)
    assert shared == [run_id]
    assert "mlflow.parentRunId" not in alone.data.tags
    assert told.data.tags["mlflow.parentRunId"] == study_story.in_mlflow(study_id).info.run_id


async def test_a_run_of_an_experiment_with_a_name_keeps_it_below_a_study(
    study_story: "StudyStory", story: "Story", tracker: Tracker, study_spec: StudySpec
) -> None:
    spec = study_spec.experiment({"model.beta": 0.5}).model_copy(update={"name": "my sweep"})
    run_id = await story.run_of(spec)
    await tracker.tell_all()
    (alone,) = story.in_mlflow(run_id)

    study_id = await study_story.begin(study_spec)
    await study_story.begin_trial(study_id, 0, 0.5)
    await tracker.tell_all()

    (told,) = study_story.below(study_story.in_mlflow(study_id))
    assert told.info.run_id == alone.info.run_id
    names = [alone.info.run_name, told.info.run_name]
    assert names == ["beta=0.5 seed 0 (my sweep)"] * 2


async def test_a_run_that_two_studies_want_stays_below_the_first(
    study_story: "StudyStory", story: "Story", tracker: Tracker, study_spec: StudySpec
) -> None:
    first = await study_story.begin(study_spec)
    second = await study_story.begin(study_spec)
    (run_id,) = await study_story.begin_trial(second, 0, 0.5)  # it is the older trial
    (shared,) = await study_story.begin_trial(first, 0, 0.5)

    await tracker.tell_all()
    await story.finish(run_id)
    await tracker.tell_all()

    (told,) = story.in_mlflow(run_id)
    assert shared == run_id
    assert told.data.tags["mlflow.parentRunId"] == study_story.in_mlflow(second).info.run_id
    of_both = [await study_story.runs_of_trials(id) for id in (first, second)]
    assert of_both == [{0: told.info.run_id}] * 2


async def test_a_failed_study_is_failed_in_mlflow(
    study_story: "StudyStory", tracker: Tracker, study_spec: StudySpec
) -> None:
    study_id = await study_story.begin(study_spec)
    await study_story.end(study_id, StudyState.FAILED, "trials_fail")

    await tracker.tell_all()

    told = study_story.in_mlflow(study_id)
    assert told.info.status == "FAILED"
    assert told.data.tags["polar.status_reason"] == "trials_fail"
    assert told.data.tags["mlflow.note.content"].startswith("**failed** (trials_fail): as it is")
