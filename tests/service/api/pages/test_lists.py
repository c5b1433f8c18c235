"""The lists of the pages: what they say of each row, and how they are filtered."""

import re
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any
from uuid import UUID

import httpx
import pytest

from service.api.pages import lists
from tests.service.api.conftest import Create

if TYPE_CHECKING:
    from tests.service.conftest import Trials, Worker

Names = Callable[..., Awaitable[list[str]]]
SPRITES = {"name": "sprites"}


@pytest.fixture(autouse=True)
async def _agent(worker: "Worker") -> None:
    await worker.announce(datasets={"digits": "d" * 64, "sprites": "e" * 64})


@pytest.fixture
def names(http: httpx.AsyncClient) -> Names:
    """The names that begin with `row` in a list, in the order of the page."""

    async def names(path: str, **fields: str) -> list[str]:
        answer = await http.get(path, params=fields or None)
        assert answer.status_code == 200
        kind = "/studies" if path.startswith("/?") or path == "/" else path
        return re.findall(rf'<a href="{kind}/[^"]+">(row \w+)</a>', answer.text)

    return names


@pytest.fixture
async def experiments(http: httpx.AsyncClient, worker: "Worker") -> None:
    """Three experiments, of which the second has ended."""
    specs: list[dict[str, Any]] = [
        {"name": "row a", "dataset": {"name": "digits"}, "model": {"beta": 2.0}},
        {"name": "row b", "dataset": SPRITES, "model": {}, "tags": {"kind": "first"}},
        {"name": "row c", "dataset": {"name": "digits"}, "model": {"name": "l2_ae"}},
    ]
    for spec in specs:
        answer = await http.post("/api/v1/experiments", json=spec)
        assert answer.status_code == 202
        if spec["name"] == "row b":
            run_id = UUID(answer.json()["runs"][0]["id"])
            await worker.claim(run_id)
            await worker.finish(run_id)
            await http.patch(f"/api/v1/runs/{run_id}", json={"name": "row b", "tags": {"x": "1"}})


@pytest.mark.usefixtures("experiments")
@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, "cba"),
        ({"q": "", "model": "", "dataset": "", "state": "", "tag": ""}, "cba"),
        ({"q": "ROW"}, "cba"),
        ({"q": "row b"}, "b"),
        ({"model": "beta_vae"}, "ba"),
        ({"dataset": "sprites"}, "b"),
        ({"dataset": "digits", "model": "l2_ae"}, "c"),
        ({"state": "succeeded"}, "b"),
        ({"tag": "kind"}, "b"),
        ({"tag": "kind=second"}, ""),
        ({"q": "100%"}, ""),
    ],
)
async def test_experiments_are_filtered(
    names: Names, fields: dict[str, str], expected: str
) -> None:
    assert await names("/experiments", **fields) == [f"row {letter}" for letter in expected]


@pytest.mark.usefixtures("experiments")
async def test_experiments_say_what_they_train(http: httpx.AsyncClient) -> None:
    shown = " ".join((await http.get("/experiments")).text.split())

    assert '<td>beta_vae</td><td>digits</td><td class="n">beta 2</td><td>1 queued</td>' in shown
    assert "<td>beta_vae</td><td>sprites</td>" in shown
    assert "<td>1 succeeded</td>" in shown
    assert '<td class="n">gamma ' in shown
    assert 'href="/experiments?tag=kind%3Dfirst">kind=first</a>' in shown


@pytest.mark.usefixtures("experiments")
async def test_runs_are_listed_and_filtered(names: Names, http: httpx.AsyncClient) -> None:
    shown = (await http.get("/runs")).text
    assert shown.count('name="run"') == 3
    rows = re.findall(r"<td>(\w+)</td><td class=\"n\">([^<]*)</td><td>(\w+)</td>", shown)
    assert rows[::2] == [("l2_ae", "gamma 0.001", "digits"), ("beta_vae", "beta 2", "digits")]
    assert shown.count('<td class="n">0</td><td class="n">3,000</td>') == 3
    for fields in ({"q": "row"}, {"state": "succeeded"}, {"tag": "x=1"}, {"dataset": "sprites"}):
        assert await names("/runs", **fields) == ["row b"]
    assert (await http.get("/runs", params={"model": "l2_ae"})).text.count('name="run"') == 1
    assert "No run matches this filter." in (await http.get("/runs?q=nothing")).text


@pytest.mark.usefixtures("experiments")
async def test_runs_say_to_which_experiment_or_trial_they_belong(
    create: Create,
    trials: "Trials",
    http: httpx.AsyncClient,
    statements: Callable[[str], Awaitable[int]],
) -> None:
    few = await statements("/runs")
    spec = {"name": "row d", "dataset": SPRITES, "model": {}, "seeds": [0, 1]}
    shared = (await http.post("/api/v1/experiments", json=spec)).json()
    study_id = await create(name="<study>")
    trial = await trials.begin(study_id, beta=3.0)

    assert await statements("/runs") == few
    shown = (await http.get("/runs")).text
    belongs = re.findall(r'<div class="quiet">(.*?)</div>', shown)
    first = re.findall(r'experiment <a href="/experiments/[^"]+">row b</a>', shown)
    assert belongs == [
        f'<a href="/experiments/{trial.experiment_id}">trial 0</a> of '
        f'<a href="/studies/{study_id}">&lt;study&gt;</a>',
        f'experiment <a href="/experiments/{shared["id"]}">row d</a>',
        belongs[2],
        f"{first[0]} and 1 more",
        belongs[4],
    ]
    assert ["row c" in belongs[2], "row a" in belongs[4]] == [True, True]


async def test_studies_are_filtered_and_say_what_they_search(
    names: Names, create: Create, http: httpx.AsyncClient, trials: "Trials"
) -> None:
    first = await create(name="row a")
    await create(name="row b", base={"dataset": SPRITES, "model": {}}, tags={"kind": "first"})
    await trials.begin(first, beta=2.0)
    await trials.end_study(first)

    shown = " ".join((await http.get("/")).text.split())
    assert "beta_vae on digits, beta 0.01..100 · 1 queued run " in shown
    assert "beta_vae on sprites, beta 0.01..100 <" in shown
    for fields, expected in (
        ({}, ["row b", "row a"]),
        ({"q": "b"}, ["row b"]),
        ({"dataset": "digits"}, ["row a"]),
        ({"state": "completed"}, ["row a"]),
        ({"tag": "kind=first"}, ["row b"]),
        ({"model": "l2_ae"}, []),
    ):
        assert await names("/", **fields) == expected
    assert "No study matches this filter." in (await http.get("/?model=l2_ae")).text


async def test_the_card_of_a_paused_study_says_so_in_a_sentence(
    create: Create, http: httpx.AsyncClient
) -> None:
    study_id = await create()
    await http.post(f"/api/v1/studies/{study_id}/pause")

    assert '<p class="headline">paused on request</p>' in (await http.get("/")).text
    (listed,) = (await http.get("/api/v1/studies")).json()["studies"]
    assert (listed["reason"], listed["message"]) == ("user", "paused on request")


async def test_a_search_of_several_fields_is_listed(
    create: Create, http: httpx.AsyncClient
) -> None:
    search: dict[str, Any] = {
        "model.beta": {"log_uniform": [0.01, 100]}, "training.batch_size": {"choices": [32, 64]},
    }  # fmt: skip
    await create(search=search, sampler="random")

    assert "beta 0.01..100, batch_size 32, 64" in (await http.get("/")).text


async def test_a_filter_stays_on_the_next_page(
    http: httpx.AsyncClient, create: Create, names: Names, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lists, "PAGE_SIZE", 1)
    for name in ("row a", "other", "row b"):
        await create(name=name)

    first = (await http.get("/", params={"q": "row", "state": "running"})).text
    (address,) = re.findall(r'<a href="(/\?[^"]+)">Older', first)
    assert await names(address.replace("&amp;", "&")) == ["row a"]
    assert 'value="row"' in first
    assert "<option selected>running</option>" in first


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("state=runnin", "Did you mean &#39;running&#39;?"),
        ("state=succeeded", "allowed: running, paused, completed, failed, cancelled"),
        ("q=%00", "printable"),
        ("tag=%20", "tag in this address"),
        (f"q={'a' * 101}", "at most 100"),
    ],
)
async def test_a_filter_that_cannot_be_is_refused_by_a_page(
    http: httpx.AsyncClient, query: str, words: str
) -> None:
    answer = await http.get(f"/?{query}")

    assert answer.status_code == 422
    assert words in answer.text


async def test_tags_and_notes_are_shown_as_text(http: httpx.AsyncClient, create: Create) -> None:
    study_id = await create(note="see <b>this</b>", tags={"lab/x": "<i>"})

    shown = (await http.get(f"/studies/{study_id}")).text
    assert '<p class="note">see &lt;b&gt;this&lt;/b&gt;</p>' in shown
    assert 'href="/?tag=lab/x%3D%3Ci%3E">lab/x=&lt;i&gt;</a>' in shown
