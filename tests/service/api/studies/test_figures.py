"""The figure of a study; a real child process draws it, no broker is there, it is pretended."""

import sys
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import httpx
import pytest

from polar.records.phases import StudyFigure
from service.api.app import create_app
from service.api.studies import figures as study_figures
from service.settings import Settings
from tests.service.api.conftest import Create
from tests.service.conftest import OWNER

if TYPE_CHECKING:
    from tests.service.conftest import Trials, Worker

STUDIES = "/api/v1/studies"


EDGE = {"low": None, "high": 1.0, "confidence": 0.9}
BAND = {"left": EDGE, "right": {"low": 1.0, "high": 10.0, "confidence": 0.9}}
FOUND: dict[str, Any] = {
    "outcome": "coarse",
    "intervals": [BAND],
    "envelope": BAND,
    "settled": False,
    "weights": 2,
    "trainings": 2,
}


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Patient: a busy machine takes a minute for what takes seconds."""
    return settings.model_copy(update={"measure_s": 500.0})


@pytest.fixture(autouse=True)
async def _an_agent_is_there(worker: "Worker") -> None:
    await worker.announce()


@pytest.fixture
async def study_id(create: Create, trials: "Trials") -> UUID:
    """A study with two completed trials."""
    id = await create()
    for beta, regime, n_active in ((1.0, "clean", 3), (10.0, "collapsed", 0)):
        observation = {"regime": regime, "steps": 30, "n_active": n_active, "settled": False}
        trial = await trials.begin(id, beta=beta)
        await trials.end(trial, 0.5, observations=[observation], polarisation=0.9, explained=0.5)
    await trials.end_study(id, **FOUND)
    return id


def pretend(monkeypatch: pytest.MonkeyPatch, program: str) -> None:
    """Let the child run another program."""
    monkeypatch.setattr(study_figures, "_command", lambda *_: [sys.executable, "-c", program])


@pytest.mark.parametrize(
    ("kind", "media_type", "begin"),
    [
        ("png", "image/png", b"\x89PNG"),
        ("svg", "image/svg+xml", b"<?xml"),
        ("pdf", "application/pdf", b"%PDF"),
    ],
)
async def test_the_phase_diagram_of_a_study_is_drawn(
    kind: str, media_type: str, begin: bytes, http: httpx.AsyncClient, study_id: UUID
) -> None:
    answer = await http.get(f"{STUDIES}/{study_id}/figures/phase_diagram.{kind}")

    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].split(";")[0] == media_type
    assert answer.content.startswith(begin)
    assert len(answer.content) > 5000


async def held_study(create: Create, trials: "Trials") -> UUID:
    """A study with a training from scratch and one that went on from it."""
    id = await create(range={"held": True})
    start = {"training.warm_start.weight": 1.0}
    for beta, regime, warm_start in ((1.0, "clean", {}), (10.0, "collapsed", start)):
        observation = {"regime": regime, "steps": 30, "n_active": 3, "settled": True}
        point = {"seed": 0, "training.steps": 30, **warm_start}
        trial = await trials.begin(id, beta=beta, **point)
        await trials.end(trial, 0.5, observations=[observation], polarisation=0.9, explained=0.5)
    await trials.end_study(id, **FOUND, held=BAND)
    return id


async def test_the_hysteresis_of_a_study_is_drawn_where_trainings_went_on(
    http: httpx.AsyncClient, create: Create, trials: "Trials", study_id: UUID
) -> None:
    held = await held_study(create, trials)

    links = [
        (await http.get(f"{STUDIES}/{id}")).json()["links"]["hysteresis"]
        for id in (held, study_id)
    ]
    drawn = await http.get(links[0])
    neither = await http.get(f"{STUDIES}/{study_id}/figures/hysteresis.png")
    diagram = await http.get(f"{STUDIES}/{held}/figures/phase_diagram.png")

    assert links == [f"{STUDIES}/{held}/figures/hysteresis.png", None]
    assert (drawn.status_code, diagram.status_code) == (200, 200)
    assert drawn.content.startswith(b"\x89PNG")
    assert neither.status_code == 404
    assert neither.json()["detail"].startswith(
        f"study {study_id} has no hysteresis: there is nothing to draw: no training went on from"
    )


async def test_weight_by_steps_of_a_study_is_drawn_where_it_has_a_range(
    http: httpx.AsyncClient, create: Create, trials: "Trials"
) -> None:
    id = await create()
    passed = [{"regime": "untrained", "steps": 8}, {"regime": "clean", "steps": 16}]
    observation = {
        "regime": "clean", "steps": 30, "n_active": 3, "settled": True, "trajectory": passed
    }  # fmt: skip
    await trials.end(await trials.begin(id, beta=1.0), 0.5, observations=[observation])
    neither = await http.get(f"{STUDIES}/{id}/figures/weight_by_steps.png")
    by_steps = [{"steps": 30, "trainings": 1, "envelope": BAND}]

    before = (await http.get(f"{STUDIES}/{id}")).json()["links"]["weight_by_steps"]
    await trials.end_study(id, **FOUND, by_steps=by_steps)
    link = (await http.get(f"{STUDIES}/{id}")).json()["links"]["weight_by_steps"]
    drawn = await http.get(link)

    assert (before, link) == (None, f"{STUDIES}/{id}/figures/weight_by_steps.png")
    assert drawn.status_code == 200, drawn.text
    assert drawn.content.startswith(b"\x89PNG")
    assert neither.status_code == 404
    assert neither.json()["detail"] == (
        f"study {id} has no weight by steps: there is nothing to draw yet: the study has no range"
    )


async def test_the_loss_envelope_of_a_study_is_drawn_where_models_are_known(
    http: httpx.AsyncClient, create: Create, trials: "Trials", worker: "Worker"
) -> None:
    id = await create()
    trial = await trials.begin(id, beta=1.0)
    neither = await http.get(f"{STUDIES}/{id}/figures/loss_envelope.png")
    before = (await http.get(f"{STUDIES}/{id}")).json()["links"]["loss_envelope"]
    await worker.solve(trial.experiment_id, 34.5, 1.233, "clean")
    known: dict[str, Any] = {"not_optimal": [], "left": None, "right": None, "models": 1}

    await trials.end_study(id, **FOUND, certificates=known)
    link = (await http.get(f"{STUDIES}/{id}")).json()["links"]["loss_envelope"]
    drawn = await http.get(link)

    assert (before, link) == (None, f"{STUDIES}/{id}/figures/loss_envelope.png")
    assert drawn.status_code == 200, drawn.text
    assert drawn.content.startswith(b"\x89PNG")
    assert neither.status_code == 404
    assert neither.json()["detail"] == (
        f"study {id} has no loss envelope: there is nothing to draw yet: no model of its problem "
        "is known"
    )


async def test_a_study_of_another_field_than_the_weight_has_no_loss_envelope(
    http: httpx.AsyncClient, create: Create
) -> None:
    search = {"training.learning_rate": {"log_uniform": [1e-4, 1e-2]}}
    id = await create(search=search, sampler="random")

    answer = await http.get(f"{STUDIES}/{id}/figures/loss_envelope.svg")

    assert answer.status_code == 404
    assert "has no loss envelope: the study sweeps training.learn" in answer.json()["detail"]


AXES: dict[str, Any] = {
    "beta": {"log_uniform": [0.1, 10]},
    "latent_dim": {"integer": [2, 16]},
    "training.batch_size": {"choices": [32, 64]},
}


async def test_exactly_the_figures_that_can_be_drawn_have_links(
    http: httpx.AsyncClient,
    create: Create,
    trials: "Trials",
    study_id: UUID,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pretend(monkeypatch, "print('drawn')")
    ids = [study_id, await held_study(create, trials)]
    points: list[dict[str, Any]] = [
        {"beta": 2.0}, {"training.batch_size": 64}, {"beta": 2.0, "latent_dim": 4}
    ]  # fmt: skip
    for point in points:
        search = {name if "." in name else f"model.{name}": AXES[name] for name in point}
        ids += [await create(sampler="random", search=search, name=name) for name in "ab"]
        observation = {"regime": "clean", "steps": 30, "n_active": 3, "settled": True}
        await trials.end(await trials.begin(ids[-1], **point), 0.5, observations=[observation])

    for id in ids:
        links = (await http.get(f"{STUDIES}/{id}")).json()["links"]
        for name in StudyFigure:
            drawn = await http.get(f"{STUDIES}/{id}/figures/{name}.png")
            assert (links[name] is None) == (drawn.status_code == 404), (id, name, drawn.text)


async def test_before_a_trial_is_completed_there_is_no_figure(
    http: httpx.AsyncClient, create: Create
) -> None:
    id = await create()

    answer = await http.get(f"{STUDIES}/{id}/figures/phase_diagram.png")

    assert answer.status_code == 404
    assert answer.json()["detail"] == (
        f"study {id} has no phase diagram: there is nothing to draw yet: no trial is completed"
    )


async def test_a_study_of_several_fields_has_no_phase_diagram(
    http: httpx.AsyncClient, create: Create
) -> None:
    search = {"model.beta": {"log_uniform": [0.1, 10]}, "model.latent_dim": {"integer": [2, 16]}}
    id = await create(search=search, sampler="random")

    answer = await http.get(f"{STUDIES}/{id}/figures/phase_diagram.png")

    assert answer.status_code == 404
    assert (
        "is of one swept field; the study sweeps model.beta, model.lat" in answer.json()["detail"]
    )


async def test_other_studies_kinds_and_figures_are_not_there(http: httpx.AsyncClient) -> None:
    unknown = await http.get(f"{STUDIES}/{uuid4()}/figures/phase_diagram.png")
    kind = await http.get(f"{STUDIES}/{uuid4()}/figures/phase_diagram.gif")
    figure = await http.get(f"{STUDIES}/{uuid4()}/figures/other.png")

    assert (unknown.status_code, kind.status_code, figure.status_code) == (404, 422, 404)
    assert figure.json()["detail"] == (
        "the figure other of a study is not known; allowed: phase_diagram, hysteresis, "
        "weight_by_steps, loss_envelope"
    )


async def test_the_documentation_names_all_figures_and_kinds(http: httpx.AsyncClient) -> None:
    paths = (await http.get("/openapi.json")).json()["paths"]

    route = paths[f"{STUDIES}/{{study_id}}/figures/{{name}}.{{kind}}"]["get"]
    allowed = {each["name"]: each["schema"].get("enum") for each in route["parameters"]}
    assert allowed["name"] == list(StudyFigure)
    assert allowed["kind"] == ["png", "svg", "pdf"]
    assert all(f"`{name}`" in route["description"] for name in StudyFigure)


async def test_drawing_that_takes_too_long_is_stopped(
    settings: Settings, study_id: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend(monkeypatch, "import time; time.sleep(1000)")
    hurried = create_app(settings.model_copy(update={"measure_s": 1.0}))
    transport = httpx.ASGITransport(hurried)

    async with (
        hurried.router.lifespan_context(hurried),
        httpx.AsyncClient(transport=transport, base_url="http://localhost", headers=OWNER) as http,
    ):
        answer = await http.get(f"{STUDIES}/{study_id}/figures/phase_diagram.png", timeout=60)

    assert answer.status_code == 500
    assert answer.json()["type"] == "urn:polar:problem:drawing-too-long"
    assert "longer than 1 s" in answer.json()["detail"]


async def test_a_child_that_dies_is_said_to_have_died(
    http: httpx.AsyncClient,
    study_id: UUID,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    pretend(monkeypatch, "import sys; sys.exit('it broke')")

    answer = await http.get(f"{STUDIES}/{study_id}/figures/phase_diagram.png")

    assert answer.status_code == 500
    assert answer.json()["type"] == "urn:polar:problem:drawing-failed"
    assert "ended with code 1: it broke" in caplog.text
