"""Names, tags and notes that people edit in MLflow are in our rows afterwards."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
from mlflow import MlflowClient

from polar.spec import StudySpec
from polar.spec.fields import LONGEST_NAME
from service.descriptions import LONGEST_VALUE, MOST_TAGS, Description
from service.storage import experiments, tracking
from service.storage.database import Database
from service.storage.study_tables import Study
from service.storage.tables import Run
from tests.workers.tracking.conftest import DIGEST
from tests.workers.tracking.test_descriptions import of_users, say
from workers.tracking import edits
from workers.tracking.description_entries import LONGEST_TAG, NOTE, TOLD
from workers.tracking.edits import Edits
from workers.tracking.server import MLflowAway, MLflowServer
from workers.tracking.tracker import Tracker

if TYPE_CHECKING:
    from tests.conftest import Training
    from tests.workers.tracking.conftest import Story, StudyStory, TrackerMaker

PATIENCE_S = 30.0

Look = Callable[[], Awaitable[None]]


@pytest.fixture
def look(tracker: Tracker, make_tracker: "TrackerMaker", monkeypatch: pytest.MonkeyPatch) -> Look:
    """Have a new tracker look for edits, and tell MLflow what came back."""

    async def take_over() -> None:
        await tracker.close()
        with monkeypatch.context() as patch:
            patch.setattr(edits, "LOOK_S", 0.0)
            other = make_tracker()
        await other.tell_all()
        await other.close()

    return take_over


async def row(database: Database, kind: Any, id: UUID) -> Any:  # noqa: ANN401
    async with database.transaction() as session:
        return await session.get_one(kind, id)


@pytest.mark.parametrize(
    ("edit", "note"),
    [
        ("Before.\n\nAfter.\n\n---\n\n{says}", "Before.\n\nAfter."),
        ("Before.\n\n---\n\n{says}\n\nBelow.", "Before.\n\nBelow."),
        ("Anew, without Polar's words.", "Anew, without Polar's words."),
        ("{says}", ""),
        ("", ""),
    ],
    ids=["above", "below", "anew", "removed", "emptied"],
)
async def test_tags_and_notes_come_back_once(
    story: "Story",
    tracker: Tracker,
    look: Look,
    database: Database,
    client: MlflowClient,
    edit: str,
    note: str,
) -> None:
    run_id = await story.begin()
    await story.finish(run_id)
    await tracker.tell_all()
    (plain,) = story.in_mlflow(run_id)
    says = plain.data.tags[NOTE]
    await say(database, Run, run_id, tags={"a": "1", "b": "2", "c": "3"}, note="Before.")
    await tracker.tell_all()
    mlflow_run_id = plain.info.run_id
    client.set_tag(mlflow_run_id, "a", "edited")
    client.delete_tag(mlflow_run_id, "b")
    client.set_tag(mlflow_run_id, "new", "")
    client.set_tag(mlflow_run_id, NOTE, edit.format(says=says))

    await look()
    taken = await row(database, Run, run_id)
    (told,) = story.in_mlflow(run_id)
    await look()
    (after,) = story.in_mlflow(run_id)

    assert taken.tags == of_users(told) == {"a": "edited", "c": "3", "new": ""}
    assert taken.note == note
    assert told.data.tags[NOTE] == (f"{note}\n\n---\n\n{says}" if note else says)
    assert told.info.status == "FINISHED"
    assert (await row(database, Run, run_id)).described_at == taken.described_at
    assert after.data.tags == told.data.tags
    assert (await story.position(run_id)).complete


async def test_our_own_change_wins_where_both_have_changed(
    story: "Story", tracker: Tracker, database: Database, client: MlflowClient
) -> None:
    run_id = await story.begin()
    await say(database, Run, run_id, tags={"both": "before", "gone": "", "theirs": "before"})
    await tracker.tell_all()
    (told,) = story.in_mlflow(run_id)
    for key in ("both", "gone", "theirs", "new"):
        client.set_tag(told.info.run_id, key, "set in MLflow")
    client.set_tag(told.info.run_id, NOTE, "Written in MLflow.")

    await say(database, Run, run_id, tags={"both": "ours", "gone": None}, note="Ours.")
    await tracker.tell_all()

    both = {"both": "ours", "theirs": "set in MLflow", "new": "set in MLflow"}
    ours = await row(database, Run, run_id)
    (after,) = story.in_mlflow(run_id)
    assert (ours.tags, ours.note) == (both, "Ours.")
    assert of_users(after) == both
    assert after.data.tags[NOTE].startswith("Ours.\n\n---\n\n")


async def test_what_is_edited_just_before_the_end_is_not_overwritten(
    story: "Story", tracker: Tracker, database: Database, client: MlflowClient
) -> None:
    run_id = await story.begin()
    await tracker.tell_all()
    (told,) = story.in_mlflow(run_id)
    client.set_tag(told.info.run_id, NOTE, f"It diverges.\n\n{told.data.tags[NOTE]}")

    await story.finish(run_id)
    await tracker.tell_all()

    (after,) = story.in_mlflow(run_id)
    assert (await row(database, Run, run_id)).note == "It diverges."
    assert after.data.tags[NOTE].startswith("It diverges.\n\n---\n\n")
    assert "running" not in after.data.tags[NOTE]
    assert after.info.status == "FINISHED"


async def test_what_an_experiment_says_becomes_the_runs_own_where_it_is_edited(
    story: "Story",
    tracker: Tracker,
    look: Look,
    database: Database,
    client: MlflowClient,
    training: "Training",
) -> None:
    said = Description(tags={"a": "1", "b": "2"}, note="Of all.")
    async with database.transaction() as session:
        asked = await experiments.create(session, training.spec, DIGEST, said=said)
    run_id = asked.runs[0].id
    await story.claim(run_id)
    await tracker.tell_all()
    (told,) = story.in_mlflow(run_id)
    client.set_tag(told.info.run_id, "a", "edited")
    client.delete_tag(told.info.run_id, "b")
    client.set_tag(told.info.run_id, NOTE, f"Of this.\n\n{told.data.tags[NOTE]}")

    await look()

    (after,) = story.in_mlflow(run_id)
    run = await row(database, Run, run_id)
    assert (run.tags, run.note) == ({"a": "edited"}, "Of this.")
    assert of_users(after) == {"a": "edited", "b": "2"}
    assert after.data.tags[NOTE].startswith("Of this.\n\nOf all.\n\n---\n\n")


async def test_edits_of_a_study_come_back(
    study_story: "StudyStory",
    tracker: Tracker,
    look: Look,
    database: Database,
    client: MlflowClient,
    study_spec: StudySpec,
) -> None:
    study_id = await study_story.complete(study_spec, [0.5])
    await say(database, Study, study_id, tags={"a": "1"}, note="Before.")
    await tracker.tell_all()
    told = study_story.in_mlflow(study_id)
    client.set_tag(told.info.run_id, "a", "2")
    note = told.data.tags[NOTE].replace("Before.", "For the *paper*.")
    client.set_tag(told.info.run_id, NOTE, note)

    await look()  # takes them back
    await look()

    study = await row(database, Study, study_id)
    after = study_story.in_mlflow(study_id)
    assert (study.tags, study.note) == ({"a": "2"}, "For the *paper*.")
    assert (of_users(after), after.data.tags[NOTE]) == ({"a": "2"}, note)
    assert await study_story.is_told()


async def test_names_come_back_also_of_what_was_moved_below_its_study(
    study_story: "StudyStory",
    story: "Story",
    tracker: Tracker,
    look: Look,
    database: Database,
    client: MlflowClient,
    study_spec: StudySpec,
) -> None:
    study_id = await study_story.begin(study_spec)
    run_id, *_ = await study_story.begin_trial(study_id, 0, 0.5)
    await tracker.tell_all()
    (told,) = story.in_mlflow(run_id)
    client.update_run(told.info.run_id, name=" the good one ")
    client.update_run(study_story.in_mlflow(study_id).info.run_id, name="bands")

    await look()  # takes them back
    await look()

    run, study = await row(database, Run, run_id), await row(database, Study, study_id)
    (after,) = story.in_mlflow(run_id)
    assert told.info.run_name.startswith("trial 0 ")
    assert (run.name, after.info.run_name) == ("the good one", "the good one")
    assert (study.name, study_story.in_mlflow(study_id).info.run_name) == ("bands", "bands")


async def test_a_name_is_not_overwritten_by_what_is_told_meanwhile(
    study_story: "StudyStory",
    story: "Story",
    tracker: Tracker,
    database: Database,
    client: MlflowClient,
    study_spec: StudySpec,
) -> None:
    study_id = await study_story.begin(study_spec)
    run_id, *_ = await study_story.begin_trial(study_id, 0, 0.5)
    await tracker.tell_all()
    (told,) = story.in_mlflow(run_id)
    client.update_run(told.info.run_id, name="theirs")

    await say(database, Study, study_id, name="ours")  # which names all of its runs anew
    await tracker.tell_all()
    (after,) = story.in_mlflow(run_id)
    client.update_run(told.info.run_id, name="theirs again")
    await say(database, Run, run_id, name="ours")
    await tracker.tell_all()

    assert after.info.run_name == "theirs"
    assert (await row(database, Run, run_id)).name == "ours"
    (after,) = story.in_mlflow(run_id)
    assert after.info.run_name == "ours"


async def test_what_does_not_fit_stays_in_mlflow_and_is_logged_once(
    story: "Story",
    tracker: Tracker,
    database: Database,
    client: MlflowClient,
    monkeypatch: pytest.MonkeyPatch,
    make_tracker: "TrackerMaker",
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING)
    run_id = await story.begin()
    ours = {f"tag{number:02}": "" for number in range(MOST_TAGS)}
    await say(database, Run, run_id, tags=ours, note="n" * LONGEST_TAG)
    await tracker.tell_all()
    await tracker.close()
    (told,) = story.in_mlflow(run_id)
    theirs = {
        "polar.state": "mine",
        "mlflow.source.name": "mine",
        "two words": "",
        "tag00": "v" * (LONGEST_VALUE + 1),
        "tag01": "two\nlines",
        "too-many": "",
        NOTE: "The long note was cut.",
    }
    for key, value in theirs.items():
        client.set_tag(told.info.run_id, key, value)
    client.update_run(told.info.run_id, name="n" * (LONGEST_NAME + 1))

    monkeypatch.setattr(edits, "LOOK_S", 0.0)
    monkeypatch.setattr(tracking, "writes_of_mlflow", _unknown)
    looking = make_tracker()
    await looking.tell_all()
    await looking.tell_all()

    run = await row(database, Run, run_id)
    (after,) = story.in_mlflow(run_id)
    assert (run.name, run.tags, run.note) == ("", ours, "n" * LONGEST_TAG)
    assert theirs.items() <= after.data.tags.items()
    whose = f"an edit in MLflow of run {run_id} stays there alone: "
    said = [text.removeprefix(whose) for text in caplog.messages if text.startswith(whose)]
    assert sorted(said) == [
        "of the note, MLflow has the beginning alone",
        "the name does not fit",
        "the tag 'tag00' does not fit",
        "the tag 'tag01' does not fit",
        "the tag 'too-many' would be too many",
        "the tag 'two words' does not fit",
    ]


async def _unknown(_session: object) -> None:
    return None


@pytest.mark.parametrize("told", ["[" * 5000, "{", "[]", '{"a": {}}'])
async def test_what_was_told_may_be_unreadable(
    story: "Story", tracker: Tracker, database: Database, client: MlflowClient, told: str
) -> None:
    run_id = await story.begin()
    await say(database, Run, run_id, tags={"a": "1"}, note="Ours.")
    await tracker.tell_all()
    (before,) = story.in_mlflow(run_id)
    client.set_tag(before.info.run_id, TOLD, told)

    await story.finish(run_id)
    await tracker.tell_all()

    run = await row(database, Run, run_id)
    (after,) = story.in_mlflow(run_id)
    assert (run.tags, run.note) == ({"a": "1"}, "Ours.")
    assert after.info.status == "FINISHED"
    assert after.data.tags[TOLD] == before.data.tags[TOLD]


async def test_the_newest_are_looked_at_and_no_others(
    story: "Story",
    study_story: "StudyStory",
    tracker: Tracker,
    study_spec: StudySpec,
    database: Database,
) -> None:
    await story.begin()
    newest = await story.begin()
    study_id = await study_story.begin(study_spec)
    await tracker.tell_all()

    async with database.transaction() as session:
        known = await tracking.newest_in_mlflow(session, 1)

    assert [each.id for each in known] == [newest, study_id]


async def test_an_mlflow_to_which_nothing_was_written_may_rest(
    story: "Story",
    tracker: Tracker,
    server: MLflowServer,
    nobody: MLflowServer,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await story.begin()
    await tracker.tell_all()
    writes = 7

    async def written(_session: object) -> int:
        return writes

    monkeypatch.setattr(edits, "LOOK_S", 0.0)
    monkeypatch.setattr(tracking, "writes_of_mlflow", written)
    looking = Edits(database, server)
    await looking.due()
    monkeypatch.setattr(looking, "_mlflow", nobody)

    assert await looking.due() == {}
    writes = 8
    with pytest.raises(MLflowAway):
        await looking.due()


async def test_postgres_knows_that_something_was_edited_in_mlflow(
    story: "Story", tracker: Tracker, database: Database, client: MlflowClient
) -> None:
    run_id = await story.begin()
    await tracker.tell_all()
    (told,) = story.in_mlflow(run_id)
    async with database.transaction() as session:
        before = await tracking.writes_of_mlflow(session)
    deadline = time.monotonic() + PATIENCE_S

    now = before
    while now == before and time.monotonic() < deadline:
        client.set_tag(told.info.run_id, "edited", str(time.monotonic()))
        await asyncio.sleep(0.2)
        async with database.transaction() as session:
            now = await tracking.writes_of_mlflow(session)

    assert before is not None
    assert now is not None
    assert now > before
