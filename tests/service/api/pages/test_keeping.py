"""What readers keep while their page changes: the focus, what is scrolled, what is ticked."""

from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

import pytest
from playwright.async_api import Page, expect

if TYPE_CHECKING:
    import httpx

    from tests.conftest import Reports
    from tests.service.api.conftest import Create
    from tests.service.api.pages.conftest import Look
    from tests.service.conftest import Trials, Worker

#: How many pixels of the last line of a log lie below its box.
BELOW = """log => {
    const text = document.createRange();
    text.selectNodeContents(log);
    return text.getBoundingClientRect().bottom - log.getBoundingClientRect().bottom;
}"""

pytestmark = pytest.mark.browser


async def test_the_focus_stays_in_the_log_and_the_log_begins_and_stays_at_its_end(
    look: "Look", shown_run: UUID, worker: "Worker", reports: "Reports", tmp_path: Path
) -> None:
    written = tmp_path / f"runs/{shown_run}/attempt-1/log.txt"
    step = 10

    async def news(page: Page) -> None:
        nonlocal step
        step += 1
        with written.open("a") as log:
            log.write(f"news at {step}\n")
        await worker.record(shown_run, reports.progress(step))
        await expect(page.locator("pre.log")).to_contain_text(f"news at {step}")

    async with look(f"/runs/{shown_run}") as page:
        log = page.locator("pre.log")
        assert await log.evaluate("log => log.scrollHeight > log.clientHeight + 100")
        assert await log.evaluate(BELOW) <= 0

        await log.focus()
        await news(page)
        await expect(log).to_be_focused()
        assert await log.evaluate(BELOW) <= 0

        copy = page.locator("#log").get_by_role("button", name="Copy curl")
        await copy.focus()
        await log.evaluate("log => log.scrollBy(0, -150)")
        hidden = await log.evaluate(BELOW)
        assert hidden > 100
        await news(page)
        await expect(copy).to_be_focused()
        assert await log.evaluate(BELOW) == pytest.approx(hidden, abs=2)


async def test_the_focus_stays_on_what_is_opened_and_read(
    look: "Look", study_id: UUID, trials: "Trials"
) -> None:
    await trials.find(study_id, headline="before", remarks=["A remark."])
    async with look(f"/studies/{study_id}", width=390) as page:
        words = page.get_by_text("What else to know")
        await words.click()
        table = page.get_by_label("Table of trials")
        await table.evaluate("table => table.scrollTo(100, 0)")

        await trials.begin(study_id, beta=7.0)
        await trials.find(study_id, headline="after", remarks=["A remark.", "Another."])

        await expect(page.locator(".headline")).to_have_text("after")
        await expect(page.locator("#trials tbody tr")).to_have_count(3)
        await expect(words).to_be_focused()
        await expect(page.get_by_text("Another.")).to_be_visible()
        assert await table.evaluate("table => table.scrollLeft") == 100


async def test_the_focus_never_goes_to_a_button_that_would_do_something_else(
    look: "Look", create: "Create", http: "httpx.AsyncClient", worker: "Worker"
) -> None:
    await worker.announce()
    await create(name="above")
    paused = await create(name="paused elsewhere")
    async with look("/") as page:
        await page.get_by_role("button", name="Pause: paused elsewhere").focus()
        await http.post(f"/api/v1/studies/{paused}/pause")
        await expect(page.get_by_role("button", name="Resume: paused elsewhere")).to_be_visible()
        await expect(page.get_by_role("link", name="paused elsewhere")).to_be_focused()

        await page.goto(f"/studies/{paused}")
        await page.get_by_role("button", name="Resume").focus()
        await http.post(f"/api/v1/studies/{paused}/resume")
        await expect(page.get_by_role("button", name="Pause")).to_be_visible()
        await expect(page.locator("#steering")).to_be_focused()
        await page.keyboard.press("Tab")
        await expect(page.get_by_role("button", name="Pause")).to_be_focused()


async def test_what_is_ticked_stays_ticked_when_a_page_is_loaded_again(
    look: "Look", create: "Create", study_id: UUID, trials: "Trials"
) -> None:
    await create(name="ticked")
    await create(name="not ticked")
    async with look("/") as page:
        await page.get_by_role("checkbox", name="overlay study ticked").check()
        await page.evaluate("window.isTheSame = true")
        await page.get_by_role("button", name="Pause: not ticked").click()
        await page.wait_for_function("() => !window.isTheSame")
        await expect(page.get_by_role("button", name="Resume: not ticked")).to_be_visible()
        await expect(page.get_by_role("checkbox", name="overlay study ticked")).to_be_checked()
        await expect(page.locator(":checked[type=checkbox]")).to_have_count(1)

        await page.goto(f"/studies/{study_id}")
        await page.locator("#trials").get_by_role("checkbox").first.check()
        await page.evaluate("window.isTheSame = true")
        await trials.end_study(study_id, headline="Clean from 1 to 2.")
        await page.wait_for_function("() => !window.isTheSame")
        await expect(page.locator("h1 .state")).to_have_text("completed")
        await expect(page.locator("#trials").get_by_role("checkbox").first).to_be_checked()
        await page.reload()  # by the reader, who begins anew
        await expect(page.locator(":checked[type=checkbox]")).to_have_count(0)
