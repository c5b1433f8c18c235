"""How a client learns that studies have changed, also where no stream of events comes through."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from service.api.studies.schemas import StudyView
from service.client import Client, Refused, Study, Unreachable, studies
from service.storage.states import StudyState
from tests.service.client.scripts import Script, answering, no_answer, problem, streaming

ONE, OTHER = UUID(int=1), UUID(int=2)
NOW = datetime.now(UTC)


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(studies, "POLL_S", 0.01)


def study(completed: int, *, has_ended: bool = False, id: UUID = ONE) -> str:
    known: dict[str, Any] = {
        "id": id, "name": "", "created_at": NOW, "spec": {}, "dataset_digest": "",
        "state": StudyState.COMPLETED if has_ended else StudyState.RUNNING,
        "finished_at": NOW if has_ended else None, "trials_wanted": 3, "seeds_wanted": [0],
        "completed": completed, "trials": {}, "of_earlier_version": [], "links": {}, "watch": "",
        "tags": {}, "note": "",
    }  # fmt: skip
    return StudyView.model_validate(
        {**dict.fromkeys(StudyView.model_fields), **known}
    ).model_dump_json()


def completed(client: Client, *ids: UUID) -> list[list[int]]:
    return [[each.completed for each in now] for now in client.watch_studies(*ids)]


def paths(script: Script) -> list[str]:
    return [path.removeprefix("/api/v1/studies/") for _, path, _ in script.requests]


def test_a_study_is_watched_by_its_events(script: Script) -> None:
    events = [f"event: study\ndata: {study(n, has_ended=n == 3)}" for n in (1, 2, 3)]
    script.answers = [answering(200, study(0)), streaming(": ping", *events)]

    with Client(script.url) as client:
        assert completed(client, ONE) == [[0], [1], [2], [3]]

    assert paths(script) == [f"{ONE}", f"{ONE}/events"]


def test_a_study_that_has_ended_is_asked_for_once(script: Script) -> None:
    script.answers = [answering(200, study(3, has_ended=True))]

    with Client(script.url) as client:
        assert completed(client, ONE) == [[3]]


@pytest.mark.parametrize(
    "broken",
    [
        no_answer,
        answering(404, problem(404)),
        answering(502, "<html>bad gateway</html>"),
        streaming("data: 7"),
        streaming(": ping"),
        streaming(": ping", is_cut=True),
    ],
    ids=["nothing", "no such stream", "a proxy", "of another version", "its end", "cut"],
)
def test_where_the_stream_breaks_the_study_is_asked_for(broken: Any, script: Script) -> None:  # noqa: ANN401
    script.answers = [
        answering(200, study(0)),
        broken,
        answering(200, study(1)),
        streaming(f"data: {study(2)}", is_cut=True),
        answering(200, study(3, has_ended=True)),
    ]

    with Client(script.url, pauses_s=()) as client:
        assert completed(client, ONE) == [[0], [1], [2], [3]]

    assert paths(script) == [f"{ONE}", f"{ONE}/events", f"{ONE}", f"{ONE}/events", f"{ONE}"]


def test_who_watches_a_service_that_has_gone_is_told(script: Script) -> None:
    script.answers = [answering(200, study(0)), no_answer, no_answer]

    with Client(script.url, pauses_s=()) as client:
        watched = client.watch_studies(ONE)
        next(watched)
        with pytest.raises(Unreachable, match="no service answers"):
            next(watched)


def test_who_watches_a_study_that_is_deleted_is_told(script: Script) -> None:
    script.by_path = {f"/api/v1/{kind}/{ONE}": answering(404, problem(404)) for kind in ("runs",)}
    script.answers = [
        answering(200, study(0)), streaming(f"data: {study(1)}"), answering(404, problem(404)),
    ]  # fmt: skip

    with Client(script.url) as client:
        watched = client.watch_studies(ONE)
        assert [next(watched)[0].completed for _ in range(2)] == [0, 1]
        with pytest.raises(Refused, match="because"):
            next(watched)


def test_several_studies_are_watched_until_the_last_has_ended(script: Script) -> None:
    for id in (ONE, OTHER):
        script.by_path[f"/api/v1/studies/{id}"] = answering(200, study(0, id=id))
    script.by_path[f"/api/v1/studies/{ONE}/events"] = streaming(
        f"data: {study(3, has_ended=True)}"
    )
    script.by_path[f"/api/v1/studies/{OTHER}/events"] = streaming(
        *(f"data: {study(n, has_ended=n == 2, id=OTHER)}" for n in (1, 2))
    )

    with Client(script.url) as client:
        seen = list(client.watch_studies(ONE, OTHER))

    assert [study.completed for study in seen[0]] == [0, 0]
    assert [study.completed for study in seen[-1]] == [3, 2]
    assert len(seen) == 4
    assert {type(study) for now in seen for study in now} == {Study}
