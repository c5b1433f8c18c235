"""What tests of the pages share: a browser that was let in, a study, and pages with contents."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from uuid import UUID

import httpx
import pytest
from PIL import Image
from playwright.async_api import Page, async_playwright, expect

from polar.records.events import ArtifactSaved
from polar.records.latents import Label
from polar.records.measurement import MEASUREMENT_FILE
from service.storage import runs
from service.storage.database import Database
from service.storage.metrics import add_of_system
from service.storage.states import RunState
from tests.service.api.conftest import Create

if TYPE_CHECKING:
    from tests.conftest import Reports
    from tests.service.conftest import SpecMaker, Submitter, Trials, Worker

Scheme = Literal["light", "dark"]
Pages = AsyncIterator[Page]

NAME = "a" * 60
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]


Look = Callable[..., AbstractAsyncContextManager[Page]]

# A page rests for longer the busier the machine is; it need not be in time, but in the end.
expect.set_options(timeout=90_000)


@pytest.fixture
def look(served: str, http: httpx.AsyncClient, chromium: str) -> Look:
    """Opens a browser that was let in; at its end it must have reported no error."""

    @asynccontextmanager
    async def look(
        path: str = "/",
        width: int = 1280,
        scheme: Scheme = "light",
        scope: str = "steer",
        has_script: bool = True,
    ) -> Pages:
        link = (await http.post("/api/v1/login-links", params={"scope": scope})).json()["url"]
        async with async_playwright() as playwright:
            browser = await playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
            page = await browser.new_page(
                base_url=served,
                viewport={"width": width, "height": 900},
                color_scheme=scheme,
                java_script_enabled=has_script,
            )
            errors: list[str] = []
            page.on("pageerror", lambda error: errors.append(str(error)))
            await page.goto(link)
            await page.goto(path)
            yield page
            assert errors == []
            await browser.close()

    return look


@pytest.fixture
async def study_id(worker: "Worker", create: Create, trials: "Trials") -> UUID:
    """A study with a finished training, one that waits, and a name that has no blanks."""
    await worker.announce()
    study_id = await create(name=NAME)
    await trials.end(await trials.begin(study_id, beta=2.0), 0.5)
    await trials.begin(study_id, beta=20.0)
    return study_id


@pytest.fixture
async def shown_run(
    submit: "Submitter",
    spec_of: "SpecMaker",
    worker: "Worker",
    reports: "Reports",
    database: Database,
    tmp_path: Path,
) -> UUID:
    """A run in work of which all is there that its page can show."""
    await worker.announce()
    run_id = (await submit(spec_of(name="with all"))).runs[0].id
    await worker.claim(run_id)
    evaluation = reports.evaluation(50)
    first, second = evaluation.latents
    others = [
        first.model_copy(update={"latent": 2, "label": Label.MIXED}),
        second.model_copy(update={"latent": 3, "label": Label.UNDETERMINED}),
    ]
    evaluation = evaluation.model_copy(update={"latents": (first, second, *others)})
    await worker.record(run_id, reports.progress(10), evaluation)

    label = {"criterion": "entropy", "margin": 0.5, "score": 1.0, "why": "it is above tau"}
    labels = [{**label, "latent": each.latent, "label": each.label} for each in evaluation.latents]
    attempt = tmp_path / f"runs/{run_id}/attempt-1"
    (attempt / "out/figures").mkdir(parents=True)
    (attempt / "log.txt").write_text("".join(f"line {number}\n" for number in range(100)))
    (attempt / "out" / MEASUREMENT_FILE).write_text(json.dumps({"labels": labels}))
    names = [MEASUREMENT_FILE, "figures/traversals.png", "figures/sorted_entropies.png"]
    for name in names[1:]:
        Image.new("RGB", (2000, 400)).save(attempt / "out" / name)
    for name in names:
        path = f"runs/{run_id}/attempt-1/out/{name}"
        await worker.record(run_id, ArtifactSaved(name=name, path=path))
    async with database.transaction() as session:
        sample = {"cpu_utilization_percentage": 98.0, "process_memory_usage_megabytes": 412.0}
        await add_of_system(session, run_id, 1, [(5, sample), (10, sample)])
    return run_id


@pytest.fixture
async def compared(
    submit: "Submitter", spec_of: "SpecMaker", worker: "Worker", reports: "Reports"
) -> str:
    """The path of a page that compares 8 runs, as many as there may be."""
    await worker.announce()
    compared = (await submit(spec_of(name="compared", seeds=list(range(1, 9))))).runs
    for run in compared:
        await worker.claim(run.id)
        await worker.record(run.id, reports.evaluation(50))
    return "/compare?" + "&".join(f"run={run.id}" for run in compared)


@pytest.fixture
async def contents(
    http: httpx.AsyncClient,
    study_id: UUID,
    shown_run: UUID,
    compared: str,
    create: Create,
    trials: "Trials",
    submit: "Submitter",
    spec_of: "SpecMaker",
    worker: "Worker",
    database: Database,
) -> list[str]:
    """The paths of all kinds of pages, each with all that it can show."""
    ends = [{"low": 0.1, "high": 0.2}, {"low": 10.0, "high": 20.0}]
    left, right = ({**each, "confidence": 0.9} for each in ends)
    band: dict[str, Any] = {"left": left, "right": right}
    found: dict[str, Any] = {"intervals": [band], "envelope": band, "remarks": ["A remark."]}
    await http.patch(f"/api/v1/studies/{study_id}", json={"tags": {"of": NAME}, "note": NAME * 3})
    await trials.find(study_id, headline="found", **found)
    other = await create(name="other")
    await trials.end(await trials.begin(other, beta=3.0), 0.5)
    await trials.end_study(other, headline="Clean from 0.2 to 10.", **found)

    failed = await submit(spec_of(name=NAME, seeds=[9, 10]))
    await worker.claim(failed.runs[0].id)
    async with database.transaction() as session:
        message = f"Traceback (most recent call last):\nValueError: {NAME * 3}"
        await runs.finish(
            session, failed.runs[0].id, 1, RunState.FAILED, reason="bug", message=message
        )
    return [
        *("/", "/experiments", "/runs", "/agents", "/submit?example=beta"),
        *(f"/studies/{each}" for each in (study_id, other)),
        *(f"/runs/{each}" for each in (shown_run, failed.runs[0].id)),
        f"/experiments/{failed.experiment.id}",
        compared,
        f"/overlay?study={study_id}&study={other}",
        f"/runs/{UUID(int=1)}",  # which is not there
    ]
