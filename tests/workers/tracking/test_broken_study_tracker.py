"""Studies are told to MLflow once and whole, wherever the telling was broken off."""

import itertools
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import pytest
from mlflow import MlflowClient

from polar.spec import StudySpec
from workers.tracking.server import MLflowAway, MLflowServer
from workers.tracking.study_tracker import TRIALS_AT_ONCE
from workers.tracking.tracker import Tracker

if TYPE_CHECKING:
    from tests.workers.tracking.conftest import Story, StudyStory, TrackerMaker


class Killed(BaseException):
    """The tracker is gone, between two statements."""


async def test_a_tracker_that_is_killed_after_any_request_doubles_and_loses_nothing(
    study_story: "StudyStory",
    story: "Story",
    make_tracker: "TrackerMaker",
    study_spec_of_two_seeds: StudySpec,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    study_id = await study_story.complete(study_spec_of_two_seeds, [0.5, 2.0])
    left = 0
    ask: Callable[..., Awaitable[dict[str, Any]]] = MLflowServer._call

    async def ask_and_die(*request: Any, **content: Any) -> dict[str, Any]:  # noqa: ANN401
        nonlocal left
        answer = await ask(*request, **content)
        left -= 1
        if left == 0:
            raise Killed
        return answer

    monkeypatch.setattr(MLflowServer, "_call", ask_and_die)
    for life in itertools.count(1):
        left, tracker = life, make_tracker()
        try:
            await tracker.tell_all()
        except Killed:
            await tracker.close()
        else:
            break
    monkeypatch.undo()

    study = study_story.in_mlflow(study_id)
    trials = study_story.below(study)
    seeds = [run for trial in trials for run in study_story.below(trial)]
    assert life > 5
    assert await study_story.is_told()
    assert [run.data.tags["polar.trial"] for run in study_story.trials_in_mlflow(study_id)] == [
        "0",
        "1",
    ]
    assert len(trials) == 2
    assert len({run.data.tags["polar.run_id"] for run in seeds}) == len(seeds) == 4
    assert {run.info.status for run in (study, *trials, *seeds)} == {"FINISHED"}
    assert story.numbers_in_mlflow(study)["trial/n_active"] == [(0, 1.0), (1, 2.0)]
    assert story.numbers_in_mlflow(study)["range/low"] == [(study_spec_of_two_seeds.trials, 0.4)]


async def test_what_was_sent_but_not_noted_is_not_doubled(
    study_story: "StudyStory",
    story: "Story",
    tracker: Tracker,
    study_spec_of_two_seeds: StudySpec,
) -> None:
    study_id = await study_story.complete(study_spec_of_two_seeds, [0.5])
    await tracker.tell_all()
    before = study_story.in_mlflow(study_id)
    (trial,) = study_story.trials_in_mlflow(study_id)

    await study_story.forget_trials(study_id)
    await tracker.tell_all()
    await study_story.forget(study_id)
    await tracker.tell_all()

    told = study_story.in_mlflow(study_id)
    (again,) = study_story.trials_in_mlflow(study_id)
    assert (told.info.run_id, again.info.run_id) == (before.info.run_id, trial.info.run_id)
    assert story.numbers_in_mlflow(told) == story.numbers_in_mlflow(before)
    assert len(story.numbers_in_mlflow(told)["trial/n_active"]) == 1
    assert len(study_story.below(again)) == 2
    assert await study_story.is_told()


async def test_a_study_that_is_there_twice_is_there_once_in_the_end(
    study_story: "StudyStory",
    tracker: Tracker,
    server: MLflowServer,
    study_spec_of_two_seeds: StudySpec,
) -> None:
    study_id = await study_story.begin(study_spec_of_two_seeds)
    await study_story.begin_trial(study_id, 0, 0.5)
    await tracker.tell_all()
    study = study_story.in_mlflow(study_id)
    (trial,) = study_story.trials_in_mlflow(study_id)
    for told in (study, trial):
        tags = {key: value for key, value in told.data.tags.items() if key.startswith("polar.")}
        await server.create_run(told.info.experiment_id, name="late", start_ms=0, tags=tags)

    await study_story.end_trial(study_id, 0)
    await study_story.end(study_id)
    await tracker.tell_all()

    (still,) = study_story.trials_in_mlflow(study_id)
    assert still.info.run_id == trial.info.run_id
    assert study_story.in_mlflow(study_id).info.run_id == study.info.run_id


async def test_more_trials_than_one_pass_tells_arrive(
    study_story: "StudyStory", story: "Story", tracker: Tracker, study_spec: StudySpec
) -> None:
    study_id = await study_story.begin(study_spec)
    count = TRIALS_AT_ONCE + 1
    for number in range(count):
        (run_id,) = await study_story.begin_trial(study_id, number, 0.5)  # they share one run
        await study_story.end_trial(study_id, number)
    await story.finish(run_id)
    await study_story.end(study_id)

    await tracker.tell_all()
    first = story.numbers_in_mlflow(study_story.in_mlflow(study_id))
    await tracker.tell_all()
    both = story.numbers_in_mlflow(study_story.in_mlflow(study_id))

    assert len(first["trial/n_active"]) == TRIALS_AT_ONCE
    assert both["trial/n_active"] == [(number, number + 1.0) for number in range(count)]
    assert await study_story.is_told()


async def test_a_study_that_cannot_be_told_does_not_silence_the_others(
    study_story: "StudyStory",
    story: "Story",
    tracker: Tracker,
    client: MlflowClient,
    study_spec: StudySpec,
    caplog: pytest.LogCaptureFixture,
) -> None:
    deleted = await study_story.begin(study_spec)
    await tracker.tell_all()
    client.delete_run(study_story.in_mlflow(deleted).info.run_id)
    (run_id,) = await study_story.begin_trial(deleted, 0, 0.5)
    await story.finish(run_id)
    await study_story.end_trial(deleted, 0)
    other = await study_story.complete(study_spec, [2.0])

    await tracker.tell_all()
    await tracker.tell_all()

    assert study_story.in_mlflow(other).info.status == "FINISHED"
    assert story.in_mlflow(run_id)[0].info.status == "FINISHED"
    assert caplog.text.count(f"study {deleted} cannot be copied to MLflow") == 1


async def test_with_nothing_new_nothing_is_asked_and_while_mlflow_is_away_nothing_is_noted(
    study_story: "StudyStory",
    tracker: Tracker,
    make_tracker: "TrackerMaker",
    nobody: MLflowServer,
    study_spec: StudySpec,
) -> None:
    study_id = await study_story.begin(study_spec)
    await study_story.begin_trial(study_id, 0, 0.5)
    await tracker.tell_all()
    await tracker.close()
    lonely = make_tracker(server=nobody)

    await lonely.tell_all()
    await study_story.end_trial(study_id, 0)
    with pytest.raises(MLflowAway):
        await lonely.tell_all()
    await lonely.close()

    assert not await study_story.is_told()
    await tracker.tell_all()
    assert study_story.in_mlflow(study_id).data.metrics["trial/n_active"] == 1.0
