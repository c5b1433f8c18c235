"""The phase diagram of a study in MLflow, drawn by a real process."""

import asyncio
import csv
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
from mlflow import MlflowClient

from polar.spec import StudySpec
from service.programs import Program
from service.storage import deletions
from service.storage.database import Database
from service.storage.descriptions import describe
from service.storage.study_tables import Study
from workers.tracking import study_figures, study_tracker, tries
from workers.tracking.server import MLflowAway, MLflowServer
from workers.tracking.tracker import Tracker

if TYPE_CHECKING:
    from tests.workers.tracking.conftest import Story, StudyStory, TrackerMaker

#: What a trial has to have observed to be drawn.
SEEN: dict[str, Any] = {"n_active": 3, "settled": True}
FIGURES = ["phase_diagram.csv", "phase_diagram.png", "phase_diagram.svg"]


class Files:
    """The files that MLflow shows of a study."""

    def __init__(self, study_story: "StudyStory", story: "Story", client: MlflowClient) -> None:
        self._study_story = study_story
        self._story = story
        self._client = client

    def of(self, study_id: UUID, folder: Path) -> Mapping[str, bytes]:
        run = self._study_story.in_mlflow(study_id)
        names = self._story.files_in_mlflow(run)
        return {
            name: Path(
                self._client.download_artifacts(run.info.run_id, name, str(folder))
            ).read_bytes()
            for name in names
        }


@pytest.fixture
def files(study_story: "StudyStory", story: "Story", client: MlflowClient) -> Files:
    return Files(study_story, story, client)


def shown_in(files: Mapping[str, bytes]) -> int:
    """The number of trainings in a phase diagram."""
    table = csv.DictReader(files["phase_diagram.csv"].decode().splitlines())
    return sum(row["seed"] != "" for row in table)


async def test_a_phase_diagram_follows_a_study_to_its_end(
    study_story: "StudyStory",
    tracker: Tracker,
    files: Files,
    study_spec: StudySpec,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    study_id = await study_story.begin(study_spec)
    await tracker.tell_all()
    before = files.of(study_id, tmp_path)

    await study_story.begin_trial(study_id, 0, 0.5)
    await study_story.end_trial(study_id, 0, **SEEN)
    await tracker.tell_all()
    first = files.of(study_id, tmp_path)
    await study_story.begin_trial(study_id, 1, 2.0)
    await study_story.end_trial(study_id, 1, **SEEN)
    await tracker.tell_all()
    soon = files.of(study_id, tmp_path)
    monkeypatch.setattr(study_figures, "REDRAW_S", 0.0)
    await tracker.tell_all()
    later = files.of(study_id, tmp_path)
    await study_story.begin_trial(study_id, 2, 8.0)
    await study_story.end_trial(study_id, 2, **SEEN)
    await study_story.end(study_id)
    await tracker.tell_all()
    last = files.of(study_id, tmp_path)

    assert list(before) == ["spec.yaml"]
    assert sorted(first) == [*FIGURES, "range.json", "spec.yaml"]
    assert [shown_in(at) for at in (first, soon, later, last)] == [1, 1, 2, 3]
    assert last["phase_diagram.png"].startswith(b"\x89PNG")
    assert b"<svg" in last["phase_diagram.svg"]
    assert json.loads(first["range.json"])["outcome"] == "coarse"
    assert await study_story.is_told()


async def test_a_new_tracker_draws_what_runs_anew_and_nothing_of_what_has_ended(
    study_story: "StudyStory",
    make_tracker: "TrackerMaker",
    study_spec: StudySpec,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    running, over = await study_story.begin(study_spec), await study_story.begin(study_spec)
    for study_id, beta in ((running, 0.5), (over, 2.0)):
        await study_story.begin_trial(study_id, 0, beta)
        await study_story.end_trial(study_id, 0, **SEEN)
    await study_story.end(over)
    first = make_tracker()
    await first.tell_all()
    await first.close()
    drawn: list[UUID] = []

    async def put(_self: study_figures.StudyFigures, study_id: UUID) -> None:
        drawn.append(study_id)

    monkeypatch.setattr(study_figures.StudyFigures, "put", put)
    await make_tracker().tell_all()

    assert drawn == [running]


async def test_a_drawing_that_fails_leaves_the_others_their_turn(
    study_story: "StudyStory",
    make_tracker: "TrackerMaker",
    study_spec: StudySpec,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    study_ids = [await study_story.begin(study_spec) for _ in range(3)]
    for study_id in study_ids:
        await study_story.begin_trial(study_id, 0, 0.5)
        await study_story.end_trial(study_id, 0, **SEEN)
    await study_story.end(study_ids[1])
    drawn: list[UUID] = []
    put = study_figures.StudyFigures.put

    async def draws_nothing(*_: object) -> list[tuple[str, bytes]]:
        return []

    async def noted(self: study_figures.StudyFigures, study_id: UUID) -> None:
        drawn.append(study_id)
        if study_id == study_ids[0]:
            raise study_figures.DrawingFailed("no ink")
        await put(self, study_id)

    monkeypatch.setattr(study_figures, "REDRAW_S", 0.0)
    monkeypatch.setattr(study_figures.StudyFigures, "_draw", draws_nothing)
    monkeypatch.setattr(study_figures.StudyFigures, "put", noted)
    tracker = make_tracker()
    await tracker.tell_all()
    first = sorted(drawn)
    await study_story.begin_trial(study_ids[2], 1, 2.0)
    await study_story.end_trial(study_ids[2], 1, **SEEN)
    await tracker.tell_all()
    await tracker.tell_all()

    assert first == sorted(study_ids)
    assert drawn[3:] == [study_ids[2]]


async def test_everything_else_is_told_while_a_drawing_hangs(
    study_story: "StudyStory",
    story: "Story",
    database: Database,
    server: MLflowServer,
    study_spec: StudySpec,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    drawings: list[UUID] = []

    async def hangs(_self: study_figures.StudyFigures, study_id: UUID) -> None:
        drawings.append(study_id)
        await asyncio.Event().wait()

    monkeypatch.setattr(study_figures.StudyFigures, "put", hangs)
    over, running = await study_story.begin(study_spec), await study_story.begin(study_spec)
    for study_id, beta in ((over, 0.5), (running, 2.0)):
        await study_story.begin_trial(study_id, 0, beta)
        await study_story.end_trial(study_id, 0, **SEEN)
    await study_story.end(over)
    tracker = Tracker(database, server, tmp_path)
    async with asyncio.timeout(60.0):  # the drawing alone would take as long as it is let
        await tracker.tell_all()
        run_id = await story.begin()
        await study_story.end(running)
        await tracker.tell_all()

    assert len(story.in_mlflow(run_id)) == 1
    states = [study_story.in_mlflow(id).info.status for id in (over, running)]
    assert states == ["FINISHED", "FINISHED"]
    assert len(drawings) == 1
    await tracker.close()
    assert not await study_story.is_told()  # the next tracker draws


async def test_what_is_said_of_a_study_while_it_is_drawn_is_told(
    study_story: "StudyStory",
    make_tracker: "TrackerMaker",
    database: Database,
    study_spec: StudySpec,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    study_id = await study_story.begin(study_spec)
    await study_story.end(study_id)

    async def put(_self: study_figures.StudyFigures, study_id: UUID) -> None:
        async with database.transaction() as session:
            await describe(session, Study, study_id, name="late")

    with monkeypatch.context() as patch:
        patch.setattr(study_figures.StudyFigures, "put", put)
        tracker = make_tracker()
        await tracker.tell_all()
    before = study_story.in_mlflow(study_id)
    await tracker.tell_all()

    assert before.info.run_name == "where is beta clean?"
    assert study_story.in_mlflow(study_id).info.run_name == "late"
    assert await study_story.is_told()


async def test_a_study_that_is_deleted_before_it_is_drawn_is_forgotten(
    study_story: "StudyStory",
    make_tracker: "TrackerMaker",
    database: Database,
    study_spec: StudySpec,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    study_id = await study_story.begin(study_spec)
    await study_story.end(study_id)
    put = study_figures.StudyFigures.put
    asked: list[UUID] = []

    async def late(self: study_figures.StudyFigures, study_id: UUID) -> None:
        asked.append(study_id)
        async with database.transaction() as session:
            await deletions.delete_study(session, study_id)
        await put(self, study_id)

    monkeypatch.setattr(study_figures.StudyFigures, "put", late)
    tracker = make_tracker()
    for _ in range(3):
        await tracker.tell_all()

    assert asked == [study_id]
    assert "cannot be copied" not in caplog.text


async def test_a_study_that_mlflow_lost_before_it_was_drawn_is_copied_anew(
    study_story: "StudyStory",
    make_tracker: "TrackerMaker",
    study_spec: StudySpec,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tries, "AGAIN_S", 0.0)
    study_id = await study_story.begin(study_spec)
    await study_story.end(study_id)
    tracker = make_tracker()

    async def fails(_self: study_figures.StudyFigures, _study_id: UUID) -> None:
        raise study_figures.DrawingFailed("no ink")

    with monkeypatch.context() as patch:
        patch.setattr(study_figures.StudyFigures, "put", fails)
        await tracker.tell_all()
    await study_story.forget(study_id)  # as `polar doctor --repair` does
    for _ in range(2):
        await tracker.tell_all()

    assert await study_story.is_told()


async def test_a_tracker_that_was_killed_before_the_diagram_leaves_it_to_the_next(
    study_story: "StudyStory",
    make_tracker: "TrackerMaker",
    study_spec: StudySpec,
    files: Files,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    study_id = await study_story.begin(study_spec)
    await study_story.begin_trial(study_id, 0, 0.5)
    await study_story.end_trial(study_id, 0, **SEEN)
    await study_story.end(study_id)
    put_file = MLflowServer.put_file

    async def killed(self: MLflowServer, root: str, name: str, content: bytes) -> None:
        if name == "phase_diagram.svg":
            raise MLflowAway("as if the tracker had been killed")
        await put_file(self, root, name, content)

    first = make_tracker()
    with monkeypatch.context() as patch:
        patch.setattr(MLflowServer, "put_file", killed)
        await first.tell_all()
    await first.close()
    half = files.of(study_id, tmp_path)
    await make_tracker().tell_all()

    assert "phase_diagram.svg" not in half
    assert sorted(files.of(study_id, tmp_path)) == [*FIGURES, "range.json", "spec.yaml"]


async def test_figures_wait_while_mlflow_is_away_and_come_when_it_is_back(
    study_story: "StudyStory",
    tracker: Tracker,
    study_spec: StudySpec,
    files: Files,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    tmp_path: Path,
) -> None:
    over, running = await study_story.begin(study_spec), await study_story.begin(study_spec)
    for study_id, beta in ((over, 0.5), (running, 2.0)):
        await study_story.begin_trial(study_id, 0, beta)
        await study_story.end_trial(study_id, 0, **SEEN)
    await study_story.end(over)
    asked: list[str] = []
    put_file = MLflowServer.put_file

    async def away(self: MLflowServer, root: str, name: str, content: bytes) -> None:
        if name not in FIGURES:
            return await put_file(self, root, name, content)
        asked.append(name)
        raise MLflowAway("nobody answers")

    with monkeypatch.context() as patch:
        patch.setattr(MLflowServer, "put_file", away)
        for _ in range(3):
            await tracker.tell_all()
        assert len(asked) == 1  # pictures are not drawn again and again for nobody
        assert caplog.text.count("figures of studies wait; next try in 60 s: nobody answers") == 1
        assert not await study_story.is_told()

    monkeypatch.setattr(tracker, "_draw_not_before", 0.0)  # as after a minute
    await tracker.tell_all()

    for study_id in (over, running):
        assert sorted(files.of(study_id, tmp_path)) == [*FIGURES, "range.json", "spec.yaml"]
    assert await study_story.is_told()


async def test_a_study_that_is_extended_is_drawn_again(
    study_story: "StudyStory",
    tracker: Tracker,
    files: Files,
    study_spec: StudySpec,
    tmp_path: Path,
) -> None:
    study_id = await study_story.begin(study_spec)
    await study_story.begin_trial(study_id, 0, 0.5)
    await study_story.end_trial(study_id, 0, **SEEN)
    await study_story.end(study_id)
    await tracker.tell_all()
    first = files.of(study_id, tmp_path)

    await study_story.extend(study_id, trials=1)
    await study_story.begin_trial(study_id, 1, 2.0)
    await study_story.end_trial(study_id, 1, **SEEN)
    await tracker.tell_all()

    assert [shown_in(first), shown_in(files.of(study_id, tmp_path))] == [1, 2]


async def test_a_drawing_that_fails_keeps_nothing_else_from_mlflow(
    study_story: "StudyStory",
    story: "Story",
    tracker: Tracker,
    study_spec: StudySpec,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def rude(_program: Program, *_arguments: str) -> list[str]:
        return [sys.executable, "-c", "raise SystemExit('no ink')"]

    monkeypatch.setattr(study_figures, "python", rude)
    # Trials that did not fit into the first pass were not told before the drawing succeeded.
    monkeypatch.setattr(study_tracker, "TRIALS_AT_ONCE", 1)
    study_id = await study_story.begin(study_spec)
    for number, beta in enumerate((0.5, 2.0)):
        await study_story.begin_trial(study_id, number, beta)
        await study_story.end_trial(study_id, number, **SEEN)
    await study_story.end(study_id)

    for _ in range(3):
        await tracker.tell_all()

    told = study_story.in_mlflow(study_id)
    assert told.info.status == "FINISHED"
    assert story.numbers_in_mlflow(told)["trial/polarisation"] == [(0, 0.75), (1, 0.75)]
    assert caplog.text.count("ended with code 1: no ink") == 1
    assert not await study_story.is_told()  # the next try comes
