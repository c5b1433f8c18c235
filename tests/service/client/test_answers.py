"""What answers offer in programs and notebooks: waiting, tables, pictures, HTML."""

import asyncio
import copy
import json
import pickle
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import numpy as np
import pandas as pd
import pytest
import torch

from polar.client import AsyncClient, Client, ClientError, Experiment, Picture, Refused, Run, Study
from polar.spec import StudySpec
from service.api.runs.schemas import Diagnostics, RunView
from service.client import clock
from service.client.display import of_experiment
from service.storage.states import RunState, StudyState
from tests.service.client.scripts import Script, answering, problem, streaming

if TYPE_CHECKING:
    from tests.conftest import Reports
    from tests.service.conftest import SpecMaker, StudyMaker, Trials, Worker

NOW = datetime.now(UTC)
ID = UUID(int=7)
PNG = b"\x89PNG"


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "POLL_S", 0.01)


def run(state: RunState, **fields: object) -> str:
    empty = dict.fromkeys(RunView.model_fields)
    known = {
        "id": ID, "name": "", "tags": {}, "note": "", "seed": 0, "spec": {}, "dataset_digest": "",
        "queue": "cpu", "state": state, "attempt": 1, "cancel_requested": False, "created_at": NOW,
        "of_earlier_version": [], "links": {}, "history": [],
    }  # fmt: skip
    return RunView.model_validate({**empty, **known, **fields}).model_dump_json()


RUNNING, SUCCEEDED = run(RunState.RUNNING), run(RunState.SUCCEEDED)


def to_come() -> str:
    content = json.loads(problem(404))
    return json.dumps({**content, "type": "urn:polar:problem:findings-to-come"})


def test_a_run_is_waited_for_until_it_has_ended(script: Script) -> None:
    script.answers = [answering(200, answer) for answer in (RUNNING, RUNNING, SUCCEEDED)]

    with Client(script.url) as client:
        ended = client.run(ID).wait()

    assert (ended.state, ended.has_ended) == (RunState.SUCCEEDED, True)
    assert {path for _, path, _ in script.requests} == {f"/api/v1/runs/{ID}"}


@pytest.mark.parametrize("state", list(RunState))
def test_a_run_has_ended_in_its_final_states(state: RunState) -> None:
    assert Run.model_validate_json(run(state)).has_ended == state.is_final


def test_whoever_waits_long_enough_is_told_what_goes_on(script: Script) -> None:
    script.answers = [answering(200, RUNNING)] * 100

    with (
        Client(script.url) as client,
        pytest.raises(TimeoutError, match=f"run {ID} goes on after"),
    ):
        client.run(ID).wait(timeout_s=0.05)

    assert {method for method, _, _ in script.requests} == {"GET"}


def test_a_figure_that_is_to_come_is_waited_for(script: Script) -> None:
    script.answers = [answering(404, to_come()), answering(200, PNG.decode("latin-1"))]

    with Client(script.url) as client:
        picture = client.figure(ID, "entropies")

    assert picture.kind == "png"
    assert {path for _, path, _ in script.requests} == {f"/api/v1/runs/{ID}/figures/entropies.png"}


@pytest.mark.parametrize("name", ["entropies", "entropies.svg", "entropies.png"])
def test_a_figure_comes_as_the_kind_that_is_asked_for(script: Script, name: str) -> None:
    ended, made = answering(200, run(RunState.SUCCEEDED)), answering(200, "<svg/>")
    script.answers = [ended, answering(404, to_come()), made]

    with Client(script.url) as client:
        picture = client.run(ID).figure(name, kind="svg")

    assert (picture.kind, picture.content) == ("svg", b"<svg/>")
    (_, _, path) = [path for _, path, _ in script.requests]
    assert path == f"/api/v1/runs/{ID}/figures/entropies.svg"


def test_a_figure_that_stays_to_come_is_given_up(script: Script) -> None:
    script.answers = [answering(404, to_come())] * 100

    with (
        Client(script.url) as client,
        pytest.raises(TimeoutError, match="are still to come after"),
    ):
        client.figure(ID, "entropies", timeout_s=0.05)


def test_a_figure_that_never_comes_is_refused_at_once(script: Script) -> None:
    script.answers = [answering(404, problem(404))]

    with Client(script.url) as client, pytest.raises(Refused, match="because"):
        client.figure(ID, "entropies")


def test_a_name_of_a_figure_stays_a_name(script: Script) -> None:
    script.answers = [answering(404, problem(404))] * 2

    with Client(script.url) as client:
        for ask in (client.figure, client.study_figure):
            with pytest.raises(Refused):
                ask(ID, "../../../studies")

    folder = "/api/v1/{}/" + str(ID) + "/figures/..%2F..%2F..%2Fstudies."
    paths = [path for _, path, _ in script.requests]
    assert paths == [folder.format("runs") + "png", folder.format("studies") + "svg"]


def test_pictures_show_themselves_and_are_saved(tmp_path: Path) -> None:
    png, svg, pdf = Picture("png", PNG), Picture("svg", b"<svg/>"), Picture("pdf", b"%PDF")

    assert [each._repr_png_() for each in (png, svg, pdf)] == [PNG, None, None]
    assert [each._repr_svg_() for each in (png, svg, pdf)] == [None, "<svg/>", None]
    assert pdf.save(tmp_path / "a.pdf").read_bytes() == b"%PDF"


def test_tables_have_their_columns_before_there_is_a_row(script: Script) -> None:
    nothing = Diagnostics(run_id=ID, evaluations=[], latents=[], of_earlier_version=[])
    script.answers = [answering(200, nothing.model_dump_json())] * 2

    with Client(script.url) as client:
        latents, evaluations = client.latents(ID), client.evaluations(ID)

    assert len(latents) == len(evaluations) == 0
    assert {"step", "epoch", "latent", "entropy_nats", "label"} <= set(latents)
    assert {"step", "reconstruction_nats", "regime", "explained"} <= set(evaluations)


async def test_an_experiment_leads_to_its_runs_and_their_tables(
    served: str, spec_of: "SpecMaker", worker: "Worker", reports: "Reports"
) -> None:
    await worker.announce()
    spec = spec_of(seeds=[3, 5])
    with Client(served) as client:
        submitted = await asyncio.to_thread(client.submit, spec)
        first, second = (run.id for run in submitted.runs)
        await worker.claim(second)
        await worker.record(second, reports.evaluation(10), reports.evaluation(20))
        await worker.finish(second)

        experiment = await asyncio.to_thread(submitted.refresh)
        succeeded = await asyncio.to_thread(experiment.run)
        other = await asyncio.to_thread(experiment.run, 3)
        latents = await asyncio.to_thread(succeeded.frame)
        evaluations = await asyncio.to_thread(succeeded.evaluations)

    assert isinstance(experiment, Experiment)
    assert not experiment.has_ended
    assert (succeeded.id, other.id) == (second, first)
    assert list(experiment.frame()["seed"]) == [3, 5]
    assert list(experiment.frame()["state"]) == ["queued", "succeeded"]
    assert list(evaluations["step"]) == [10, 20]
    regime = reports.evaluation(20).verdict.regime
    assert list(evaluations["regime"]) == [regime, regime]
    assert len(latents) == 2 * len(reports.evaluation(20).latents)
    assert repr(experiment) == str(experiment) == f"<experiment {experiment.id}: queued>"
    assert "succeeded" in experiment._repr_html_()
    assert str(second) in succeeded._repr_html_()
    with pytest.raises(ClientError, match="no run of seed 4; allowed: 3, 5"):
        experiment.run(4)


async def test_the_trials_of_a_study_are_a_table(
    served: str, study_of: "StudyMaker", worker: "Worker", trials: "Trials"
) -> None:
    await worker.announce()
    async with AsyncClient(served) as client:
        study = await client.create_study(StudySpec.model_validate(study_of(name="mine")))
        with pytest.raises(ClientError, match="has no best trial; it is running"):
            study.best_run()
        await trials.end(await trials.begin(study.id, beta=2.0), 0.5)
        table = await client.trials_frame(study.id)
        names = [each.name async for each in client.studies()]

    assert list(table["model.beta"]) == [2.0]
    assert names == ["mine"]
    assert "mine: running" in study._repr_html_()


async def test_a_spec_may_be_an_object(
    served: str, spec_of: "SpecMaker", worker: "Worker"
) -> None:
    await worker.announce()
    spec = spec_of(model={"name": "lv_ae", "lambda": 1e-3})
    async with AsyncClient(served) as client:
        plans = [await client.validate(each) for each in (spec, spec.model_dump(mode="json"))]

    assert plans[0] == plans[1]
    assert plans[0].spec["model"]["lambda"] == 1e-3


def test_answers_are_equal_by_what_they_say_and_may_be_kept(script: Script) -> None:
    script.answers = [answering(200, SUCCEEDED)] * 2 + [answering(200, RUNNING)]
    with Client(script.url) as client, Client(script.url) as other:
        one, two, three = client.run(ID), other.run(ID), other.run(ID)

    kept = pickle.loads(pickle.dumps(one))
    assert one == two == kept == copy.deepcopy(one) == Run.model_validate_json(SUCCEEDED)
    assert one != three
    assert len({one, two, kept, three}) == 2
    for answer in (kept, copy.deepcopy(one), Run.model_validate_json(SUCCEEDED)):
        with pytest.raises(ClientError, match="was not fetched here"):
            answer.refresh()


@pytest.mark.parametrize("timeout_s", [float("nan"), -1, "3"])
def test_a_timeout_is_a_number_from_0(timeout_s: Any, script: Script) -> None:  # noqa: ANN401
    script.answers = [answering(200, RUNNING)]

    with Client(script.url) as client, pytest.raises(ClientError, match="seconds from 0"):
        client.run(ID).wait(timeout_s)


def test_a_client_that_is_closed_says_so(script: Script) -> None:
    client = Client(script.url)
    client.close()

    with pytest.raises(ClientError, match="this client is closed"):
        client.run(ID)


def test_a_client_that_is_closed_while_it_watches_says_so(script: Script) -> None:
    script.answers = [answering(404, problem(404)), answering(200, RUNNING)]
    client = Client(script.url)
    events = client.watch(ID)
    client.close()

    with pytest.raises(ClientError, match="this client is closed"):
        next(events)


async def test_a_client_of_an_event_loop_that_is_closed_says_so(script: Script) -> None:
    client = AsyncClient(script.url)
    client.close()

    with pytest.raises(ClientError, match="this client is closed"):
        await client.run(ID)


@pytest.mark.parametrize("key", ["a\nb", "ä"])
def test_a_key_that_cannot_be_sent_is_refused_at_once(key: str, script: Script) -> None:
    with Client(script.url) as client, pytest.raises(ClientError, match="cannot be sent"):
        client.submit({}, key=key)

    assert script.requests == []


def test_an_order_stays_an_order(script: Script) -> None:
    script.answers = [answering(404, problem(404))] * 3

    with Client(script.url) as client, pytest.raises(Refused):
        client.order_study(ID, "../x")  # type: ignore[arg-type]

    assert script.requests[0][1] == f"/api/v1/studies/{ID}/..%2Fx"


@pytest.mark.parametrize("number", [np.int64(20), np.float32(20), torch.tensor(20)])
async def test_numbers_of_numpy_and_torch_are_numbers(
    number: object, served: str, spec_of: "SpecMaker", worker: "Worker"
) -> None:
    await worker.announce()
    spec = spec_of.as_json(training={"steps": number})
    async with AsyncClient(served) as client:
        assert (await client.validate(spec)).spec["training"]["steps"] == 20


def test_whole_numbers_are_shown_whole_where_some_runs_have_none() -> None:
    rows = [{"seed": 0, "step": 1000, "explained": 0.51}, {"seed": 1, "step": None}]

    shown = of_experiment("mine", pd.DataFrame(rows))

    assert re.findall("<td>(.*?)</td>", shown) == ["0", "1000", "0.510", "1", "", ""]


def test_names_are_shown_as_they_are_and_never_become_html() -> None:
    fields: dict[str, Any] = {
        **dict.fromkeys(Study.model_fields),
        **{"id": ID, "name": "<script>", "state": StudyState.RUNNING, "message": "a < b"},
        "links": {"mlflow": "javascript:alert(1)"},
    }
    study = Study.model_construct(**fields)

    shown = study._repr_html_()

    assert "&lt;script&gt;" in shown
    assert "a &lt; b" in shown
    assert "<script" not in shown
    assert "javascript" not in shown


async def test_the_event_loop_goes_on_while_a_run_is_waited_for(script: Script) -> None:
    script.answers = [answering(200, RUNNING)] * 3 + [answering(200, SUCCEEDED)]
    turns = 0

    async def turn() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    async with AsyncClient(script.url) as client:
        turning = asyncio.create_task(turn())
        ended = await client.wait(await client.run(ID))
        turning.cancel()

    assert ended.state is RunState.SUCCEEDED
    assert turns > 10


async def test_events_come_one_by_one_and_more_streams_than_processors_go_on(
    script: Script,
) -> None:
    state = {"event": "state", "run_id": str(ID), "reason": None, "message": None, "attempt": 1}
    events = [json.dumps({**state, "state": each}) for each in ("running", "succeeded")]
    streams = 3
    script.by_path = {
        f"/api/v1/experiments/{ID}": answering(404, problem(404)),
        f"/api/v1/runs/{ID}": answering(200, RUNNING),
        f"/api/v1/runs/{ID}/events": streaming(*(f"data: {event}" for event in events)),
    }

    async with AsyncClient(script.url) as client:

        async def seen() -> list[str]:
            return [event.event async for event in client.watch(ID)]

        async for event in client.watch(ID):
            assert event.run_id == ID
            break
        found = await asyncio.gather(*(seen() for _ in range(streams)))

    assert found == [["state", "state"]] * streams


async def test_a_task_that_waits_can_be_cancelled(script: Script) -> None:
    script.answers = [answering(200, RUNNING)] * 1000

    async with AsyncClient(script.url) as client:
        run = await client.run(ID)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await client.wait(run)
        with pytest.raises(TimeoutError, match="goes on after"):
            await client.wait(run, timeout_s=0.01)


def test_the_client_of_an_event_loop_has_all_methods() -> None:
    def methods(kind: type) -> set[str]:
        return {name for name in dir(kind) if not name.startswith("_")}

    assert methods(AsyncClient) - {"in_thread"} == methods(Client)
