"""The pages in a real browser: on every width, by keyboard, and while things change."""

import shutil
from typing import TYPE_CHECKING
from uuid import UUID

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import expect

from service.storage import runs
from service.storage.database import Database
from service.storage.states import RunState

if TYPE_CHECKING:
    import httpx

    from tests.conftest import Reports
    from tests.service.api.pages.conftest import Look, Scheme
    from tests.service.conftest import SpecMaker, Submitter, Trials, Worker

NAME = "a" * 60

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(shutil.which("chromium") is None, reason="there is no chromium"),
]


@pytest.mark.parametrize(("width", "scheme"), [(390, "dark"), (1600, "light")])
async def test_nothing_is_wider_than_the_window(
    look: "Look", study_id: UUID, width: int, scheme: "Scheme"
) -> None:
    async with look(width=width, scheme=scheme) as page:
        for path in ("/", f"/studies/{study_id}", "/experiments", "/runs", "/submit", "/agents"):
            answer = await page.goto(path)
            assert answer is not None
            assert answer.ok, path
            assert await page.evaluate("document.documentElement.scrollWidth") == width, path


@pytest.mark.parametrize("scheme", ["dark", "light"])
async def test_axe_finds_no_serious_fault(look: "Look", study_id: UUID, scheme: "Scheme") -> None:
    async with look(scheme=scheme) as page:
        await page.goto(f"/studies/{study_id}")
        run = await page.locator("#trials a").first.get_attribute("href")
        lists = ("/", "/experiments", "/runs", "/agents")
        for path in (*lists, "/submit?example=beta", "/compare", f"{run}", f"/studies/{study_id}"):
            answer = await page.goto(path)
            assert answer is not None
            assert answer.ok, path
            found = (await Axe().run(page)).response["violations"]
            serious = [fault for fault in found if fault["impact"] in ("serious", "critical")]
            assert [(fault["id"], fault["nodes"][0]["html"]) for fault in serious] == [], path


@pytest.mark.usefixtures("study_id")
async def test_a_mark_of_the_diagram_leads_to_its_run_by_keyboard(look: "Look") -> None:
    async with look() as page:
        await page.get_by_role("link", name=NAME).focus()
        await page.keyboard.press("Enter")
        mark = page.get_by_role("link", name="20, seed 0: queued")
        while not await mark.evaluate("mark => mark === document.activeElement"):
            await page.keyboard.press("Tab")
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("heading", level=1)).to_contain_text("queued")


async def test_a_study_is_watched_without_reloading(
    look: "Look", study_id: UUID, trials: "Trials"
) -> None:
    async with look(f"/studies/{study_id}") as page:
        await page.evaluate("window.isTheSame = true")
        await expect(page.locator("#trials tbody tr")).to_have_count(2)

        await trials.end(await trials.begin(study_id, beta=7.0), 0.25, regimes=["collapsed"])

        await expect(page.locator("#trials tbody tr")).to_have_count(3)
        await expect(page.get_by_role("link", name="7, seed 0: collapsed").first).to_be_visible()
        assert await page.evaluate("window.isTheSame")


async def test_a_page_that_gets_no_news_any_more_says_so(look: "Look", study_id: UUID) -> None:
    async with look() as page:
        await page.route("**/live/**", lambda route: route.fulfill(status=401))
        await page.goto(f"/studies/{study_id}")
        await expect(page.get_by_role("status")).to_contain_text("no longer follows what goes on")


async def test_a_page_whose_stream_was_refused_follows_again_once_it_may(
    look: "Look", study_id: UUID, trials: "Trials"
) -> None:
    # A service that begins, or the proxy before it, answers 503 where it cannot be asked yet.
    async with look() as page:
        await page.route("**/live/**", lambda route: route.fulfill(status=503), times=1)
        await page.goto(f"/studies/{study_id}")
        await expect(page.get_by_role("status")).to_contain_text("no longer follows what goes on")
        await trials.begin(study_id, beta=7.0)

        await expect(page.locator("#trials tbody tr")).to_have_count(3, timeout=30_000)

        await expect(page.locator("#said")).to_have_text("")


async def test_a_study_is_paused_and_resumed(look: "Look", study_id: UUID) -> None:
    async with look(f"/studies/{study_id}") as page:
        await page.get_by_role("button", name="Pause").click()
        await page.get_by_role("button", name="Resume").click()
        await expect(page.get_by_role("button", name="Pause")).to_be_visible()


async def test_a_run_is_watched_to_its_end(
    look: "Look", run_id: UUID, spec_of: "SpecMaker", worker: "Worker", reports: "Reports"
) -> None:
    await worker.record(run_id, reports.progress(10), reports.evaluation(50))
    async with look(f"/runs/{run_id}") as page:
        await expect(page.locator("#latents h2")).to_have_text("Latents at step 50")

        await worker.record(run_id, reports.evaluation(100), reports.result(spec_of()))
        await worker.finish(run_id)

        await expect(page.locator("#latents h2")).to_have_text("Latents at step 100")
        await expect(page.locator("h1 .state")).to_have_text("succeeded")


async def test_who_may_only_read_is_told_so(look: "Look", study_id: UUID) -> None:
    async with look(f"/studies/{study_id}", scope="read") as page:
        await page.get_by_role("button", name="Pause").click()
        await expect(page.get_by_role("status")).to_contain_text("needs the scope 'steer'")


async def test_a_study_is_named_tagged_and_annotated(
    look: "Look", study_id: UUID, http: "httpx.AsyncClient"
) -> None:
    path = f"/api/v1/studies/{study_id}"
    async with look(f"/studies/{study_id}", scope="submit") as page:
        await http.patch(path, json={"tags": {"of": "another", "gone": ""}})
        await page.reload()
        await http.patch(path, json={"note": "written meanwhile"})
        await page.get_by_text("Name, tags and note").click()
        await page.get_by_label("Name").fill("<b>mine</b>")
        await page.get_by_label("Tags, each").fill("of=another\nproject = a=b\n\ngood\n")
        await page.get_by_role("button", name="Save").click()
        await expect(page.get_by_role("heading", level=1)).to_contain_text("<b>mine</b>")
        await expect(page.get_by_label("Tags", exact=True)).to_contain_text("project=a=b")

        await page.get_by_text("Name, tags and note").click()
        await page.get_by_label("Tags, each").fill("a b")
        await page.get_by_role("button", name="Save").click()
        await expect(page.get_by_role("status")).to_contain_text("cannot be the key of a tag")

    study = (await http.get(path)).json()
    assert study["tags"] == {"of": "another", "project": "a=b", "good": ""}
    assert study["note"] == "written meanwhile"


async def test_without_script_no_button_is_shown_that_would_do_nothing(
    look: "Look", study_id: UUID
) -> None:
    of_script = "[data-post], [data-copy], [data-curl], [data-fetch], .describe"
    async with look(f"/studies/{study_id}", has_script=False) as page:
        await expect(page.locator("noscript p")).to_be_visible()
        await expect(page.locator(of_script).filter(visible=True)).to_have_count(0)
        assert await page.locator(of_script).count() > 5
        await page.get_by_role("button", name="Log out").click()
        await expect(page.get_by_role("heading", level=1)).to_contain_text("is logged out")

    async with look(f"/studies/{study_id}") as page:
        await expect(page.get_by_text("Name, tags and note")).to_be_visible()
        await expect(page.locator("noscript p")).to_have_count(0)


async def test_the_end_of_a_study_is_told_to_who_asked(
    look: "Look", study_id: UUID, trials: "Trials"
) -> None:
    stand_in = """window.Notification = class {
        static requestPermission() { return Promise.resolve("granted"); }
        constructor(title, { body }) { sessionStorage.setItem("told", `${title} | ${body}`); }
    };"""
    async with look() as page:
        await page.add_init_script(stand_in)
        await page.goto(f"/studies/{study_id}")
        await expect(page).to_have_title(f"{NAME}: running - Polar")
        await page.get_by_role("button", name="Tell me when it ends").click()
        await expect(page.get_by_role("status")).to_contain_text("tells you when it ends")

        await trials.end_study(study_id, headline="Clean from 1 to 2.")

        await expect(page).to_have_title(f"{NAME}: completed - Polar")
        await expect(page.locator("h1 .state")).to_have_text("completed")
        told = await page.evaluate("sessionStorage.getItem('told')")
        assert told == f"{NAME}: completed - Polar | Clean from 1 to 2."


async def test_what_is_copied_can_be_pasted(look: "Look", study_id: UUID, served: str) -> None:
    async with look() as page:
        await page.context.grant_permissions(["clipboard-read", "clipboard-write"])
        await page.goto(f"/studies/{study_id}")
        await page.get_by_role("button", name="Copy curl").click()
        await expect(page.get_by_role("button", name="copied")).to_be_visible()
        assert await page.evaluate("navigator.clipboard.readText()") == (
            f'curl -H "Authorization: Bearer $POLAR_TOKEN" "{served}/api/v1/studies/{study_id}"'
        )


async def test_tables_and_figures_are_copied_as_text(
    look: "Look", study_id: UUID, http: "httpx.AsyncClient", trials: "Trials"
) -> None:
    api = f"/api/v1/studies/{study_id}"
    seen = [{"regime": "clean", "steps": 30, "n_active": 3, "settled": True}]
    await trials.end(await trials.begin(study_id, beta=5.0), 0.5, observations=seen)
    async with look(f"/studies/{study_id}") as page:
        await page.context.grant_permissions(["clipboard-read", "clipboard-write"])
        for word, name in (("Copy CSV", "trials.csv"), ("Copy SVG", "figures/phase_diagram.svg")):
            button = page.get_by_role("button", name=word).first
            await button.click()
            # on a busy machine a figure may take long to draw
            await expect(page.get_by_role("button", name="copied")).to_be_visible(timeout=60_000)
            pasted = await page.evaluate("navigator.clipboard.readText()")
            assert pasted.splitlines() == (await http.get(f"{api}/{name}")).text.splitlines()
            await expect(button).to_have_text(word)

        await button.evaluate("button => { button.dataset.fetch = '/api/v1/runs/0000'; }")
        await button.click()
        await expect(page.get_by_role("status")).to_have_text("there is no run 0000")
        assert await page.evaluate("navigator.clipboard.readText()") == pasted


async def test_a_failed_run_that_is_tried_again_leads_to_the_new_experiment(
    look: "Look",
    submit: "Submitter",
    spec_of: "SpecMaker",
    worker: "Worker",
    database: Database,
) -> None:
    await worker.announce()
    submission = await submit(spec_of(name="mine"))
    run_id = submission.runs[0].id
    await worker.claim(run_id)
    message = f"Traceback (most recent call last):\n  File {'a' * 300}\nValueError: {'b' * 300}"
    async with database.transaction() as session:
        await runs.finish(session, run_id, 1, RunState.FAILED, reason="bug", message=message)
    async with look(f"/runs/{run_id}", width=390, scope="submit") as page:
        await page.get_by_text("Whole message").click()
        assert await page.evaluate("document.documentElement.scrollWidth") == 390
        note = page.locator("[data-describe] [name=note]")
        await note.evaluate("field => { field.value = 'mine'; }")
        await page.get_by_role("button", name="Try again").click()
        said = page.get_by_role("status")
        await expect(said).to_contain_text("so that what you write is not lost")
        await note.evaluate("field => { field.value = field.defaultValue; }")

        await page.get_by_role("button", name="Try again").click()

        await page.wait_for_url("**/experiments/*")
        assert str(submission.experiment.id) not in page.url
        await expect(page.locator("h1")).to_contain_text("mine queued")
