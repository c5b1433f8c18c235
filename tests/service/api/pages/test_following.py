"""Pages that follow what goes on: many of them in a browser, and while the service is away."""

from typing import TYPE_CHECKING
from uuid import UUID

import pytest
from playwright.async_api import expect

from service.api import submission
from service.storage import deletions
from service.storage.database import Database

if TYPE_CHECKING:
    from tests.service.api.pages.conftest import Look
    from tests.service.conftest import SpecMaker, Submitter, Trials

#: Connections that browsers make to one address, however many pages they show.
CONNECTIONS = 6
HIDE = """Object.defineProperty(document, "hidden", { value: true, configurable: true });
    document.dispatchEvent(new Event("visibilitychange"));"""
SHOW = """delete document.hidden; document.dispatchEvent(new Event("visibilitychange"));"""

pytestmark = pytest.mark.browser


async def test_pages_that_nobody_sees_leave_connections_to_those_that_are_seen(
    look: "Look", study_id: UUID, trials: "Trials"
) -> None:
    async with look() as first:
        for _ in range(CONNECTIONS):
            async with first.expect_popup() as opened:
                await first.evaluate("path => { open(path); }", f"/studies/{study_id}")
            page = await opened.value
            await page.wait_for_load_state()
            await page.evaluate(HIDE)
        await first.goto(f"/studies/{study_id}", timeout=10_000)
        await expect(first.locator("#trials tbody tr")).to_have_count(2)

        await trials.end(await trials.begin(study_id, beta=7.0), 0.25)

        await expect(first.locator("#trials tbody tr")).to_have_count(3)
        await page.evaluate(SHOW)
        await expect(page.locator("#trials tbody tr")).to_have_count(3)


async def test_a_page_that_nobody_sees_looks_now_and_then(
    look: "Look", study_id: UUID, trials: "Trials"
) -> None:
    async with look() as page:
        await page.clock.install()
        await page.goto(f"/studies/{study_id}")
        await page.evaluate(HIDE)
        await trials.end_study(study_id, headline="Clean from 1 to 2.")
        await page.clock.run_for(60_000)
        await expect(page.locator("h1 .state")).to_have_text("completed")


async def test_a_page_says_that_the_service_is_away_until_it_answers(
    look: "Look", study_id: UUID
) -> None:
    async with look() as page:
        await page.route("**/live/**", lambda route: route.abort("connectionrefused"))
        await page.goto(f"/studies/{study_id}")
        said = page.locator("#said")  # which has no role while it is empty
        await expect(said).to_contain_text("The service does not answer")
        await page.unroute("**/live/**")
        await expect(said).to_be_empty(timeout=10_000)


@pytest.mark.parametrize("kind", ["experiments", "runs"])
async def test_a_page_says_that_what_it_shows_was_deleted(
    look: "Look", submit: "Submitter", spec_of: "SpecMaker", database: Database, kind: str
) -> None:
    made = await submit(spec_of())
    experiment = made.experiment
    id = experiment.id if kind == "experiments" else made.runs[0].id
    async with look(f"/{kind}/{id}") as page:
        # at once, because a page that is loaded in between shows an end, and follows nothing
        async with database.transaction() as session:
            await submission.cancel(session, experiment.id)
            await deletions.delete_experiment(session, experiment.id)

        await expect(page.locator("#said")).to_have_text("What this page shows has been deleted.")
