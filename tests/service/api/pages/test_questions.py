"""What a researcher asks: each answer is at most two clicks away (docs/pages.md)."""

import re
from collections.abc import Awaitable, Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

import httpx
import pytest

from polar.records.events import MODEL_FILE, ArtifactSaved
from service.storage import experiments, runs
from service.storage.database import Database
from service.storage.states import RunState
from service.storage.tables import Run
from tests.service.api.conftest import Create

if TYPE_CHECKING:
    from tests.conftest import Reports
    from tests.service.conftest import SpecMaker, Trials, Worker

Ask = Callable[..., Awaitable[str]]
PAGE = Path(__file__).parents[4] / "docs" / "pages.md"
NAME = "my study"
EDGE = {"low": 1.0, "high": 2.0, "confidence": 0.9}
MOVING = {"is_settled": False, "factor": 2.0, "low": 1.5, "high": 3.0}


class Links(HTMLParser):
    """The addresses of a page by their words."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: dict[str, str] = {}
        self._address: str | None = None
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "a":
            self._address = given.get("href")
            self._keep(given.get("aria-label"))

    def handle_endtag(self, tag: str) -> None:
        if tag == "a":
            self._address = None

    def handle_data(self, data: str) -> None:
        self._keep(data)

    def _keep(self, words: str | None) -> None:
        if self._address and words:
            self.found.setdefault(words.strip(), self._address)


@pytest.fixture
def ask(http: httpx.AsyncClient) -> Ask:
    """The words of the page that these clicks lead to, each on a link that begins so."""

    async def ask(*clicks: str) -> str:
        assert len(clicks) <= 2
        text = (await http.get("/")).text
        for click in clicks:
            links = Links(text).found
            address = next(address for words, address in links.items() if words.startswith(click))
            text = (await http.get(address)).text
        return " ".join(re.sub(r"<[^>]+>", " ", text).split())

    return ask


@pytest.fixture
async def seeds(
    create: Create,
    trials: "Trials",
    worker: "Worker",
    reports: "Reports",
    spec_of: "SpecMaker",
    database: Database,
) -> list[Run]:
    """A study of which a trial with two seeds has succeeded and failed, with its band."""
    await worker.announce()
    study_id = await create(name=NAME, base=spec_of.as_json(seeds=[0, 1]), sampler="random")
    trial = await trials.begin(study_id, beta=2.0)
    async with database.transaction() as session:
        succeeded, failed = await experiments.runs_of(session, trial.experiment_id)
    for run in (succeeded, failed):
        await worker.claim(run.id)
        await worker.record(run.id, reports.progress(40), reports.evaluation(50))
    saved = ArtifactSaved(name=MODEL_FILE, path=f"runs/{succeeded.id}/{MODEL_FILE}")
    await worker.record(succeeded.id, saved, reports.result(spec_of()))
    await worker.finish(succeeded.id)
    async with database.transaction() as session:
        why = {"reason": "diverged", "message": "the loss is no number at step 60"}
        await runs.finish(session, failed.id, 1, RunState.FAILED, **why)
    seen = [
        {"regime": "clean", "steps": 30, "settled": True},
        {"regime": "forming", "flaws": ["idle"], "steps": 30, "settled": False},
    ]
    await trials.end(trial, 0.5, regimes=["clean", "forming"], observations=seen)
    band = {"left": EDGE | {"movement": MOVING}, "right": EDGE}
    await trials.end_study(
        study_id,
        headline="Clean from 1..2 to 1..2.",
        outcome="found",
        intervals=[band],
        envelope=band,
        disagreeing=[2.0],
    )
    return [succeeded, failed]


@pytest.mark.usefixtures("seeds")
async def test_which_beta_is_clean(ask: Ask) -> None:
    assert "Clean from 1..2 to 1..2." in await ask()


@pytest.mark.usefixtures("seeds")
async def test_is_it_converged(ask: Ask) -> None:
    assert "1 of 2 trainings settled" in await ask(NAME)


async def test_what_does_latent_1_do(ask: Ask, seeds: list[Run]) -> None:
    shown = await ask(NAME, str(seeds[0].id)[:8])

    assert "1 passive 0.01" in shown
    assert "Latents at step 50" in shown


async def test_why_did_a_run_fail(ask: Ask, seeds: list[Run]) -> None:
    assert "the loss is no number at step 60" in await ask(NAME, str(seeds[1].id)[:8])


async def test_what_runs_now_and_when_is_it_done(
    ask: Ask, run_id: UUID, worker: "Worker", reports: "Reports"
) -> None:
    await worker.record(run_id, reports.progress(40))

    shown = await ask("Agents")
    assert str(run_id)[:8] in shown
    assert "0:01:00" in shown


@pytest.mark.usefixtures("seeds")
async def test_do_seeds_agree(ask: Ask) -> None:
    assert "seeds disagree at 2" in await ask(NAME)


async def test_that_seeds_agree_is_said_too(
    ask: Ask, create: Create, trials: "Trials", worker: "Worker", spec_of: "SpecMaker"
) -> None:
    await worker.announce()
    study_id = await create(name=NAME, base=spec_of.as_json(seeds=[0, 1]), sampler="random")
    seen = [{"regime": "clean", "steps": 30, "settled": True}] * 2
    trial = await trials.begin(study_id, beta=2.0)
    await trials.end(trial, 0.5, regimes=["clean"] * 2, observations=seen)
    band = {"left": EDGE, "right": EDGE | {"low": 3.0, "high": 4.0}}
    await trials.end_study(study_id, outcome="open", intervals=[band], envelope=band)

    shown = await ask(NAME)
    assert "seeds agree" in shown
    assert "disagree" not in shown


@pytest.mark.usefixtures("seeds")
async def test_does_the_band_move_with_steps(ask: Ask) -> None:
    assert "moving by 2 per doubling" in await ask(NAME)


async def test_how_do_two_runs_differ(
    ask: Ask,
    http: httpx.AsyncClient,
    seeds: list[Run],
    trials: "Trials",
    worker: "Worker",
    reports: "Reports",
    database: Database,
) -> None:
    (study,) = (await http.get("/api/v1/studies")).json()["studies"]
    trial = await trials.begin(UUID(study["id"]), beta=3.0)
    async with database.transaction() as session:
        other, _ = await experiments.runs_of(session, trial.experiment_id)
    await worker.claim(other.id)
    await worker.record(other.id, reports.progress(40), reports.evaluation(50))
    await worker.finish(other.id)

    shown = " ".join((await ask(NAME, "Compare the last two")).split())

    assert "2 runs compared" in shown
    for run in (seeds[0], other):
        assert str(run.id)[:8] in shown
    assert "model.beta 2 3" in shown


async def test_do_studies_agree(
    ask: Ask, http: httpx.AsyncClient, create: Create, trials: "Trials", worker: "Worker"
) -> None:
    await worker.announce()
    ids = [await create(), await create()]
    for study_id, left in zip(ids, (1.0, 5.0), strict=True):
        edges = {"left": {**EDGE, "low": left, "high": left}, "right": {**EDGE, "low": 7.0}}
        edges["right"]["high"] = 8.0
        await trials.end_study(study_id, outcome="found", intervals=[edges], envelope=edges)
    assert "Overlay the ticked studies" in await ask()

    laid = (await http.get("/overlay", params={"study": list(map(str, ids))})).text
    assert "The left edges differ: 1..1 in " in laid
    assert "The right edges may lie at the same weight" in laid


async def test_where_are_the_weights(ask: Ask, seeds: list[Run]) -> None:
    assert "weights (safetensors)" in await ask(NAME, str(seeds[0].id)[:8])


async def test_how_is_it_repeated(ask: Ask, seeds: list[Run]) -> None:
    for clicks in ((NAME,), (NAME, str(seeds[0].id)[:8])):
        shown = await ask(*clicks)
        assert "how to repeat this" in shown
        assert "&#34;name&#34;: &#34;digits&#34;" in shown


async def test_all_that_can_be_copied_stands_in_the_same_order(
    http: httpx.AsyncClient, seeds: list[Run]
) -> None:
    (study,) = (await http.get("/api/v1/studies")).json()["studies"]
    (experiment,) = (await http.get("/api/v1/experiments")).json()["experiments"]
    paths = {
        f"/studies/{study['id']}": "polar study show",
        f"/experiments/{experiment['id']}": "polar watch",
        f"/runs/{seeds[0].id}": "polar get",
    }
    for path, command in paths.items():
        home = (await http.get(path)).text.partition("<h2>Take home</h2>")[2]
        buttons = re.findall(r">(Copy [^<]+)</button>", home)
        assert buttons[:5] == [
            "Copy id", "Copy curl", "Copy command", "Copy Python", "Copy spec",
        ]  # fmt: skip
        whole = f"{command} {path.rpartition('/')[2]} --url ORIGIN"
        assert f'data-copy-here="{whole}"' in home


async def test_what_would_this_cost(ask: Ask, worker: "Worker") -> None:
    await worker.announce()
    shown = await ask("Submit", "beta")
    assert "The study is valid" in shown
    assert "trainings 16 at most" in shown


#: Tests that answer no question of their own.
NO_QUESTIONS = {
    "test_that_seeds_agree_is_said_too",
    "test_all_that_can_be_copied_stands_in_the_same_order",
    "test_the_document_lists_every_question",
}


def test_the_document_lists_every_question() -> None:
    tests = re.findall(r"`(test_\w+)`", PAGE.read_text())

    assert len(tests) == 12
    assert set(tests) == {
        name for name in globals() if name.startswith("test_") and name not in NO_QUESTIONS
    }
