"""Writing names, tags and notes while others write them, and while the page changes."""

import re
from typing import TYPE_CHECKING
from uuid import UUID

import pytest
from playwright.async_api import Page, expect

from tests.service.api.pages.conftest import NAME

if TYPE_CHECKING:
    import httpx

    from tests.service.api.pages.conftest import Look
    from tests.service.conftest import Trials

pytestmark = pytest.mark.browser


async def save(page: Page, **written: str) -> None:
    """Write into the form that is opened, and save it."""
    for label, text in written.items():
        await page.get_by_label(label.title()).fill(text)
    await page.get_by_role("button", name="Save").click()


async def test_what_is_being_written_outlives_the_end_of_a_study(
    look: "Look", study_id: UUID, trials: "Trials", http: "httpx.AsyncClient"
) -> None:
    async with look(f"/studies/{study_id}", scope="submit") as page:
        await page.get_by_text("Name, tags and note").click()
        await page.get_by_label("Note").fill("of hours of work")

        await trials.end_study(study_id, headline="Clean from 1 to 2.")

        await expect(page.locator("h1 .state")).to_have_text("completed")
        await expect(page.get_by_role("status")).to_contain_text("once you have saved")
        await expect(page.get_by_label("Note")).to_have_value("of hours of work")
        await page.get_by_role("button", name="Save").click()
        await expect(page.locator("p.note")).to_have_text("of hours of work")
    assert (await http.get(f"/api/v1/studies/{study_id}")).json()["note"] == "of hours of work"


async def test_what_is_being_written_outlives_a_press_of_a_button(
    look: "Look", study_id: UUID
) -> None:
    async with look(f"/studies/{study_id}") as page:
        await page.get_by_text("Name, tags and note").click()
        await page.get_by_label("Note").fill("of hours of work")
        await page.get_by_role("button", name="Pause").click()
        await expect(page.get_by_role("status")).to_contain_text("once you have saved")
        await expect(page.get_by_label("Note")).to_have_value("of hours of work")


async def test_only_tags_that_were_changed_are_sent(
    look: "Look", study_id: UUID, http: "httpx.AsyncClient"
) -> None:
    path = f"/api/v1/studies/{study_id}"
    before = {"both": "1", "gone": "1", "spaced": "  as it is  ", "__proto__": "1"}
    await http.patch(path, json={"tags": before})
    async with look(f"/studies/{study_id}", scope="submit") as page:
        await page.get_by_text("Name, tags and note").click()
        await http.patch(path, json={"tags": {"both": "2", "theirs": "2"}})
        lines = await page.get_by_label("Tags, each").input_value()
        mine = lines.replace("gone=1\n", "") + "constructor=3\n"
        await page.get_by_label("Tags, each").fill(mine)
        await page.get_by_role("button", name="Save").click()
        await expect(page.get_by_label("Tags", exact=True)).to_contain_text("constructor=3")

    assert (await http.get(path)).json()["tags"] == {
        "both": "2",
        "theirs": "2",
        "spaced": "  as it is  ",
        "__proto__": "1",
        "constructor": "3",
    }


async def test_who_writes_the_same_note_at_once_is_told_so(
    look: "Look", study_id: UUID, http: "httpx.AsyncClient"
) -> None:
    path = f"/api/v1/studies/{study_id}"
    await http.patch(path, json={"note": "of\r\nbefore"})
    async with look(f"/studies/{study_id}", scope="submit") as page:
        await page.get_by_text("Name, tags and note").click()
        await http.patch(path, json={"note": "theirs"})
        await save(page, note="mine", name="a new name")
        said = page.get_by_role("status")
        await expect(said).to_contain_text("The note has been changed elsewhere since this page")
        assert (await http.get(path)).json()["note"] == "theirs"
        await expect(page.get_by_label("Note")).to_have_value("mine")

        await http.patch(path, json={"note": "of\r\nbefore"})
        await page.get_by_role("button", name="Save").click()
        await expect(page.locator("p.note")).to_have_text("mine")
    study = (await http.get(path)).json()
    assert (study["name"], study["note"]) == ("a new name", "mine")


async def test_a_name_of_blanks_is_none(
    look: "Look", study_id: UUID, http: "httpx.AsyncClient"
) -> None:
    await http.patch(f"/api/v1/studies/{study_id}", json={"name": "   "})
    async with look("/") as page:
        await expect(page.get_by_role("link", name=str(study_id)[:8])).to_be_visible()


async def test_a_page_that_was_opened_by_its_name_outlives_another_name(
    look: "Look", study_id: UUID
) -> None:
    async with look(f"/studies/{NAME}", scope="submit") as page:
        await expect(page).to_have_url(re.compile(f"/studies/{study_id}$"))
        await page.get_by_text("Name, tags and note").click()
        await save(page, name="bands")
        await expect(page.locator("h1")).to_contain_text("bands")
