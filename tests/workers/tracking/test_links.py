"""What MLflow's pages show where the links of the API lead, in a real browser."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

import pytest
from playwright.async_api import Page, async_playwright, expect
from pydantic import SecretStr

from polar.spec import StudySpec
from service.api import links
from service.settings import Settings
from service.storage import study_tracking
from service.storage.database import Database
from workers.tracking.tracker import Tracker

if TYPE_CHECKING:
    from tests.processes import Mlflow
    from tests.workers.tracking.conftest import Story, StudyStory

PATIENCE_MS = 60_000

pytestmark = pytest.mark.browser


@pytest.fixture
def settings(mlflow: "Mlflow", app_url: str) -> Settings:
    url = SecretStr(app_url)
    return Settings(database_url=url, artifacts=Path(), mlflow_url=mlflow.url)


@pytest.fixture
async def page(mlflow: "Mlflow", chromium: str) -> AsyncIterator[Page]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--disable-background-networking"]
        )
        yield await browser.new_page(
            viewport={"width": 1600, "height": 1000},
            extra_http_headers={"Authorization": f"Bearer {mlflow.token}"},
        )
        await browser.close()


async def test_the_runs_of_an_experiment_stand_alone_beside_their_charts(
    story: "Story", tracker: Tracker, settings: Settings, page: Page
) -> None:
    first, second, _other = [await story.succeed() for _ in range(3)]
    await tracker.tell_all()
    positions = [await story.position(run_id) for run_id in (first, second)]

    link = links.of_experiment(settings, first, positions)["mlflow"]
    assert link is not None
    await page.goto(link)

    await expect(page.get_by_text("2 matching runs")).to_be_visible(timeout=PATIENCE_MS)
    add_chart = page.get_by_role("button", name="Add chart").first
    await expect(add_chart).to_be_visible(timeout=PATIENCE_MS)


async def test_the_runs_of_a_study_lie_below_it(
    study_story: "StudyStory",
    story: "Story",
    tracker: Tracker,
    database: Database,
    study_spec_of_two_seeds: StudySpec,
    settings: Settings,
    page: Page,
) -> None:
    study_id = await study_story.complete(study_spec_of_two_seeds, [0.5])
    await story.succeed()  # of nobody's study
    await tracker.tell_all()

    await page.goto(await _link(study_id, database, settings))

    # the study, its trial and the trial's two seeds, of which the study alone is unfolded
    await expect(page.get_by_text("4 matching runs")).to_be_visible(timeout=PATIENCE_MS)
    study, trial, seed = (
        page.get_by_role("link", name=name, exact=True)
        for name in ("where is beta clean?", "trial 0 beta=0.5", _seed(1))
    )
    await expect(study).to_be_visible()
    await expect(trial).to_have_count(0)
    for parent in (study, trial):
        row = page.get_by_role("row").filter(has=parent).first
        await row.get_by_role("button").first.click()
    await expect(seed).to_be_visible()


def _seed(number: int) -> str:
    return f"trial 0 beta=0.5 seed {number} (where is beta clean?)"


async def _link(study_id: UUID, database: Database, settings: Settings) -> str:
    async with database.transaction() as session:
        position = await study_tracking.mlflow_run_of_study(session, study_id)
    link = links.of_study(settings, study_id, position, {}, is_optimised=True)["mlflow_runs"]
    assert link is not None
    return link
