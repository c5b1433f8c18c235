"""The pages: who may see them, what they say, and what nobody can slip into them."""

import re
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import httpx
import pytest

from service.api import links
from service.api.door import Door
from service.api.pages import lists, live, rendering, routes, studies
from service.api.pages.rendering import HEADERS
from service.api.pages.routes import router
from service.storage.database import Database
from service.storage.metrics import add_of_system
from service.tokens import Scope
from tests.service.api.conftest import Create

if TYPE_CHECKING:
    from tests.conftest import Reports
    from tests.service.conftest import SpecMaker, Submitter, Trials, Worker

HOSTILE = "</title><script>alert('x')</script>\"'&"


def paths() -> list[str]:
    return [route.path for route in router.routes]  # type: ignore[attr-defined]


@pytest.fixture(autouse=True)
async def _agent(worker: "Worker") -> None:
    await worker.announce()


@pytest.mark.parametrize("path", paths())
async def test_a_page_is_for_those_who_are_let_in(http: httpx.AsyncClient, path: str) -> None:
    path = path.format(study_id=uuid4(), run_id=uuid4(), experiment_id=uuid4())
    answer = await http.get(path, headers={"Authorization": ""})

    assert (answer.status_code, answer.headers["content-type"]) == (
        401,
        "text/html; charset=utf-8",
    )
    assert "polar login" in answer.text


def test_no_template_spells_an_address_of_the_api() -> None:
    templates = list((Path(routes.__file__).parent / "templates").iterdir())

    assert len(templates) > 10
    assert [each.name for each in templates if links.PREFIX in each.read_text()] == []


def test_every_page_and_stream_has_a_door() -> None:
    shown = [*router.routes, *live.router.routes]
    assert len(shown) >= 10
    assert all(isinstance(route, Door) and route.scope is Scope.READ for route in shown)


@pytest.mark.parametrize("path", ["/", "/experiments", "/runs", "/agents"])
async def test_an_empty_service_has_its_pages(http: httpx.AsyncClient, path: str) -> None:
    answer = await http.get(path)

    assert answer.status_code == 200
    assert (
        HEADERS.items() <= {name.title(): value for name, value in answer.headers.items()}.items()
    )


@pytest.mark.parametrize("kind", ["studies", "runs", "experiments"])
@pytest.mark.parametrize("id", [str(UUID(int=1)), "nothing", "%3Cscript%3E"])
async def test_what_is_not_there_is_answered_by_a_page(
    http: httpx.AsyncClient, kind: str, id: str
) -> None:
    answer = await http.get(f"/{kind}/{id}")

    assert answer.status_code == 404
    assert "This page cannot be shown" in answer.text
    assert "<script>" not in answer.text


async def test_what_users_write_stays_text(
    http: httpx.AsyncClient, create: Create, worker: "Worker"
) -> None:
    await worker.announce(name=HOSTILE)
    study_id = await create(name=HOSTILE)

    for path in ("/", f"/studies/{study_id}", "/agents"):
        text = (await http.get(path)).text
        assert "<script>alert" not in text
        assert escape(HOSTILE, quote=False).replace('"', "&#34;").replace("'", "&#39;") in text


async def test_a_study_shows_its_trainings_and_leads_to_their_runs(
    http: httpx.AsyncClient, create: Create, trials: "Trials"
) -> None:
    study_id = await create()
    seen = [{"regime": "clean", "steps": 30, "settled": True}]
    trial = await trials.begin(study_id, beta=2.0)
    await trials.end(trial, 0.5, explained=0.75, observations=seen)
    waiting = await trials.begin(study_id, beta=20.0)
    trial_page = (await http.get(f"/api/v1/experiments/{waiting.experiment_id}")).json()
    run_id = trial_page["runs"][0]["id"]

    text = (await http.get(f"/studies/{study_id}")).text
    assert (
        f'<a href="/runs/{run_id}" class="mark waiting"><title>20, seed 0: queued</title>' in text
    )
    assert "2, seed 0: clean; P 0.50, R 0.75; settled" in text
    assert "1 of 1 trainings settled" in text
    assert f'data-live="/live/studies/{study_id}"' in text

    listed = (await http.get("/")).text
    assert f'<a href="/studies/{study_id}">' in listed
    assert "1 completed, 1 running of 3 wanted" in " ".join(listed.split())


def test_a_measure_that_is_about_nothing_has_no_sign() -> None:
    shown = [rendering.hundredths(value) for value in (-0.004, 0.004, -0.006, 0.996)]

    assert shown == ["0.00", "0.00", "-0.01", "1.00"]


async def test_a_study_says_where_its_edges_lie_and_how_they_move(
    http: httpx.AsyncClient, create: Create, trials: "Trials"
) -> None:
    still = {"is_settled": True, "factor": 1.0, "low": 1.0, "high": 1.0}
    left = {"low": 0.1, "high": 0.2, "confidence": 0.9, "movement": still}
    right = {"low": 10.0, "high": None, "confidence": None}
    band = {"left": left, "right": right}
    budgets = [
        {"steps": 15, "trainings": 2, "envelope": None},
        {"steps": 30, "trainings": 3, "envelope": band},
    ]
    study_id = await create()
    await trials.end_study(
        study_id, outcome="open", intervals=[band], envelope=band, by_steps=budgets
    )

    shown = " ".join((await http.get(f"/studies/{study_id}")).text.split())
    assert "<td>left</td><td>0.1..0.2</td><td>90 % over seeds</td><td>settled</td>" in shown
    assert "<td>right</td><td>above 10</td><td>one seed</td>" in shown
    assert '<td class="n">15</td><td class="n">2</td><td colspan="2">no band</td>' in shown


async def test_what_runs_now_is_shown_with_the_time_that_it_takes(
    http: httpx.AsyncClient,
    submit: "Submitter",
    spec_of: "SpecMaker",
    worker: "Worker",
    reports: "Reports",
) -> None:
    run_id = (await submit(spec_of())).runs[0].id
    assert "No run is trained now" in (await http.get("/agents")).text

    await worker.claim(run_id)
    await worker.record(run_id, reports.progress(40))

    shown = (await http.get("/agents")).text
    assert f'<a href="/runs/{run_id}">' in shown
    assert "<td>0:01:00</td>" in shown  # 60 steps are left, of a second each


async def test_the_list_of_studies_says_what_each_has_found(
    http: httpx.AsyncClient, create: Create, trials: "Trials"
) -> None:
    study_id = await create()
    await trials.end_study(study_id, headline="Clean from 1 to 2.")

    assert "Clean from 1 to 2." in (await http.get("/")).text
    assert "Clean from 1 to 2." in (await http.get(f"/studies/{study_id}")).text


async def test_a_study_of_several_fields_has_a_page_without_diagram(
    http: httpx.AsyncClient, create: Create
) -> None:
    search: dict[str, Any] = {
        "model.beta": {"log_uniform": [0.01, 100]}, "training.batch_size": {"choices": [32, 64]},
    }  # fmt: skip
    study_id = await create(search=search, sampler="random")

    text = (await http.get(f"/studies/{study_id}")).text
    assert "so there is no diagram" in text


async def test_a_run_in_work_shows_its_course(
    http: httpx.AsyncClient,
    submit: "Submitter",
    spec_of: "SpecMaker",
    worker: "Worker",
    reports: "Reports",
) -> None:
    submission = await submit(spec_of(name="mine"))
    run_id = submission.runs[0].id
    await worker.claim(run_id)
    await worker.record(run_id, reports.progress(10), reports.evaluation(50))

    text = (await http.get(f"/runs/{run_id}")).text
    assert "Entropy of every latent (nats)" in text
    assert text.count('<polyline class="curve') == 3  # two latents and the loss
    assert "1 active, 1 passive, P 0.99, R 0.90" in text
    assert f'<a href="/experiments/{submission.experiment.id}">mine</a>' in text
    assert f'data-live="/live/runs/{run_id}"' in text
    assert (
        f'<a href="/runs/{run_id}">'
        in (await http.get(f"/experiments/{submission.experiment.id}")).text
    )


async def test_runs_are_compared_by_their_entropies_and_specs(
    http: httpx.AsyncClient,
    submit: "Submitter",
    spec_of: "SpecMaker",
    worker: "Worker",
    reports: "Reports",
) -> None:
    first, second, third = (await submit(spec_of(name="three", seeds=[3, 4, 5]))).runs
    for run in (first, second):
        await worker.claim(run.id)
        await worker.record(run.id, reports.evaluation(50))

    await http.patch(f"/api/v1/runs/{second.id}", json={"name": "<mine>"})

    ids = [str(run.id) for run in (first, second, third)]
    text = (await http.get("/compare", params={"run": ids})).text
    shown = " ".join(text.split())
    assert f">{ids[0][:8]}</a><div>beta 1, 3,000&nbsp;steps</div></th>" in shown
    assert f">&lt;mine&gt;</a><div>{ids[1][:8]}, beta 1, 3,000&nbsp;steps</div></th>" in shown
    assert "3 runs compared" in shown
    assert shown.count('<polyline class="curve series-') == 2
    assert "<tr><th>seed</th><td>3</td><td>4</td><td>5</td></tr>" in shown
    assert "<th>model.name</th>" not in shown  # the same in all
    assert len(re.findall(r"<td>experiment <a [^>]+>three</a></td>", shown)) == 3

    assert "0 runs compared" in (await http.get("/compare")).text
    assert "1 runs" not in (await http.get("/compare", params={"run": str(first.id)})).text
    unknown = await http.get("/compare", params={"run": [str(uuid4()), str(first.id)]})
    assert unknown.status_code == 404
    many = await http.get("/compare", params={"run": [str(uuid4())] * 9})
    assert (many.status_code, "at most 8" in many.text) == (422, True)
    assert (await http.get("/compare?run=nothing")).status_code == 422


async def test_a_run_shows_what_it_takes_of_its_machine(
    http: httpx.AsyncClient, run_id: UUID, database: Database
) -> None:
    address = f"/runs/{run_id}"
    before = (await http.get(address)).text
    async with database.transaction() as session:
        sample = {"cpu_utilization_percentage": 98.0, "process_memory_usage_megabytes": 412.0}
        await add_of_system(session, run_id, 1, [(5, sample), (10, sample)])

    after = (await http.get(address)).text

    assert "CPU 98 %, 412 MB" not in before
    assert 'id="machine" data-part' in before
    assert "CPU 98 %, 412 MB" in after
    assert 'aria-label="Use of the processor by seconds since the run began"' in after


async def test_lists_have_pages(
    http: httpx.AsyncClient, create: Create, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lists, "PAGE_SIZE", 1)
    older, newer = await create(), await create()

    first = (await http.get("/")).text
    (address,) = re.findall(r'<a href="(/\?page_token=[^"]+)">Older', first)
    second = await http.get(address)

    assert (str(newer) in first, str(older) in first) == (True, False)
    assert (str(newer) in second.text, str(older) in second.text) == (False, True)
    assert "Older" not in second.text
    assert (await http.get("/?page_token=nothing")).status_code == 422
    assert (await http.get("/?utm_source=mail")).status_code == 200


async def test_style_and_script_are_sent_to_everybody(http: httpx.AsyncClient) -> None:
    for name, kind in (("polar.css", "text/css"), ("polar.js", "text/javascript")):
        answer = await http.get(f"/static/{name}", headers={"Authorization": ""})
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith(kind)
    assert (await http.get("/static/..%2Froutes.py")).status_code == 404


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/nowhere",
        "/docs",
        "/openapi.json",
        "/static/icon.svg",
        "/api/v1/datasets",
        "/api/v1/login?link=x",
    ],
)
@pytest.mark.parametrize("host", ["localhost", "evil.example"])
async def test_no_page_of_another_site_shows_an_answer_in_a_frame_or_takes_it_for_a_script(
    http: httpx.AsyncClient, path: str, host: str
) -> None:
    answer = await http.get(path, headers={"Host": host})

    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("path", ["/", "/experiments", "/runs", "/agents"])
async def test_pages_take_nothing_from_elsewhere(http: httpx.AsyncClient, path: str) -> None:
    text = (await http.get(path)).text
    assert "://" not in text
    assert "<style" not in text
    assert " style=" not in text


async def test_a_large_study_shows_its_last_trainings(
    http: httpx.AsyncClient, create: Create, trials: "Trials", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(studies, "MOST_ROWS", 2)
    study_id = await create()
    for beta in (1.0, 2.0, 3.0):
        await trials.end(await trials.begin(study_id, beta=beta), 0.5)

    shown = " ".join((await http.get(f"/studies/{study_id}")).text.split())
    assert "These are the last 2 of 3 trainings" in shown
    assert "<th>model.beta</th>" in shown
    assert [f"<td>{beta}</td>" in shown for beta in (1, 2, 3)] == [False, True, True]
    assert shown.count("<title>1, seed 0") == 1  # the diagram has all of them
