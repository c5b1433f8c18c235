"""Runs, experiments and studies by the first digits of their ids, and by their names."""

import re
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote
from uuid import UUID

import httpx
import pytest
from fastapi import FastAPI

from polar.spec import StudySpec
from service.api.links import PREFIX
from service.settings import Settings
from service.storage import deletions
from service.storage.database import Database
from service.storage.ids import MOST_NAMED
from service.storage.states import RunState
from service.storage.study_tables import Study
from service.storage.tables import Experiment, ExperimentRun, Run
from tests.service.conftest import OWNER

if TYPE_CHECKING:
    from tests.service.conftest import SpecMaker, StudyMaker

#: An id in each of three neighbourhoods: 3750 is alone, 5a0f begins several.
ALONE = UUID("37502ba0-d5a3-4a35-9a55-59f157e0e1a1")
FIRST = UUID("5a0f6f0e-0000-4d52-9f5e-2c7d8a4b9e61")
SECOND = UUID("5a0f6f0e-ffff-4d52-9f5e-2c7d8a4b9e61")
KINDS = ("experiments", "runs", "studies")
ANSWERED = {"experiments": "experiment", "runs": "run", "studies": "study"}

Store = Callable[..., Awaitable[None]]


@pytest.fixture
def store(database: Database, spec_of: "SpecMaker", study_of: "StudyMaker") -> Store:
    """Stores an experiment, its run and a study, each under each of these ids."""
    spec = spec_of().model_dump(mode="json")
    study = StudySpec.model_validate(study_of()).model_dump(mode="json")

    async def rows(*ids: UUID) -> None:
        async with database.transaction() as session:
            for id in ids:
                session.add(Experiment(id=id, name="", spec=spec, spec_hash="0"))
                session.add(
                    Run(id=id, spec=spec, seed=0, dataset_digest="d", queue="cpu",
                        state=RunState.SUCCEEDED, finished_at=datetime.now(UTC))
                )  # fmt: skip
                session.add(
                    Study(id=id, name="", spec=study, seeds_wanted=[0], dataset_digest="d",
                          trials_wanted=3)
                )  # fmt: skip
                await session.flush()
                session.add(ExperimentRun(experiment_id=id, position=0, run_id=id))

    return rows


async def problem(http: httpx.AsyncClient, path: str) -> tuple[int, str, str]:
    answer = await http.get(path)
    said: dict[str, Any] = answer.json()
    return answer.status_code, said["type"].rpartition(":")[2], said["detail"]


@pytest.mark.parametrize("kind", KINDS)
async def test_the_first_digits_of_an_id_are_enough(
    http: httpx.AsyncClient, store: Store, kind: str
) -> None:
    await store(ALONE, FIRST, SECOND)

    for written in (
        "3750", "37502ba0", "37502BA0", "37502ba0-", "37502ba0-d5", "37502ba0d5", ALONE.hex,
        str(ALONE), str(ALONE).upper(),
    ):  # fmt: skip
        answer = await http.get(f"{PREFIX}/{kind}/{written}")

        assert (answer.status_code, answer.json()["id"]) == (200, str(ALONE)), written


@pytest.mark.parametrize("kind", KINDS)
async def test_digits_with_which_several_begin_are_refused_with_all_of_them(
    http: httpx.AsyncClient, store: Store, kind: str
) -> None:
    await store(ALONE, FIRST, SECOND)

    status, word, detail = await problem(http, f"{PREFIX}/{kind}/5a0f6f0e")

    assert (status, word) == (409, "ambiguous-id")
    state = "running" if kind == "studies" else "succeeded"
    said = rf" \({state}, submitted \d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d UTC\)"
    several = f"more than one {ANSWERED[kind]}'s id begins: {FIRST}{said}, {SECOND}{said}$"
    assert re.search(several, detail), detail
    assert (await http.get(f"{PREFIX}/{kind}/5a0f6f0e-f")).json()["id"] == str(SECOND)


async def test_of_many_that_begin_so_only_some_are_named(
    http: httpx.AsyncClient, store: Store
) -> None:
    ids = [UUID(int=FIRST.int + more) for more in range(MOST_NAMED + 2)]
    await store(*ids)

    _, _, detail = await problem(http, f"{PREFIX}/runs/5a0f")

    assert detail.endswith(", ...")
    assert str(ids[MOST_NAMED - 1]) in detail
    assert str(ids[MOST_NAMED]) not in detail


@pytest.mark.parametrize("kind", KINDS)
async def test_digits_with_which_none_begins_are_not_found(
    http: httpx.AsyncClient, store: Store, kind: str
) -> None:
    await store(FIRST)

    for written in ("0000", "3751", "3750-0", str(ALONE)[:-1]):
        status, word, detail = await problem(http, f"{PREFIX}/{kind}/{written}")

        assert (status, word) == (404, "not-found")
        assert detail == f"there is no {ANSWERED[kind]} {written.replace('-', '')}"


@pytest.mark.parametrize("kind", KINDS)
async def test_what_begins_no_id_is_a_name_that_nothing_has(
    http: httpx.AsyncClient, store: Store, kind: str
) -> None:
    await store(ALONE)

    for written in (
        "375", "%%%%", "3750%", "____", "375_", "3750*", "3750'--", "37502ba0--d5a3", "-3750",
        "\N{FULLWIDTH DIGIT THREE}750", "\N{ARABIC-INDIC DIGIT THREE}750", "validat", f"{ALONE}0",
        f"urn:uuid:{ALONE}",
    ):  # fmt: skip
        said = await problem(http, f"{PREFIX}/{kind}/{quote(written)}")

        assert said == (404, "not-found", f"there is no {ANSWERED[kind]} {written!r}")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "written", ["%20", "%C2%A0", "3750%0A", "3750%00", "%E2%80%AEname", "n" * 101]
)
async def test_what_is_neither_an_id_nor_a_name_is_refused(
    http: httpx.AsyncClient, store: Store, kind: str, written: str
) -> None:
    await store(ALONE)

    status, word, detail = await problem(http, f"{PREFIX}/{kind}/{written}")

    assert (status, word) == (422, "invalid-request")
    assert "this is neither an id nor a name" in detail
    assert "or at least 4 of the digits with which it begins, or a name" in detail


@pytest.mark.parametrize("kind", KINDS)
async def test_a_name_that_no_other_has_is_enough(
    http: httpx.AsyncClient, store: Store, kind: str
) -> None:
    await store(ALONE, FIRST, SECOND)
    url = f"{PREFIX}/{kind}"
    names = ((ALONE, "5a0f6f0e"), (FIRST, "beta, digits: 50 %"), (SECOND, "Cafe-2026"))
    for id, name in names:
        assert (await http.patch(f"{url}/{id}", json={"name": name})).status_code == 200

    for written, id in (
        ("beta, digits: 50 %", FIRST), (" beta, digits: 50 % ", FIRST), ("Cafe-2026", SECOND),
    ):  # fmt: skip
        answer = await http.get(f"{url}/{quote(written)}")
        assert (answer.status_code, answer.json()["id"]) == (200, str(id)), written
    assert (await http.get(f"/{kind}/{quote('beta, digits: 50 %')}")).status_code == 200
    # what begins an id is no name, as on the command line
    assert (await problem(http, f"{url}/5a0f6f0e"))[:2] == (409, "ambiguous-id")
    assert (await problem(http, f"{url}/Beta,%20digits"))[0] == 404
    named = await http.patch(f"{url}/Cafe-2026", json={"note": "By its name."})
    assert (named.json()["id"], named.json()["note"]) == (str(SECOND), "By its name.")
    # more is needed to delete than a name, which somebody else may have given meanwhile
    assert (await http.delete(f"{url}/Cafe-2026")).status_code != 200


@pytest.mark.parametrize("kind", KINDS)
async def test_a_name_that_several_have_is_refused_with_their_ids(
    http: httpx.AsyncClient, store: Store, database: Database, kind: str
) -> None:
    await store(ALONE, FIRST, SECOND)
    for id in (FIRST, SECOND):
        await http.patch(f"{PREFIX}/{kind}/{id}", json={"name": "twice"})

    status, word, detail = await problem(http, f"{PREFIX}/{kind}/twice")

    assert (status, word) == (409, "ambiguous-id")
    assert f"'twice' is the name of more than one {ANSWERED[kind]}: " in detail
    assert str(FIRST) in detail
    assert str(SECOND) in detail
    async with database.transaction() as session:
        session.add(deletions.Deletion(id=SECOND, kind=ANSWERED[kind]))
    assert (await http.get(f"{PREFIX}/{kind}/twice")).json()["id"] == str(FIRST)


@pytest.mark.parametrize("kind", KINDS)
async def test_pages_take_the_first_digits_too(
    http: httpx.AsyncClient, store: Store, kind: str
) -> None:
    await store(ALONE, FIRST, SECOND)

    shown = await http.get(f"/{kind}/37502ba0")
    several = await http.get(f"/{kind}/5a0f")
    none = await http.get(f"/{kind}/37%25")

    assert (shown.status_code, several.status_code, none.status_code) == (200, 409, 404)
    assert str(ALONE) in shown.text
    assert str(SECOND) in several.text


@pytest.mark.parametrize(
    "path",
    ["/compare?run=", "/overlay?study=", "/submit?run=", "/submit?study=", "/submit?experiment="],
)
async def test_addresses_with_ids_in_their_query_take_the_first_digits_too(
    http: httpx.AsyncClient, store: Store, path: str
) -> None:
    await store(ALONE, FIRST, SECOND)

    whole, shown = await http.get(f"{path}{ALONE}"), await http.get(f"{path}37502ba0")
    several, none = await http.get(f"{path}5a0f"), await http.get(f"{path}37%25")

    key = re.compile('name="key" value="[^"]+"')
    assert (whole.status_code, shown.status_code) == (200, 200)
    assert key.sub("", whole.text) == key.sub("", shown.text)
    assert (several.status_code, str(SECOND) in several.text) == (409, True)
    assert none.status_code == 422
    assert "in this address: this is not an id (given: " in none.text
    assert "allowed: an id, such as" in none.text


@pytest.mark.parametrize("kind", KINDS)
async def test_a_stream_of_news_takes_the_first_digits_and_needs_something_to_tell_of(
    http: httpx.AsyncClient, served: str, store: Store, kind: str
) -> None:
    await store(ALONE, FIRST, SECOND)

    refused = [await http.get(f"/live/{kind}/{written}") for written in (UUID(int=1), "5a0f", "1")]
    async with (
        httpx.AsyncClient(headers=OWNER, timeout=20) as reader,
        reader.stream("GET", f"{served}/live/{kind}/37502ba0") as news,
    ):
        first = await anext(news.aiter_lines())

    assert [answer.status_code for answer in refused] == [404, 409, 404]
    assert refused[0].json()["detail"] == f"there is no {ANSWERED[kind]} {UUID(int=1)}"
    assert (news.status_code, first) == (200, "event: changed")


@pytest.mark.parametrize("kind", KINDS)
async def test_what_was_deleted_begins_no_id_any_more(
    http: httpx.AsyncClient, store: Store, database: Database, kind: str
) -> None:
    await store(FIRST, SECOND)
    async with database.transaction() as session:
        session.add(deletions.Deletion(id=SECOND, kind=ANSWERED[kind]))

    assert (await http.get(f"{PREFIX}/{kind}/5a0f6f0e")).json()["id"] == str(FIRST)


@pytest.mark.parametrize("kind", KINDS)
async def test_what_is_to_be_deleted_needs_eight_digits(
    http: httpx.AsyncClient, store: Store, kind: str
) -> None:
    await store(ALONE)

    for written in ("3750", "37502b", "37502ba", "37502ba-"):
        answer = await http.delete(f"{PREFIX}/{kind}/{written}")

        assert answer.status_code == 422, written
        (fault,) = answer.json()["errors"]
        assert fault["pointer"] == f"/path/{ANSWERED[kind]}_id"
        assert fault["message"] == "this is too short for what is to be deleted"
        assert fault["value"] == repr(written)
        assert "at least 8 of the digits" in fault["allowed"]
    assert (await http.get(f"{PREFIX}/{kind}/3750")).status_code == 200


async def test_the_first_digits_of_a_measurement_are_enough(
    http: httpx.AsyncClient, settings: Settings
) -> None:
    folder, url = settings.artifacts / "measurements", f"{PREFIX}/measurements"
    for id in (ALONE, FIRST, SECOND):
        (folder / str(id) / "figures").mkdir(parents=True)
        (folder / str(id) / "figures" / "a.png").write_bytes(id.bytes)
    for name in (f"{UUID(int=ALONE.int + 1)}.part", "3750", "37502ba0-no-id"):
        (folder / name).mkdir()  # none of which is a measurement

    for written in ("3750", "37502BA0", "37502ba0-d5a3", ALONE.hex[:31], ALONE.hex, str(ALONE)):
        figure = await http.get(f"{url}/{written}/figures/a.png")
        assert (figure.status_code, figure.content) == (200, ALONE.bytes), written
        # its report is not there, so that the answer says which was looked for
        report = await problem(http, f"{url}/{written}")
        assert report == (404, "not-found", f"there is no measurement {ALONE}"), written
    for below in ("", "/figures/a.png"):
        several = await problem(http, f"{url}/5a0f{below}")
        assert several[:2] == (409, "ambiguous-id")
        assert several[2].endswith(f"more than one measurement's id begins: {FIRST}, {SECOND}")
        none = await problem(http, f"{url}/3751{below}")
        assert none == (404, "not-found", "there is no measurement 3751")
        assert (await problem(http, f"{url}/375{below}"))[0] == 422


async def test_deleting_by_the_first_digits_deletes_that_and_needs_its_scope(
    http: httpx.AsyncClient, store: Store
) -> None:
    await store(ALONE, FIRST, SECOND)
    await http.post(f"{PREFIX}/studies/37502ba0/cancel")

    several = await http.delete(f"{PREFIX}/studies/5a0f6f0e")
    deleted = await http.delete(f"{PREFIX}/studies/37502ba0")
    again = await http.delete(f"{PREFIX}/studies/37502ba0")
    stranger = await http.delete(f"{PREFIX}/studies/5a0f6f0e", headers={"Authorization": ""})

    assert [several.status_code, deleted.status_code, again.status_code] == [409, 200, 404]
    assert deleted.json()["id"] == str(ALONE)
    assert (await http.delete(f"{PREFIX}/studies/{ALONE}")).json() == deleted.json()
    assert stranger.status_code == 401  # before anybody looks for what begins so


async def test_a_repeated_post_gets_its_answer_although_others_begin_so_by_now(
    http: httpx.AsyncClient, store: Store
) -> None:
    await store(FIRST)
    key = {"Idempotency-Key": "the-key"}
    path = f"{PREFIX}/studies/5a0f6f0e/pause"

    first = await http.post(path, headers=key)
    await store(SECOND)
    again, new = await http.post(path, headers=key), await http.post(path)

    assert (first.status_code, first.json()["state"]) == (200, "paused")
    assert (again.json(), again.headers["Idempotency-Replayed"]) == (first.json(), "true")
    assert new.status_code == 409


async def test_every_route_that_takes_an_id_says_that_its_first_digits_are_enough(
    http: httpx.AsyncClient, api: FastAPI
) -> None:
    """Also those that hold no transaction while they compute."""
    taken = [
        (path, method, operation)
        for path, operations in api.openapi()["paths"].items()
        for method, operation in operations.items()
        if "_id}" in path
    ]

    assert len(taken) > 25
    assert {"delete", "get", "patch", "post"} == {method for _, method, _ in taken}
    assert any("measurement_id" in path for path, _, _ in taken)
    for path, method, operation in taken:
        (id,) = [each for each in operation["parameters"] if each["name"].endswith("_id")]
        least = 8 if method == "delete" else 4
        assert f"at least {least} of the digits" in id["description"], (method, path)
        if method == "delete" or "measurement" in path:
            assert re.fullmatch(id["schema"]["pattern"], "5a0f6f0e"), (method, path)
            assert bool(re.fullmatch(id["schema"]["pattern"], "5a0f6f0")) == (least == 4)
        else:
            assert "or a name" in id["description"], (method, path)
            assert "pattern" not in id["schema"]
        assert {"404", "409", "422"} <= operation["responses"].keys(), (method, path)
        if method == "get":
            parts = {id["name"]: "0000", "name": "phase_diagram", "kind": "csv"}
            if "figures" in path and "studies" in path:
                parts["kind"] = "svg"
            assert (await http.get(path.format(**parts))).status_code == 404, path
