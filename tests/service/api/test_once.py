"""Every POST with an idempotency key is carried out once, and its answer comes again."""

import asyncio
import io
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

import httpx
import numpy as np
import pytest
from fastapi import FastAPI
from starlette.types import Message, Receive, Send
from starlette.types import Scope as AsgiScope

from service.api.links import PREFIX
from service.settings import Settings
from service.storage import tokens
from service.storage.database import Database
from service.storage.states import StudyState, TrialState
from service.tokens import Scope
from tests.service.api.conftest import Create
from tests.service.conftest import OWNER

if TYPE_CHECKING:
    from tests.conftest import Reports
    from tests.service.conftest import SpecMaker, StudyMaker, Submitter, Trials, Worker

KEY = {"Idempotency-Key": "the-key"}
#: Their answers hold tokens, which must not be stored; and whoever revokes twice revokes once.
SECRETS = {f"{PREFIX}/{path}" for path in ("tokens", "tokens/{name}/revoke", "login-links")}
#: They store nothing at all, so that whoever may only read cannot fill a table with answers.
READING = {f"{PREFIX}/experiments/validate", f"{PREFIX}/studies/validate"}

#: A request: the id in its path, and what else httpx takes.
Post = tuple[UUID | None, dict[str, Any]]


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Patient: a busy machine takes a minute for what takes seconds."""
    return settings.model_copy(update={"measure_s": 500.0})


def codes(scale: float) -> bytes:
    saved = io.BytesIO()
    np.save(saved, scale * np.random.default_rng(0).normal(size=(20, 2)))
    return saved.getvalue()


@pytest.fixture
async def run_id(run_id: UUID, spec_of: "SpecMaker", worker: "Worker", reports: "Reports") -> UUID:
    """A run that has succeeded and has no findings yet."""
    await worker.announce()
    await worker.record(run_id, reports.result(spec_of()).model_copy(update={"summary": None}))
    await worker.finish(run_id)
    return run_id


@pytest.fixture
async def posts(
    run_id: UUID,
    submit: "Submitter",
    create: Create,
    trials: "Trials",
    http: httpx.AsyncClient,
    spec_of: "SpecMaker",
    study_of: "StudyMaker",
) -> dict[str, Post]:
    """A request for every path that takes a POST, which changes something there."""
    of_run = (await http.get(f"{PREFIX}/experiments")).json()["experiments"][0]["id"]
    queued = await submit(spec_of(seeds=[1]))
    alone = await submit(spec_of(seeds=[2]))
    cancelled = await submit(spec_of(seeds=[4]))
    await http.post(f"{PREFIX}/runs/{cancelled.runs[0].id}/cancel")
    study_ids = [await create() for _ in range(5)]
    await http.post(f"{PREFIX}/studies/{study_ids[1]}/pause")
    await trials.end(await trials.begin(study_ids[4], beta=1.0), state=TrialState.FAILED)
    await trials.end_study(study_ids[4], StudyState.FAILED)
    more = {"json": {"steps": 100_000}}
    return {
        "/experiments": (None, {"json": spec_of.as_json(seeds=[3])}),
        "/experiments/{experiment_id}/cancel": (queued.experiment.id, {}),
        "/experiments/{experiment_id}/extend": (UUID(of_run), more),
        "/runs/{run_id}/cancel": (alone.runs[0].id, {}),
        "/runs/{run_id}/extend": (run_id, more),
        "/runs/{run_id}/findings": (run_id, {}),
        "/runs/{run_id}/rerun": (cancelled.runs[0].id, {}),
        "/studies": (None, {"json": study_of()}),
        "/studies/{study_id}/pause": (study_ids[0], {}),
        "/studies/{study_id}/resume": (study_ids[1], {}),
        "/studies/{study_id}/cancel": (study_ids[2], {}),
        "/studies/{study_id}/extend": (study_ids[3], {"json": {"trials": 2}}),
        "/studies/{study_id}/retry-failed": (study_ids[4], {}),
        "/measurements": (None, {"files": {"mean": ("codes.npy", codes(1.0))}}),
    }


async def test_every_post_is_carried_out_once_for_each_key(
    api: FastAPI, posts: dict[str, Post], http: httpx.AsyncClient, spec_of: "SpecMaker"
) -> None:
    # Adding trials to a study, say, could not be repeated after a lost answer.
    documented = [path for path, methods in api.openapi()["paths"].items() if "post" in methods]
    assert set(documented) - SECRETS - READING == {PREFIX + path for path in posts}

    for path, (id, request) in posts.items():
        address = PREFIX + path.format(experiment_id=id, run_id=id, study_id=id)
        headers = {"Idempotency-Key": f"key-of{path}"}
        first = await http.post(address, headers=headers, **request)
        again = await http.post(address, headers=headers, **request)
        other = await http.post(
            f"{PREFIX}/experiments", headers=headers, json=spec_of.as_json(name="other")
        )

        assert first.is_success, (path, first.text)
        assert "idempotency-replayed" not in first.headers
        assert again.headers["idempotency-replayed"] == "true", path
        names = ("content-type", "location")
        assert (again.status_code, again.content, *map(again.headers.get, names)) == (
            first.status_code, first.content, *map(first.headers.get, names)
        )  # fmt: skip
        assert (other.status_code, other.json()["type"]) == (
            422,
            "urn:polar:problem:idempotency-key-reused",
        )


async def test_what_is_only_validated_stores_nothing(
    http: httpx.AsyncClient,
    worker: "Worker",
    spec_of: "SpecMaker",
    study_of: "StudyMaker",
    rows: Callable[[], Awaitable[int]],
) -> None:
    await worker.announce()
    before = await rows()

    for path, body in (("experiments", spec_of.as_json()), ("studies", study_of())):
        answer = await http.post(f"{PREFIX}/{path}/validate", json=body, headers=KEY)
        assert answer.status_code == 200, answer.text

    assert await rows() == before


async def test_others_may_use_the_same_key(http: httpx.AsyncClient, worker: "Worker") -> None:
    await worker.announce()
    made = await http.post(f"{PREFIX}/tokens", json={"name": "anna", "scope": "submit"})
    spec = {"dataset": {"name": "digits"}, "model": {}}
    mine = await http.post(f"{PREFIX}/experiments", json=spec, headers=KEY)
    hers = await http.post(
        f"{PREFIX}/experiments",
        json={**spec, "name": "hers"},
        headers={**KEY, "Authorization": f"Bearer {made.json()['token']}"},
    )

    assert (mine.status_code, hers.status_code) == (202, 202)
    assert mine.json()["id"] != hers.json()["id"]


async def test_a_repeated_request_for_more_trials_adds_them_once(
    http: httpx.AsyncClient, worker: "Worker", create: Create
) -> None:
    await worker.announce()
    address = f"{PREFIX}/studies/{await create()}"
    one, two = {"trials": 1}, {"trials": 2}

    answers = await asyncio.gather(
        *(http.post(f"{address}/extend", json=one, headers=KEY) for _ in range(4))
    )
    other = await http.post(f"{address}/extend", json=two, headers=KEY)

    assert [answer.json()["trials_wanted"] for answer in answers] == [4] * 4
    assert (await http.get(address)).json()["trials_wanted"] == 4
    assert "the Idempotency-Key the-key was used for another request" in other.json()["detail"]


async def test_the_answer_is_that_of_the_first_request_whatever_has_happened_since(
    http: httpx.AsyncClient, worker: "Worker", create: Create
) -> None:
    await worker.announce()
    address = f"{PREFIX}/studies/{await create()}"
    first = await http.post(f"{address}/pause", headers=KEY)
    await http.post(f"{address}/resume")

    again = await http.post(f"{address}/pause", headers=KEY)

    assert again.json() == first.json()
    assert (await http.get(address)).json()["state"] == "running"


async def test_an_answer_that_was_lost_after_the_commit_comes_with_the_next_try(
    api: FastAPI, http: httpx.AsyncClient, worker: "Worker", create: Create
) -> None:
    async def lose(_message: Message) -> None:
        raise ConnectionResetError

    async def losing(scope: AsgiScope, receive: Receive, _send: Send) -> None:
        await api(scope, receive, lose)

    await worker.announce()
    address, one = f"{PREFIX}/studies/{await create()}", {"trials": 1}
    before = (await http.get(address)).json()["trials_wanted"]
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(losing), base_url="http://localhost", headers=OWNER
    ) as unlucky:
        with pytest.raises(ConnectionResetError):
            await unlucky.post(f"{address}/extend", json=one, headers=KEY)

    again = await http.post(f"{address}/extend", json=one, headers=KEY)

    assert again.headers["idempotency-replayed"] == "true"
    assert again.json()["trials_wanted"] == before + 1
    assert (await http.get(address)).json()["trials_wanted"] == before + 1


async def test_everybody_has_keys_of_their_own(
    http: httpx.AsyncClient, database: Database, worker: "Worker", study_of: "StudyMaker"
) -> None:
    await worker.announce()
    async with database.transaction() as session:
        made = [
            await tokens.create(session, name, Scope.SUBMIT, timedelta(days=1))
            for name in ("ada", "grace")
        ]
    headers = [{"Authorization": f"Bearer {token}", **KEY} for _, token in made]

    ada, grace, again = [
        await http.post(f"{PREFIX}/studies", json=study_of(name=name), headers=headers[place])
        for name, place in (("hers", 0), ("another", 1), ("hers", 0))
    ]

    assert [answer.status_code for answer in (ada, grace)] == [202, 202]
    assert ada.json()["id"] != grace.json()["id"]
    assert again.content == ada.content


async def test_a_refused_request_may_be_sent_again_with_its_key(
    http: httpx.AsyncClient, worker: "Worker", spec_of: "SpecMaker"
) -> None:
    address, spec = f"{PREFIX}/experiments", spec_of.as_json()

    refused = await http.post(address, json=spec, headers=KEY)  # no agent is there
    await worker.announce()
    accepted = await http.post(address, json=spec, headers=KEY)

    assert (refused.status_code, accepted.status_code) == (422, 202)


async def test_two_equal_uploads_at_once_get_one_answer(http: httpx.AsyncClient) -> None:
    files = {"mean": ("codes.npy", codes(1.0))}

    answers = await asyncio.gather(
        *(http.post(f"{PREFIX}/measurements", files=files, headers=KEY) for _ in range(2))
    )

    assert [answer.status_code for answer in answers] == [201, 201]
    assert answers[0].json() == answers[1].json()


async def test_other_files_under_the_key_of_an_upload_are_refused(
    http: httpx.AsyncClient,
) -> None:
    forms: list[dict[str, Any]] = [
        {"files": {"mean": ("codes.npy", codes(1.0))}},
        {"files": {"mean": ("codes.npy", codes(2.0))}},
        {"files": {"mean": ("codes.npy", codes(1.0))}, "data": {"sigma": "0.3"}},
    ]

    answers = [await http.post(f"{PREFIX}/measurements", headers=KEY, **form) for form in forms]

    assert [answer.status_code for answer in answers] == [201, 422, 422]
