"""Pages that stay open: what comes later is shown without loading them again."""

import shutil
from typing import TYPE_CHECKING
from uuid import UUID

import pytest
from playwright.async_api import Route, expect

from service.storage.states import FindingsState
from service.storage.tables import FindingsRow

if TYPE_CHECKING:
    import httpx

    from service.storage.database import Database
    from tests.conftest import Reports
    from tests.service.api.pages.conftest import Look
    from tests.service.conftest import SpecMaker, Submitter, Trials, Worker

BAND = {
    "left": {"low": 0.1, "high": 0.2, "confidence": 0.9},
    "right": {"low": 10.0, "high": 20.0, "confidence": 0.9},
}
#: The texts of charts that lie over each other or beyond the window.
FAULTS_OF_CHARTS = """() => {
    const faults = [];
    for (const chart of document.querySelectorAll(".chart > svg")) {
        const texts = [...chart.querySelectorAll("text")]
            .filter((text) => getComputedStyle(text).display !== "none")
            .map((text) => [text.textContent, text.getBoundingClientRect()]);
        texts.forEach(([word, box], place) => {
            if (box.left < 0 || box.right > innerWidth) faults.push(`cut: ${word}`);
            for (const [other, its] of texts.slice(place + 1)) {
                const isApart = box.right <= its.left || its.right <= box.left
                    || box.bottom - 2 <= its.top || its.bottom - 2 <= box.top;
                if (!isApart) faults.push(`${word} over ${other}`);
            }
        });
    }
    return faults;
}"""

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(shutil.which("chromium") is None, reason="there is no chromium"),
]


async def test_a_range_its_edges_and_its_figures_come_while_a_study_is_watched(
    look: "Look", study_id: UUID, trials: "Trials"
) -> None:
    async with look(f"/studies/{study_id}") as page:
        await page.evaluate("window.isTheSame = true")
        await expect(page.locator(".headline")).to_contain_text("comes with the first completed")
        await expect(page.get_by_role("heading", name="Edges")).to_have_count(0)
        await expect(page.get_by_role("link", name="phase diagram (SVG)")).to_have_count(0)

        seen = [{"regime": "clean", "steps": 30, "n_active": 3, "settled": True}]
        await trials.end(await trials.begin(study_id, beta=5.0), 0.5, observations=seen)
        await trials.find(study_id, headline="found", intervals=[BAND], envelope=BAND)

        await expect(page.locator(".answer")).to_have_text(
            "Trainings are clean for beta 0.2 to 10"
        )
        await expect(page.get_by_role("heading", name="Edges")).to_be_visible()
        await expect(page.get_by_role("link", name="phase diagram (SVG)")).to_be_visible()
        assert await page.evaluate("window.isTheSame")


async def test_a_study_that_somebody_else_pauses_can_be_resumed(
    look: "Look", study_id: UUID, http: "httpx.AsyncClient"
) -> None:
    async with look(f"/studies/{study_id}") as page:
        await page.evaluate("window.isTheSame = true")
        await expect(page.get_by_role("button", name="Tell me when it ends")).to_be_visible()

        await http.post(f"/api/v1/studies/{study_id}/pause")

        await expect(page.get_by_role("button", name="Resume")).to_be_visible()
        await expect(page.get_by_role("button", name="Pause")).to_have_count(0)
        await expect(page.get_by_role("button", name="Tell me when it ends")).to_be_visible()
        assert await page.evaluate("window.isTheSame")


async def test_the_latents_of_a_run_come_with_its_first_evaluation(
    look: "Look",
    submit: "Submitter",
    spec_of: "SpecMaker",
    worker: "Worker",
    reports: "Reports",
) -> None:
    run_id = (await submit(spec_of())).runs[0].id
    async with look(f"/runs/{run_id}") as page:
        await page.evaluate("window.isTheSame = true")
        await expect(page.locator("#latents h2")).to_have_count(0)

        await worker.claim(run_id)
        await worker.record(run_id, reports.progress(10), reports.evaluation(50))

        await expect(page.locator("#latents h2")).to_have_text("Latents at step 50")
        await expect(page.locator(".curve")).to_have_count(3)
        assert await page.evaluate("window.isTheSame")


async def test_the_findings_of_a_run_come_as_soon_as_they_are_made(
    look: "Look",
    run_id: UUID,
    spec_of: "SpecMaker",
    worker: "Worker",
    reports: "Reports",
    database: "Database",
) -> None:
    result = reports.result(spec_of()).model_copy(update={"summary": None})
    await worker.record(run_id, reports.evaluation(100), result)
    await worker.finish(run_id)
    async with look(f"/runs/{run_id}") as page:
        await page.get_by_role("button", name="Make them now").click()
        await expect(page.get_by_text("come here as soon as they are")).to_be_visible()

        async with database.transaction() as session:
            (await session.get_one(FindingsRow, run_id)).state = FindingsState.MADE

        await expect(page.get_by_text("come here as soon as they are")).to_have_count(0)


@pytest.mark.parametrize("width", [390, 1600])
async def test_charts_fit_into_their_window_and_their_texts_lie_apart(
    look: "Look",
    study_id: UUID,
    width: int,
    trials: "Trials",
    run_id: UUID,
    worker: "Worker",
    reports: "Reports",
) -> None:
    await trials.find(study_id, headline="found", intervals=[BAND], envelope=BAND)
    await worker.record(run_id, reports.progress(10), reports.evaluation(50))
    paths = (f"/studies/{study_id}", f"/runs/{run_id}", f"/overlay?study={study_id}")
    async with look(width=width) as page:
        for path in paths:
            await page.goto(path)
            await expect(page.locator(".chart").first).to_be_visible()
            assert await page.evaluate(FAULTS_OF_CHARTS) == [], path


async def test_a_button_says_that_it_has_copied_though_its_page_changed_meanwhile(
    look: "Look", study_id: UUID, trials: "Trials"
) -> None:
    seen = [{"regime": "clean", "steps": 30, "settled": True}]
    await trials.end(await trials.begin(study_id, beta=5.0), 0.5, observations=seen)
    async with look(f"/studies/{study_id}") as page:
        rows = page.locator("#trials tbody tr")
        n_rows = await rows.count()

        async def answer_slowly(route: Route) -> None:
            await trials.begin(study_id, beta=9.0)
            await expect(rows).to_have_count(n_rows + 1)
            await route.fulfill(body="trial")

        await page.route("**/trials.csv", answer_slowly)
        await page.context.grant_permissions(["clipboard-read", "clipboard-write"])
        button = page.get_by_role("button", name="Copy CSV")
        await button.click()

        await expect(page.get_by_role("button", name="copied")).to_be_visible()
        await expect(page.get_by_role("button", name="copied")).to_have_count(0)
        await expect(button).to_be_visible()
