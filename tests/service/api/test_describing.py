"""Names, tags and notes over HTTP: beside a spec, later by PATCH, and as filters of lists."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any
from uuid import UUID

import httpx
import pytest

from service.descriptions import LONGEST_NOTE, MOST_TAGS
from service.storage.database import Database
from service.storage.study_tables import Study
from service.storage.tables import Experiment, Run

if TYPE_CHECKING:
    from tests.conftest import Reports
    from tests.service.conftest import SpecMaker, StudyMaker, Worker

API = "/api/v1"
KINDS: dict[str, type[Experiment | Run | Study]] = {
    "experiments": Experiment,
    "runs": Run,
    "studies": Study,
}

Ids = dict[str, str]


@pytest.fixture(autouse=True)
async def _an_agent_is_there(worker: "Worker") -> None:
    await worker.announce()


@pytest.fixture
async def ids(http: httpx.AsyncClient, spec_of: "SpecMaker", study_of: "StudyMaker") -> Ids:
    """The ids of an experiment, of its run and of a study."""
    experiment = (await http.post(f"{API}/experiments", json=spec_of.as_json())).json()
    study = (await http.post(f"{API}/studies", json=study_of())).json()
    run = experiment["runs"][0]
    return {"experiments": experiment["id"], "runs": run["id"], "studies": study["id"]}


@pytest.fixture
def patch(http: httpx.AsyncClient, ids: Ids) -> Callable[..., Awaitable[httpx.Response]]:
    async def send(kind: str, **changes: Any) -> httpx.Response:  # noqa: ANN401
        return await http.patch(f"{API}/{kind}/{ids[kind]}", json=changes)

    return send


Patch = Callable[..., Awaitable[httpx.Response]]


async def test_tags_and_a_note_come_beside_the_spec_and_change_nothing_of_it(
    http: httpx.AsyncClient, spec_of: "SpecMaker"
) -> None:
    said = {"tags": {"project": "vae", "good": ""}, "note": "# Why\nbecause"}

    plain = (await http.post(f"{API}/experiments", json=spec_of.as_json())).json()
    answer = await http.post(f"{API}/experiments", json=spec_of.as_json(**said))
    plan = await http.post(f"{API}/experiments/validate", json=spec_of.as_json(**said))

    described = answer.json()
    assert answer.status_code == 202
    assert {name: described[name] for name in said} == said
    assert (plain["tags"], plain["note"]) == ({}, "")
    assert described["spec"] == plain["spec"] == plan.json()["spec"]
    assert described["spec_hash"] == plain["spec_hash"] == plan.json()["spec_hash"]
    assert described["runs"][0]["id"] == plain["runs"][0]["id"]
    assert described["runs"][0]["tags"] == {}


async def test_a_study_has_tags_and_its_base_has_none(
    http: httpx.AsyncClient, study_of: "StudyMaker"
) -> None:
    study = study_of(tags={"project": "vae"}, note="why")
    base = {**study["base"], "tags": {"a": "b"}}

    answer = await http.post(f"{API}/studies", json=study)
    refused = await http.post(f"{API}/studies", json={**study, "base": base})

    assert (answer.json()["tags"], answer.json()["note"]) == ({"project": "vae"}, "why")
    assert "tags" not in answer.json()["spec"]
    assert [fault["pointer"] for fault in refused.json()["errors"]] == ["/base/tags"]


@pytest.mark.parametrize("kind", KINDS)
async def test_what_is_left_out_stays_and_null_removes_a_tag(
    http: httpx.AsyncClient, patch: Patch, ids: Ids, kind: str
) -> None:
    await patch(kind, name="First", tags={"a": "1", "b": "2"}, note="n")

    answers = [
        await patch(kind, tags={"a": None, "c": ""}),
        await patch(kind, name=""),
        await patch(kind, note="", tags={"never": None}),
        await patch(kind),
    ]

    assert [answer.status_code for answer in answers] == [200] * 4
    said = [[answer.json()[part] for part in ("name", "tags", "note")] for answer in answers]
    assert said[0] == ["First", {"b": "2", "c": ""}, "n"]
    assert said[1] == ["", {"b": "2", "c": ""}, "n"]
    assert said[2] == said[3] == ["", {"b": "2", "c": ""}, ""]
    assert answers[-1].json() == (await http.get(f"{API}/{kind}/{ids[kind]}")).json()


@pytest.mark.parametrize("kind", KINDS)
async def test_a_row_says_when_its_description_changed(
    patch: Patch, ids: Ids, database: Database, kind: str
) -> None:
    async def described_at() -> object:
        async with database.transaction() as session:
            row: Any = await session.get_one(KINDS[kind], UUID(ids[kind]))
            return row.described_at

    times = [await described_at()]
    for changes in ({"tags": {"a": "b"}}, {"tags": {"a": "b"}}, {"note": "n"}, {"note": "n"}):
        await patch(kind, **changes)
        times.append(await described_at())

    assert times[0] is None
    assert None is not times[1] == times[2] < times[3] == times[4]  # type: ignore[operator]


REFUSED = [
    ({"name": "n" * 101}, "/name", "text of at most 100 characters"),
    ({"name": None}, "/name", "text of at most 100 characters"),
    ({"name": "two\nlines"}, "/name", "text of at most 100 characters"),
    ({"note": "n" * (LONGEST_NOTE + 1)}, "/note", "text of at most 16384 characters"),
    ({"note": "a\0b"}, "/note", "text of at most 16384 characters"),
    ({"note": "\x1b[31m"}, "/note", "text of at most 16384 characters"),
    ({"tags": {"a b": ""}}, "/tags/a b", "1 to 64 of the characters A-Z a-z 0-9 . _ / -"),
    ({"tags": {"": ""}}, "/tags/", "1 to 64 of the characters A-Z a-z 0-9 . _ / -"),
    ({"tags": {"k" * 65: ""}}, "/tags/" + "k" * 65, "1 to 64 of the characters"),
    ({"tags": {"ü": ""}}, "/tags/ü", "1 to 64 of the characters"),
    ({"tags": {"k\n": ""}}, "/tags/k\n", "1 to 64 of the characters"),
    ({"tags": {"polar.x": "1"}}, "/tags/polar.x", "keys that do not begin with mlflow. or polar."),
    ({"tags": {"mlflow.x": None}}, "/tags/mlflow.x", "keys that do not begin with mlflow."),
    ({"tags": {"k": "v" * 257}}, "/tags/k", "one line of at most 256 printable characters"),
    ({"tags": {"k": "a\0"}}, "/tags/k", "one line of at most 256 printable characters"),
    ({"tags": {"k": "a\u200c"}}, "/tags/k", "one line of at most 256 printable characters"),
    ({"tags": {"k": "a\u202eb"}}, "/tags/k", "one line of at most 256 printable characters"),
    ({"tags": {"k": 1}}, "/tags/k", "text, or null"),
    ({"tags": ["k"]}, "/tags", "an object of 0 to 32 fields"),
    ({"tags": {f"k{n}": "" for n in range(MOST_TAGS + 1)}}, "/tags", "at most 32"),
    ({"notes": ""}, "/notes", "name, tags, note"),
]


@pytest.mark.parametrize(("changes", "pointer", "allowed"), REFUSED, ids=range(len(REFUSED)))
async def test_what_cannot_be_stored_is_refused_with_its_place(
    patch: Patch, changes: dict[str, Any], pointer: str, allowed: str
) -> None:
    answer = await patch("runs", **changes)

    assert answer.status_code == 422
    (fault,) = answer.json()["errors"]
    assert fault["pointer"] == pointer
    assert fault["allowed"].startswith(allowed)
    assert fault["value"] is not None


async def test_the_longest_that_may_be_is_stored(patch: Patch) -> None:
    tags = {f"{n:064}": "ü" * 256 for n in range(MOST_TAGS)}
    note = "\u00fc\t\r\n" * (LONGEST_NOTE // 4)

    answer = await patch("studies", name="n" * 100, tags=tags, note=note)

    assert answer.status_code == 200
    assert (answer.json()["tags"], answer.json()["note"]) == (tags, note)


async def test_more_tags_than_may_be_are_refused_and_nothing_is_stored(patch: Patch) -> None:
    await patch("runs", tags={f"a{n}": "" for n in range(MOST_TAGS)})

    refused = await patch("runs", name="new", tags={"b": ""})
    swapped = await patch("runs", tags={"b": "", "a0": None})

    assert refused.status_code == 409
    assert "would have 33 tags, of which it has 32 already; allowed" in refused.json()["detail"]
    assert (swapped.status_code, swapped.json()["name"]) == (200, "")


@pytest.mark.parametrize("kind", KINDS)
async def test_what_is_not_there_has_no_tags(http: httpx.AsyncClient, kind: str) -> None:
    answer = await http.patch(f"{API}/{kind}/{UUID(int=1)}", json={"name": "x"})

    assert answer.status_code == 404


async def test_what_was_deleted_has_no_tags_and_is_in_no_list(
    http: httpx.AsyncClient, patch: Patch, ids: Ids
) -> None:
    for kind in ("experiments", "studies"):
        await http.post(f"{API}/{kind}/{ids[kind]}/cancel")
        await http.delete(f"{API}/{kind}/{ids[kind]}")

    answers = [await patch(kind, name="x") for kind in KINDS]
    lists = [(await http.get(f"{API}/{kind}")).json()[kind] for kind in KINDS]

    assert [answer.status_code for answer in answers] == [404] * 3
    assert lists == [[], [], []]


async def test_an_extended_experiment_has_the_present_name(
    http: httpx.AsyncClient, worker: "Worker", spec_of: "SpecMaker", reports: "Reports"
) -> None:
    spec = spec_of(name="old", training={"steps": 100})
    made = (await http.post(f"{API}/experiments", json=spec.model_dump(mode="json"))).json()
    run_id = UUID(made["runs"][0]["id"])
    await worker.claim(run_id)
    await worker.record(run_id, reports.result(spec))
    await worker.finish(run_id)
    await http.patch(made["links"]["self"], json={"name": "new"})

    extended = await http.post(made["links"]["extend"], json={"steps": 200})

    assert (extended.status_code, extended.json()["name"]) == (202, "new")
    assert (await http.get(made["links"]["self"])).json()["spec"]["name"] == "old"


FOUND = [
    ("", True), ("tag=good", True), ("tag=good=", True), ("tag=project=a=b&tag=good", True),
    ("tag=project=a=b", True), ("tag=project=a", False), ("tag=good=x", False), ("tag=goo", False),
    ("name=BAND%20Über", True), ("name=_1", True), ("name=b_nd", False), ("name=%25", False),
    ("q=BECAUSE%20über", True), ("q=50%25", True), ("q=5%25", False), ("q=\\", False),
    ("dataset=digits", True), ("dataset=mnist", False), ("dataset=Digits", False),
    ("model=beta_vae", True), ("model=ivae", False), ("state=cancelled", True),
    ("state=running", False), ("name=band&model=ivae", False), ("q=%27--", False),
]  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
async def test_lists_are_filtered(
    http: httpx.AsyncClient, patch: Patch, ids: Ids, kind: str
) -> None:
    tags = {"project": "a=b", "good": ""}
    await patch(kind, name="the über Band_1", tags=tags, note="because\n50% of it")
    await http.post(f"{API}/{kind}/{ids[kind]}/cancel")

    answers = {query: await http.get(f"{API}/{kind}?{query}") for query, _ in FOUND}

    assert {answer.status_code for answer in answers.values()} == {200}
    found = {query: len(answer.json()[kind]) for query, answer in answers.items()}
    assert found == {query: int(is_found) for query, is_found in FOUND}
    (row,) = answers[""].json()[kind]
    assert (row["name"], row["tags"], row["state"]) == ("the über Band_1", tags, "cancelled")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ("state=done", "/query/state"),
        ("tag=a%20b", "/query/tag/0"),
        ("tag=a&tag==x", "/query/tag/1"),
        ("tag=a=%00", "/query/tag/0"),
        ("name=%00", "/query/name"),
        ("q=" + "x" * 101, "/query/q"),
        ("name=a&name=b", "/query/name"),
        ("tags=a", "/query/tags"),
        ("&".join(["tag=a"] * 33), "/query/tag"),
    ],
)
async def test_filters_that_cannot_be_are_refused(
    http: httpx.AsyncClient, kind: str, query: str, pointer: str
) -> None:
    answer = await http.get(f"{API}/{kind}?{query}")

    assert answer.status_code == 422
    (fault,) = answer.json()["errors"]
    assert fault["pointer"] == pointer
    assert fault["allowed"]


async def test_pages_of_a_filtered_list_go_on_where_they_were(
    http: httpx.AsyncClient, spec_of: "SpecMaker"
) -> None:
    made = (await http.post(f"{API}/experiments", json=spec_of.as_json(seeds=[*range(6)]))).json()
    for run in made["runs"][::2]:
        await http.patch(f"{API}/runs/{run['id']}", json={"tags": {"even": ""}})

    seen: list[int] = []
    token = None
    while token or not seen:
        place = f"&page_token={token}" if token else ""
        page = (await http.get(f"{API}/runs?tag=even&page_size=2{place}")).json()
        seen += [run["seed"] for run in page["runs"]]
        token = page["next_page_token"]

    assert sorted(seen) == [0, 2, 4]
    assert page["runs"][0].keys() >= {"dataset", "model", "regime", "started_at"}


async def test_the_list_of_runs_says_what_came_of_them(
    http: httpx.AsyncClient, ids: Ids, worker: "Worker", spec_of: "SpecMaker", reports: "Reports"
) -> None:
    run_id = UUID(ids["runs"])
    await worker.claim(run_id)
    await worker.record(run_id, reports.result(spec_of()))
    await worker.finish(run_id)

    (row,) = (await http.get(f"{API}/runs?state=succeeded")).json()["runs"]

    result = (await http.get(f"{API}/runs/{run_id}")).json()["result"]
    assert row["regime"] == result["final"]["verdict"]["regime"]
    assert (row["dataset"], row["model"], row["seed"]) == ("digits", "beta_vae", 0)
    assert row["finished_at"] is not None
