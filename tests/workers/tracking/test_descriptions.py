"""Names, tags and notes of experiments, runs and studies in MLflow."""

from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run as MlflowRun

from polar.spec import StudySpec
from service.descriptions import Description
from service.storage import deletions, experiments
from service.storage import tracking as positions
from service.storage.database import Database
from service.storage.descriptions import describe
from service.storage.study_tables import Study
from service.storage.study_tracking import Nesting
from service.storage.tables import Experiment, Run
from tests.workers.tracking.conftest import DIGEST
from workers.tracking import tracker as tracking
from workers.tracking.server import MLflowAway, MLflowRefused, MLflowServer
from workers.tracking.study_tracker import StudyTeller
from workers.tracking.tracker import Tracker

if TYPE_CHECKING:
    from tests.conftest import Training
    from tests.workers.tracking.conftest import Story, StudyStory, TrackerMaker

NOTE = "mlflow.note.content"


async def say(database: Database, kind: Any, id: UUID, **said: Any) -> None:  # noqa: ANN401
    async with database.transaction() as session:
        await describe(session, kind, id, **said)


def of_users(run: MlflowRun) -> dict[str, str]:
    """The tags that neither MLflow nor we have set for ourselves."""
    return {
        key: value
        for key, value in run.data.tags.items()
        if not key.startswith(("polar.", "mlflow."))
    }


async def test_what_is_said_of_a_run_follows_it_after_its_end(
    story: "Story",
    tracker: Tracker,
    database: Database,
    client: MlflowClient,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run_id = await story.succeed()
    await tracker.tell_all()
    (before,) = story.in_mlflow(run_id)
    client.set_tag(before.info.run_id, "mine", "set in MLflow")

    async def no_file(*_arguments: object) -> None:
        raise AssertionError("its files have not changed")

    monkeypatch.setattr(MLflowServer, "put_file", no_file)
    await say(
        database, Run, run_id, name="the good", tags={"a": "1", "b": ""}, note="Look *here*."
    )
    await tracker.tell_all()
    (said,) = story.in_mlflow(run_id)
    await say(database, Run, run_id, name="", tags={"a": None, "b": "2"}, note="")
    await tracker.tell_all()
    (after,) = story.in_mlflow(run_id)

    assert (said.info.run_name, of_users(said)) == (
        "the good",
        {"a": "1", "b": "", "mine": "set in MLflow"},
    )
    assert said.data.tags[NOTE] == f"Look *here*.\n\n---\n\n{before.data.tags[NOTE]}"
    assert said.info.status == before.info.status
    assert (after.info.run_name, of_users(after)) == (
        before.info.run_name,
        {"b": "2", "mine": "set in MLflow"},
    )
    assert after.data.tags[NOTE] == before.data.tags[NOTE]
    assert (await story.position(run_id)).complete


async def test_what_is_said_of_an_experiment_is_on_its_runs_where_they_say_nothing_else(
    story: "Story", tracker: Tracker, database: Database, training: "Training"
) -> None:
    run_id = await story.run_of(training.spec)
    await say(database, Run, run_id, tags={"both": "of the run"})
    await tracker.tell_all()

    said = Description(tags={"both": "of the experiment", "mine": "yes"}, note="For the paper.")
    async with database.transaction() as session:
        shared = await experiments.create(session, training.spec, DIGEST, said=said)
    await tracker.tell_all()
    (told,) = story.in_mlflow(run_id)
    await say(database, Experiment, shared.experiment.id, tags={"mine": None}, note="")
    await tracker.tell_all()
    (after,) = story.in_mlflow(run_id)

    assert [run.id for run in shared.runs] == [run_id]
    assert of_users(told) == {"both": "of the run", "mine": "yes"}
    assert told.data.tags[NOTE].startswith("For the paper.\n\n---\n\n")
    assert of_users(after) == {"both": "of the run"}
    assert "For the paper." not in after.data.tags[NOTE]


async def test_a_tag_on_many_runs_keeps_nothing_else_waiting_and_reaches_all(
    story: "Story",
    tracker: Tracker,
    database: Database,
    training: "Training",
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with database.transaction() as session:
        spec = training.spec.model_copy(update={"seeds": (0, 1, 2, 3, 4)})
        submission = await experiments.create(session, spec, DIGEST)
    ended = [run.id for run in submission.runs]
    for run_id in ended:
        await story.claim(run_id)
        await story.finish(run_id)
    await tracker.tell_all()
    await say(database, Experiment, submission.experiment.id, tags={"all": "yes"})
    new = await story.begin()  # younger than all of them
    told: list[UUID] = []
    refused: list[UUID] = []
    tell = Tracker._tell

    async def noted(self: Tracker, run_id: UUID) -> None:
        told.append(run_id)
        if run_id != new and not refused:
            refused.append(run_id)
            raise MLflowRefused("GONE", "its run is gone")
        await tell(self, run_id)

    monkeypatch.setattr(Tracker, "_tell", noted)
    monkeypatch.setattr(tracking, "ANEW_AT_ONCE", 2)
    passes = []
    for _ in range(4):
        await tracker.tell_all()
        passes.append([*told])
        told.clear()

    assert [len(each) for each in passes] == [3, 2, 1, 0]
    assert passes[0][0] == new
    for run_id in ended:
        tags = of_users(story.in_mlflow(run_id)[0])
        assert tags == ({} if run_id in refused else {"all": "yes"})
    async with database.reading() as session:
        assert await positions.runs_to_tell_anew(session) == refused  # it is tried again


async def test_an_experiment_that_is_deleted_says_nothing_more_of_runs_that_others_have(
    story: "Story", tracker: Tracker, database: Database, training: "Training"
) -> None:
    run_id = await story.run_of(training.spec)
    said = Description(tags={"mine": "yes"}, note="For the paper.")
    async with database.transaction() as session:
        shared = await experiments.create(session, training.spec, DIGEST, said=said)
    await story.train(run_id)
    await story.finish(run_id)
    await tracker.tell_all()
    (told,) = story.in_mlflow(run_id)

    async with database.transaction() as session:
        await deletions.delete_experiment(session, shared.experiment.id)
    await tracker.tell_all()

    (after,) = story.in_mlflow(run_id)
    assert of_users(told) == {"mine": "yes"}
    assert of_users(after) == {}
    assert told.data.tags[NOTE] == f"For the paper.\n\n---\n\n{after.data.tags[NOTE]}"
    assert (await story.position(run_id)).complete


async def test_a_study_that_is_renamed_tells_its_runs(
    study_story: "StudyStory", tracker: Tracker, database: Database, study_spec: StudySpec
) -> None:
    study_id = await study_story.complete(study_spec, [0.5])
    await tracker.tell_all()

    await say(
        database, Study, study_id, name="for the paper", tags={"a": "1"}, note="Read *this*."
    )
    await tracker.tell_all()

    told = study_story.in_mlflow(study_id)
    (seed,) = study_story.below(told)
    assert (told.info.run_name, of_users(told)) == ("for the paper", {"a": "1"})
    assert told.data.tags[NOTE].startswith("Read *this*.\n\n---\n\n**completed**")
    assert told.info.status == "FINISHED"
    assert seed.info.run_name == "trial 0 beta=0.5 steps=30 seed 0 (for the paper)"
    assert await study_story.is_told()


async def test_only_a_new_name_of_a_study_moves_its_runs_and_a_batch_a_pass(
    study_story: "StudyStory",
    tracker: Tracker,
    database: Database,
    study_spec: StudySpec,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    study_id = await study_story.complete(study_spec, [0.5, 2.0, 8.0])
    await tracker.tell_all()
    nested: list[UUID] = []
    nest = StudyTeller.nest

    async def noted(self: StudyTeller, nesting: Nesting) -> None:
        nested.append(nesting.run_id)
        await nest(self, nesting)

    monkeypatch.setattr(StudyTeller, "nest", noted)
    monkeypatch.setattr(tracking, "PLACES_AT_ONCE", 2)
    counts = []
    await say(database, Study, study_id, tags={"a": "1"}, note="Read *this*.")
    for _ in range(2):
        await tracker.tell_all()
        counts.append(len(nested))
    await say(database, Study, study_id, name="for the paper")
    for _ in range(3):
        await tracker.tell_all()
        counts.append(len(nested))

    assert counts == [0, 0, 2, 3, 3]
    names = {seed.info.run_name for seed in study_story.below(study_story.in_mlflow(study_id))}
    assert names == {
        f"trial {number} beta={beta} steps=30 seed 0 (for the paper)"
        for number, beta in enumerate(("0.5", "2", "8"))
    }


async def test_runs_have_the_new_name_of_a_study_though_a_tracker_was_killed_in_between(
    study_story: "StudyStory",
    make_tracker: "TrackerMaker",
    database: Database,
    study_spec: StudySpec,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    study_id = await study_story.complete(study_spec, [0.5])
    killed = make_tracker()
    await killed.tell_all()
    await say(database, Study, study_id, name="for the paper")

    async def away(*_: object) -> None:
        raise MLflowAway("as if the tracker had been killed once MLflow knew the name")

    with monkeypatch.context() as patch:
        patch.setattr(MLflowServer, "set_status", away)
        with pytest.raises(MLflowAway):
            await killed.tell_all()
    await killed.close()
    await make_tracker().tell_all()

    told = study_story.in_mlflow(study_id)
    (seed,) = study_story.below(told)
    assert told.info.run_name == "for the paper"
    assert seed.info.run_name == "trial 0 beta=0.5 steps=30 seed 0 (for the paper)"


async def test_what_is_said_while_it_is_told_is_told_again(
    story: "Story", tracker: Tracker, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = await story.succeed()
    set_status = MLflowServer.set_status

    async def set_status_late(self: MLflowServer, *arguments: Any) -> None:  # noqa: ANN401
        await set_status(self, *arguments)
        await say(database, Run, run_id, tags={"late": "yes"})

    with monkeypatch.context() as patch:
        patch.setattr(MLflowServer, "set_status", set_status_late)
        await tracker.tell_all()
    (before,) = story.in_mlflow(run_id)
    await tracker.tell_all()
    (after,) = story.in_mlflow(run_id)

    assert of_users(before) == {}
    assert of_users(after) == {"late": "yes"}


async def test_a_study_that_is_described_while_it_is_told_is_told_again(
    study_story: "StudyStory",
    tracker: Tracker,
    database: Database,
    study_spec: StudySpec,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    study_id = await study_story.begin(study_spec)
    set_status = MLflowServer.set_status

    async def set_status_late(self: MLflowServer, *arguments: Any) -> None:  # noqa: ANN401
        await set_status(self, *arguments)
        await say(database, Study, study_id, name="late")

    with monkeypatch.context() as patch:
        patch.setattr(MLflowServer, "set_status", set_status_late)
        await tracker.tell_all()
    before = study_story.in_mlflow(study_id)
    await tracker.tell_all()

    assert before.info.run_name == "where is beta clean?"
    assert study_story.in_mlflow(study_id).info.run_name == "late"


async def test_a_run_of_several_well_tagged_experiments_is_told(
    story: "Story", tracker: Tracker, database: Database, training: "Training"
) -> None:
    run_id = await story.run_of(training.spec)
    own = {f"own-{number:02}".ljust(64, "x"): "v" * 256 for number in range(32)}
    await say(database, Run, run_id, tags=own)
    for which in "abc":
        tags = {f"{which}-{number:02}".ljust(64, "x"): "v" * 256 for number in range(32)}
        async with database.transaction() as session:
            await experiments.create(session, training.spec, DIGEST, said=Description(tags=tags))
    await tracker.tell_all()
    (told,) = story.in_mlflow(run_id)
    await say(database, Run, run_id, tags=dict.fromkeys(own))
    await tracker.tell_all()
    (after,) = story.in_mlflow(run_id)

    assert own.items() <= of_users(told).items()
    assert {key[0] for key in of_users(told)} == {"o", "a"}  # the oldest experiment comes first
    assert not own.keys() & of_users(after).keys()
    assert {key[0] for key in of_users(after)} == {"a", "b"}
