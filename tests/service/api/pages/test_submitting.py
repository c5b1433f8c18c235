"""The page for submitting: what it says of a draft, and what becomes of it."""

import re
import shutil
from collections.abc import Awaitable, Callable
from html import unescape
from typing import TYPE_CHECKING
from uuid import UUID

import httpx
import pytest
from playwright.async_api import expect

from polar.spec import ExperimentSpec, StudySpec, read_yaml
from service.api.door import Door
from service.api.pages import submitting
from service.api.pages.drafts import MOST_CHARACTERS, examples
from service.tokens import Scope

if TYPE_CHECKING:
    from tests.conftest import Reports
    from tests.service.api.pages.conftest import Look
    from tests.service.conftest import Worker

Rows = Callable[[], Awaitable[int]]

EXPERIMENT = """\
name: mine
dataset: {name: digits}
model: {name: beta_vae, beta: 2.0}
training: {steps: 500}
seeds: [0, 1]
"""
STUDY = """\
base: {dataset: {name: digits}, model: {}, training: {steps: 500}}
search: {model.beta: {log_uniform: [0.01, 100]}}
budget: {trials: 3}
"""
FAULTY = EXPERIMENT.replace("beta: 2.0", "beta: -1").replace("steps", "step")
in_a_browser = [
    pytest.mark.browser,
    pytest.mark.skipif(shutil.which("chromium") is None, reason="there is no chromium"),
]


@pytest.fixture(autouse=True)
async def _agent(worker: "Worker") -> None:
    await worker.announce()


async def words_of(http: httpx.AsyncClient, text: str, path: str = "/submit/check") -> str:
    """What the page says of a draft, without its marks."""
    answer = await http.post(path, data={"spec": text, "key": "k"})
    (part,) = re.findall(r'<div id="check".*?>(.*?)</form>', answer.text, re.DOTALL)
    return " ".join(unescape(re.sub("<[^>]+>", " ", part)).split())


def test_its_routes_are_for_those_who_may_submit() -> None:
    assert len(submitting.router.routes) == 3
    for route in submitting.router.routes:
        assert isinstance(route, Door)
        assert route.scope is Scope.SUBMIT


async def test_who_may_only_read_is_refused_by_a_page(http: httpx.AsyncClient) -> None:
    made = await http.post("/api/v1/tokens", json={"name": "reader", "scope": "read"})
    reader = {"Authorization": f"Bearer {made.json()['token']}"}

    for answer in (
        await http.get("/submit", headers=reader),
        await http.post("/submit", headers=reader, data={"spec": EXPERIMENT}),
    ):
        assert answer.status_code == 403
        assert "needs the scope &#39;submit&#39;" in answer.text


@pytest.mark.parametrize("path", ["/submit", "/submit/check"])
async def test_a_page_of_another_site_submits_nothing(
    http: httpx.AsyncClient, rows: Rows, path: str
) -> None:
    answer = await http.post(path, data={"spec": STUDY}, headers={"Origin": "http://evil.test"})

    assert (answer.status_code, await rows()) == (403, 0)


async def test_every_example_is_there_and_is_a_spec(http: httpx.AsyncClient) -> None:
    page = (await http.get("/submit")).text
    assert {"beta", "digits", "mnist"} <= set(examples())
    for name, text in examples().items():
        assert f'href="/submit?example={name}"' in page
        kind = StudySpec if "base" in read_yaml(text) else ExperimentSpec
        kind.from_yaml(text)
    shown = (await http.get("/submit?example=beta")).text
    assert "The study is valid" in shown
    assert examples()["beta"].splitlines()[-1] in shown
    assert (await http.get("/submit?example=nothing")).status_code == 404


async def test_faults_are_those_that_the_api_names(http: httpx.AsyncClient) -> None:
    refusal = (await http.post("/api/v1/experiments/validate", json=read_yaml(FAULTY))).json()
    assert [fault["pointer"] for fault in refusal["errors"]] == ["/model/beta", "/training/step"]

    said = await words_of(http, FAULTY)

    assert "2 faults" in said
    for fault in refusal["errors"]:
        assert f"{fault['pointer']} {fault['message']} (given: {fault['value']})" in said
        assert f"allowed: {fault['allowed']}" in said
    assert "Did you mean steps ?" in said


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "Write a spec"),
        ("a: [", "line 1"),
        ("a: 1\na: 2", "twice"),
        ("- 1", "this is not an object"),
        ("base: 1", "/search"),
        ("x" * (MOST_CHARACTERS + 1), "at most 100,000"),
        ("name: '<script>'", "/dataset"),
        (EXPERIMENT.replace("digits", "mnist"), "no agent for device auto has this dataset"),
    ],
)
async def test_what_cannot_be_submitted_says_why_and_stores_nothing(
    http: httpx.AsyncClient, rows: Rows, text: str, words: str
) -> None:
    assert words in await words_of(http, text)
    assert words in await words_of(http, text, "/submit")
    answer = await http.post("/submit", data={"spec": text})
    assert (answer.status_code, await rows()) == (422, 0)
    assert "<script>" not in answer.text


async def test_a_draft_has_its_bill(http: httpx.AsyncClient, rows: Rows) -> None:
    said = await words_of(http, EXPERIMENT)
    assert "The experiment is valid" in said
    assert "trainings 2 steps 1,000 time unknown" in said

    said = await words_of(http, STUDY)
    assert "The study is valid" in said
    assert "trainings 3 at most, if none of them exists already steps 1,500 at most" in said
    assert "after 3 completed trials" in said
    assert await rows() == 0


async def test_runs_that_exist_already_cost_nothing(http: httpx.AsyncClient) -> None:
    await http.post("/submit", data={"spec": EXPERIMENT, "key": "k"})

    said = await words_of(http, EXPERIMENT.replace("[0, 1]", "[0, 1, 2]"))
    assert "trainings 1; 2 more exist already steps 500" in said
    assert "time none, because all runs exist already" in await words_of(http, EXPERIMENT)


async def test_the_time_of_a_bill_is_that_of_the_latest_runs_like_these(
    http: httpx.AsyncClient, worker: "Worker", reports: "Reports"
) -> None:
    text = EXPERIMENT.replace("steps: 500", "steps: 500, batch_size: 100")
    made = await http.post("/api/v1/experiments", json=read_yaml(text))
    run_id = UUID(made.json()["runs"][0]["id"])
    await worker.claim(run_id)
    await worker.record(run_id, reports.progress(100))  # 1,000 images a second
    await worker.finish(run_id)
    three_more = text.replace("[0, 1]", "[2, 3, 4]")

    said = await words_of(http, three_more)
    await worker.announce(name="another")
    by_two = await words_of(http, three_more)

    assert "time 0:02:30 (0.1 s a step, 1 run at once)" in said
    assert "time 0:01:40 (0.1 s a step, 2 runs at once)" in by_two


@pytest.mark.parametrize(("text", "kind"), [(EXPERIMENT, "experiments"), (STUDY, "studies")])
async def test_a_form_that_is_sent_twice_submits_once(
    http: httpx.AsyncClient, rows: Rows, text: str, kind: str
) -> None:
    first = await http.post("/submit", data={"spec": text, "key": "k"})
    stored = await rows()
    again = await http.post("/submit", data={"spec": text, "key": "k"})

    assert first.status_code == again.status_code == 303
    assert first.headers["location"] == again.headers["location"]
    assert first.headers["location"].startswith(f"/{kind}/")
    assert await rows() == stored > 0
    assert (await http.get(first.headers["location"])).status_code == 200


async def test_who_goes_back_and_changes_the_text_submits_another(
    http: httpx.AsyncClient,
) -> None:
    first = await http.post("/submit", data={"spec": EXPERIMENT, "key": "k"})
    other = await http.post("/submit", data={"spec": EXPERIMENT + "# more\n", "key": "k"})

    assert other.status_code == 303
    assert first.headers["location"] != other.headers["location"]


async def test_a_study_is_submitted_again_from_its_own_page(
    http: httpx.AsyncClient, create: Callable[..., Awaitable[UUID]]
) -> None:
    study_id = await create(name="ours")
    assert f"/submit?study={study_id}" in (await http.get(f"/studies/{study_id}")).text

    shown = (await http.get(f"/submit?study={study_id}")).text

    assert "name: ours" in shown
    assert "The study is valid" in shown
    assert (await http.get(f"/submit?run={study_id}")).status_code == 404


class TestInABrowser:
    pytestmark = in_a_browser

    async def test_a_draft_is_checked_while_it_is_written_and_submitted(
        self, look: "Look"
    ) -> None:
        async with look("/submit", width=390) as page:
            text, check = page.get_by_label("Spec, in YAML or JSON"), page.locator("#check")
            await text.fill(FAULTY)
            await expect(check).to_contain_text("2 faults")
            await expect(check).to_contain_text("/model/beta this is too small (given: -1)")

            await text.fill(STUDY)
            await expect(check).to_contain_text("The study is valid")
            assert await page.evaluate("document.documentElement.scrollWidth") == 390

            await page.get_by_role("button", name="Submit").click()
            await expect(page.get_by_role("heading", level=1)).to_contain_text("running")
            assert "/studies/" in page.url

    async def test_who_goes_back_finds_their_draft_and_submits_it_once(
        self, look: "Look", rows: Rows
    ) -> None:
        async with look("/submit?example=digits") as page:
            text = page.get_by_label("Spec, in YAML or JSON")
            await text.fill(EXPERIMENT)
            await page.get_by_role("button", name="Submit").click()
            await page.wait_for_url("**/experiments/*")
            first, stored = page.url, await rows()

            await page.go_back()
            await expect(text).to_have_value(EXPERIMENT)
            await expect(page.locator("#check")).to_contain_text("The experiment is valid")
            await page.get_by_role("button", name="Submit").click()
            await page.wait_for_url("**/experiments/*")
            assert (page.url, await rows()) == (first, stored)

            await page.get_by_role("link", name="Submit", exact=True).click()
            await expect(text).to_have_value("")

    async def test_a_draft_ends_with_its_login(
        self, look: "Look", http: httpx.AsyncClient
    ) -> None:
        async def new_login() -> str:
            made = await http.post("/api/v1/login-links", params={"scope": "steer"})
            return str(made.json()["url"])

        async with look("/submit") as page:
            text = page.get_by_label("Spec, in YAML or JSON")
            await text.fill("name: secret")
            await page.get_by_role("button", name="Log out").click()
            await expect(page.get_by_role("heading", level=1)).to_contain_text("is logged out")
            assert await page.evaluate("sessionStorage.length") == 0
            await page.goto(await new_login())
            await page.evaluate("history.go(-2)")
            await page.wait_for_url("**/submit")
            await expect(text).to_have_value("")

            await text.fill("name: secret")
            await page.goto("/runs")
            # as in another tab of this browser
            await page.request.post("/logout")
            await page.request.get(await new_login())
            await page.go_back()
            await expect(page.locator("#check")).to_contain_text("Write a spec")
            await expect(text).to_have_value("")
