"""What the API says of a run whose figures are still to come."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING
from uuid import UUID

import httpx
import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from polar.records.events import ArtifactSaved
from service.settings import Settings
from service.storage import findings
from service.storage.database import Database
from service.storage.tables import FindingsRow

if TYPE_CHECKING:
    from tests.conftest import Reports
    from tests.service.conftest import SpecMaker, Submitter, Worker

FIGURE = "figures/sorted_entropies.png"


@pytest.fixture
async def run_id(run_id: UUID, spec_of: "SpecMaker", worker: "Worker", reports: "Reports") -> UUID:
    """A run that has succeeded and has no findings yet."""
    await worker.record(run_id, reports.result(spec_of()).model_copy(update={"summary": None}))
    await worker.finish(run_id)
    return run_id


@pytest.fixture
def url(run_id: UUID) -> str:
    return f"/api/v1/runs/{run_id}"


async def claim(database: Database) -> None:
    async with database.transaction() as session:
        assert await findings.claim(session, ["d" * 64], 30.0, max_attempts=5)


async def fail(database: Database, run_id: UUID) -> None:
    await claim(database)
    async with database.transaction() as session:
        await findings.fail(session, run_id, 1, "dataset_missing", "digits is not here")


async def test_a_run_says_that_its_findings_are_to_come(http: httpx.AsyncClient, url: str) -> None:
    run = (await http.get(url)).json()
    figures = (await http.get(f"{url}/figures")).json()

    to_come = {"state": "to_come", "reason": None, "message": None, "asked_at": None}
    assert (run["state"], run["findings"]) == ("succeeded", to_come)
    assert run["result"]["summary"] is None
    assert run["links"]["findings"] == f"{url}/findings"
    assert (figures["figures"], figures["findings"]) == ([], to_come)


async def test_a_run_without_findings_to_come_says_nothing_of_them(
    http: httpx.AsyncClient, submit: "Submitter", spec_of: "SpecMaker"
) -> None:
    run_id = (await submit(spec_of())).runs[0].id

    run = (await http.get(f"/api/v1/runs/{run_id}")).json()
    figures = (await http.get(f"/api/v1/runs/{run_id}/figures")).json()
    figure = await http.get(f"/api/v1/runs/{run_id}/{FIGURE}")
    asked = await http.post(f"/api/v1/runs/{run_id}/findings")

    assert (run["findings"], figures["findings"]) == (None, None)
    assert (figure.status_code, figure.json()["type"]) == (404, "urn:polar:problem:not-found")
    assert asked.status_code == 409


async def test_a_figure_that_is_to_come_is_asked_for(
    http: httpx.AsyncClient, url: str, database: Database, run_id: UUID
) -> None:
    answer = await http.get(f"{url}/{FIGURE}")

    assert answer.status_code == 404
    assert answer.json()["type"] == "urn:polar:problem:findings-to-come"
    assert "are still to come, and have been asked for now" in answer.json()["detail"]
    assert answer.headers["Retry-After"] == "5"
    asked_at = (await http.get(url)).json()["findings"]["asked_at"]
    assert asked_at is not None
    await http.get(f"{url}/{FIGURE}")
    assert (await http.get(url)).json()["findings"]["asked_at"] == asked_at
    await claim(database)
    async with database.transaction() as session:
        await findings.lose(session, run_id, 1, "machine_fault", "the disk is full")
    lost = (await http.get(f"{url}/{FIGURE}")).json()
    assert "the last attempt was lost: the disk is full" in lost["detail"]


async def test_a_figure_that_is_to_come_is_asked_for_as_svg_too(
    http: httpx.AsyncClient, url: str
) -> None:
    answer = await http.get(f"{url}/figures/sorted_entropies.svg")

    assert answer.json()["type"] == "urn:polar:problem:findings-to-come"
    assert (await http.get(url)).json()["findings"]["asked_at"] is not None


async def test_what_is_no_picture_asks_for_no_findings(http: httpx.AsyncClient, url: str) -> None:
    # Browsers ask for such icons by themselves, and findings then came before those of others.
    answer = await http.get(f"{url}/figures/favicon.ico")

    assert answer.json()["type"] == "urn:polar:problem:not-found"
    assert (await http.get(url)).json()["findings"]["asked_at"] is None


async def test_findings_that_failed_leave_the_run_as_it_is_and_say_why(
    http: httpx.AsyncClient, url: str, database: Database, run_id: UUID
) -> None:
    await fail(database, run_id)

    run = (await http.get(url)).json()
    figure = await http.get(f"{url}/{FIGURE}")

    assert run["state"] == "succeeded"
    assert run["findings"]["state"] == "failed"
    assert run["findings"]["reason"] == "dataset_missing"
    assert figure.status_code == 404
    assert figure.json()["type"] == "urn:polar:problem:findings-failed"
    assert figure.json()["detail"] == (
        "this run has no figures: they could not be made: digits is not here; "
        f"POST {url}/findings tries again"
    )
    again = await http.post(f"{url}/findings")
    assert (again.status_code, again.json()["state"]) == (202, "to_come")
    assert again.json()["asked_at"] is not None


@pytest.fixture
def make(
    database: Database,
    run_id: UUID,
    settings: Settings,
    spec_of: "SpecMaker",
    reports: "Reports",
) -> Callable[[], Awaitable[None]]:
    """Makes the findings of the run: one picture."""

    async def record() -> None:
        (settings.artifacts / "a.png").write_bytes(b"a picture")
        await claim(database)
        async with database.transaction() as session:
            files = [ArtifactSaved(name=FIGURE, path="a.png")]
            await findings.record(session, run_id, 1, files, reports.result(spec_of()))

    return record


async def test_figures_that_are_made_are_sent(
    http: httpx.AsyncClient, url: str, make: Callable[[], Awaitable[None]]
) -> None:
    await make()

    figures = (await http.get(f"{url}/figures")).json()
    (figure,) = figures["figures"]
    run = (await http.get(url)).json()
    missing = await http.get(f"{url}/figures/unheard_of.png")

    assert figures["findings"]["state"] == "made"
    assert (await http.get(figure["url"])).content == b"a picture"
    assert run["result"]["summary"] is not None
    assert missing.json()["type"] == "urn:polar:problem:not-found"


async def test_a_figure_that_is_made_while_it_is_asked_for_is_sent(
    http: httpx.AsyncClient,
    url: str,
    make: Callable[[], Awaitable[None]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ask = findings.ask

    async def just_too_late(session: AsyncSession, run_id: UUID) -> FindingsRow:
        await make()
        return await ask(session, run_id)

    monkeypatch.setattr(findings, "ask", just_too_late)

    answer = await http.get(f"{url}/{FIGURE}")

    assert answer.content == b"a picture"
