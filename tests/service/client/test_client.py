"""The client: where it looks for the service, and what it does when nobody answers."""

import json
import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from polar.errors import InvalidInput
from service.api.experiments.schemas import ExperimentView
from service.api.run_events import Evaluated, StateChanged
from service.client import Client, ClientError, Refused, Unreachable
from service.client.errors import StackChanges
from service.embedded.running import RunningStack, publish, withdraw
from service.embedded.state import lock
from service.storage.states import RunState
from tests.service.client.scripts import Answer, Script, answering, no_answer, problem, streaming

if TYPE_CHECKING:
    from tests.conftest import Reports
    from tests.service.conftest import SpecMaker

NO_PAUSES = (0.0, 0.0)


@pytest.fixture
def home(script: Script, tmp_path: Path) -> Iterator[Path]:
    """The home of a stack that runs, whose API is the script."""
    with lock(tmp_path):
        publish(tmp_path, RunningStack(script.url, "", "", os.getpid(), {}, "ours"))
        yield tmp_path


def health(home_id: str | None) -> Answer:
    return answering(200, json.dumps({"status": "ok", "home_id": home_id}))


NO_EXPERIMENTS = answering(200, json.dumps({"experiments": [], "next_page_token": None}))


def test_without_an_address_the_stack_of_the_home_is_asked_once_which_it_is(
    script: Script, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POLAR_HOME", str(home))
    script.answers = [health("ours"), NO_EXPERIMENTS, NO_EXPERIMENTS]

    with Client() as client:
        found = [list(client.experiments()) for _ in range(2)]

    assert found == [[], []]
    paths = [path for _, path, _ in script.requests]
    assert paths == ["/api/v1/healthz", "/api/v1/experiments", "/api/v1/experiments"]


@pytest.mark.parametrize("home_id", ["theirs", None])
def test_the_stack_of_another_home_is_refused_before_it_is_asked_for_anything(
    home_id: str | None, script: Script, home: Path
) -> None:
    # It once got what was meant for this home, and stored it.
    script.answers = [health(home_id)] * 2

    with Client(home=home) as client:
        for _ in range(2):
            with pytest.raises(Unreachable, match=f"is not that of {home}"):
                client.submit({})

    assert {path for _, path, _ in script.requests} == {"/api/v1/healthz"}


def test_a_stack_that_did_not_answer_at_first_is_recognised_later(
    script: Script, home: Path
) -> None:
    # After one failure, another home's stack once got what was meant for this one.
    script.answers = [no_answer, health("theirs")]

    with Client(home=home, pauses_s=()) as client:
        with pytest.raises(Unreachable, match="no service answers"):
            client.submit({})
        with pytest.raises(Unreachable, match="is not that of"):
            client.submit({})

    assert {path for _, path, _ in script.requests} == {"/api/v1/healthz"}


def test_a_home_in_which_nothing_runs_means_no_service(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The default port may be that of another home's stack.
    monkeypatch.setenv("POLAR_HOME", str(tmp_path))

    with pytest.raises(Unreachable, match=f"no stack runs in {tmp_path}"):
        Client()


def test_a_stack_that_starts_or_stops_is_said_so(script: Script, home: Path) -> None:
    # "no stack runs" led people to start another, which was refused.
    with Client(home=home, pauses_s=()) as client:
        withdraw(home)

        said = f"the stack of {home} is starting or stopping .process {os.getpid()}."
        with pytest.raises(StackChanges, match=said):
            client.submit({})
        with pytest.raises(StackChanges, match=said):
            Client(home=home)
    assert script.requests == []


def test_a_stack_of_an_earlier_version_is_to_be_started_anew(tmp_path: Path) -> None:
    content = {"api": "http://127.0.0.1:1", "pid": os.getpid()}
    (tmp_path / "up.json").write_text(json.dumps(content))

    with lock(tmp_path), pytest.raises(InvalidInput, match="started by an earlier version"):
        Client(home=tmp_path)


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost"])
def test_a_service_that_is_named_may_be_anybodys(
    name: str, script: Script, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POLAR_HOME", str(home.parent / "empty"))
    monkeypatch.setenv("POLAR_URL", script.url.replace("127.0.0.1", name))
    script.answers = [NO_EXPERIMENTS] * 2

    for url in (None, script.url):
        with Client(url) as client:
            assert list(client.experiments()) == []

    assert all(path == "/api/v1/experiments" for _, path, _ in script.requests)


def test_a_home_that_is_named_is_meant_although_the_environment_names_a_service(
    script: Script, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POLAR_URL", "http://127.0.0.1:1")

    with Client(home=home) as client:
        assert client.url == script.url


@pytest.mark.parametrize(
    "id",
    [
        None,
        5,
        b"x",
        "",
        " ",
        "x",
        "5a0",
        "5a0f%",
        "../studies",
        "5a0f6f0e-3b1c-4d52-9f5e-2c7d8a4b9e610",
        "\n",
    ],
)
def test_what_is_no_id_is_refused_without_a_request(id: str, script: Script) -> None:
    # An empty one asked for `/experiments/`, whose answer was "not this version of the service".
    with Client(script.url) as client:
        for ask in (
            client.find, client.cancel, lambda id: client.extend(id, 2),
            client.experiment, client.run, client.diagnostics,
            client.study, lambda id: client.order_study(id, "pause"), client.extend_study,
            lambda id: client.export_trials(id, "csv"), lambda id: list(client.trials(id)),
            lambda id: list(client.watch(id)), client.models,
        ):  # fmt: skip
            with pytest.raises(ClientError, match="is not an id; allowed: an id, such"):
                ask(id)

    assert script.requests == []


def test_all_pages_of_the_models_of_a_problem_are_fetched(
    script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    id = uuid4()
    monkeypatch.setattr(Client, "study", lambda *_: SimpleNamespace(id=id))
    model = {"seed": 0, "steps": 30, "regime": "clean", "is_own": True, "not_optimal": None}
    pages = [
        {
            "study_id": str(id),
            "models": [{**model, "weight": weight, "gain_nats": 1.0, "rise_nats": 0.1}],
            "better_than_collapse_to": 9.0,
            "next_page_token": token,
        }
        for weight, token in ((1.0, "next"), (2.0, None))
    ]
    script.answers = [answering(200, json.dumps(page)) for page in pages]

    with Client(script.url) as client:
        found = client.models(id)
    assert [known.weight for known in found.models] == [1.0, 2.0]
    assert (found.better_than_collapse_to, found.next_page_token) == (9.0, None)
    assert script.requests[1][1].endswith(f"/studies/{id}/models?page_token=next")


def test_an_id_may_have_blanks_around_it_and_capitals(script: Script) -> None:
    script.answers = [answering(404, problem(404))]
    id = uuid4()

    with Client(script.url) as client, pytest.raises(Refused):
        client.run(f" {str(id).upper()} ")

    assert script.requests[0][1] == f"/api/v1/runs/{id}"


@pytest.mark.parametrize("submit", [Client.submit, Client.create_study])
def test_a_submission_is_repeated_with_the_same_key_until_somebody_answers(
    submit: Callable[[Client, dict[str, object]], object], script: Script
) -> None:
    script.answers = [no_answer, no_answer, answering(409, problem(409))]

    with Client(script.url, pauses_s=NO_PAUSES) as client, pytest.raises(Refused) as refused:
        submit(client, {})

    keys = [headers["idempotency-key"] for _, _, headers in script.requests]
    assert len(keys) == 3
    assert len(set(keys)) == 1
    assert refused.value.problem.detail == "because"


def test_a_study_is_submitted_again_as_long_as_nobody_is_there() -> None:
    with (
        Client("http://127.0.0.1:1", pauses_s=NO_PAUSES) as client,
        pytest.raises(Unreachable, match="3 tries"),
    ):
        client.create_study({})


@pytest.mark.parametrize(
    "order",
    [
        lambda client: client.order_study(uuid4(), "pause"),
        lambda client: client.order_study(uuid4(), "retry-failed"),
        lambda client: client.extend_study(uuid4(), 3),
        lambda client: client.ask_for_findings(uuid4()),
        lambda client: client.validate({}),
    ],
)
def test_every_order_is_repeated_with_the_same_key(
    order: Callable[[Client], object], script: Script
) -> None:
    # An order without a key was given up after the first silence: nobody knew whether it counted.
    script.answers = [no_answer] * 3

    with Client(script.url, pauses_s=NO_PAUSES) as client, pytest.raises(Unreachable):
        order(client)

    keys = [headers["idempotency-key"] for _, _, headers in script.requests]
    assert len(keys) == 3
    assert len(set(keys)) == 1


def test_two_submissions_have_two_keys(script: Script) -> None:
    script.answers = [answering(409, problem(409))] * 2

    with Client(script.url) as client:
        for _ in range(2):
            with pytest.raises(Refused):
                client.submit({})

    keys = {headers["idempotency-key"] for _, _, headers in script.requests}
    assert len(keys) == 2


def test_somebody_who_never_answers_is_given_up(script: Script) -> None:
    script.answers = [no_answer] * 3

    with (
        Client(script.url, pauses_s=NO_PAUSES) as client,
        pytest.raises(Unreachable, match=rf"no service answers at {script.url} \(3 tries"),
    ):
        client.run(uuid4())

    assert script.answers == []


@pytest.mark.parametrize(
    "answer",
    [
        answering(200, "<html>hello</html>"),
        answering(200, "{}"),
        answering(500, "<html>oh</html>"),
        answering(404, '{"detail": "Not Found"}'),
        answering(302, ""),
    ],
)
def test_somebody_else_at_the_address_is_recognised(answer: Answer, script: Script) -> None:
    script.answers = [answer]

    with (
        Client(script.url) as client,
        pytest.raises(Unreachable, match="not this version of the service"),
    ):
        client.run(uuid4())


@pytest.mark.parametrize("url", ["127.0.0.1:8650", "http://", "http://a b", "ftp://127.0.0.1", ""])
def test_an_address_that_is_none_is_said_so(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLAR_URL", "nonsense")

    with pytest.raises(InvalidInput, match="allowed: http://host:port"):
        Client(url, pauses_s=())


def test_proxies_of_the_environment_are_not_asked(
    served: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")

    with Client(served, pauses_s=()) as client:
        assert list(client.experiments()) == []


def test_a_stream_that_breaks_is_taken_up_where_it_was(
    script: Script, reports: "Reports", spec_of: "SpecMaker"
) -> None:
    experiment = ExperimentView(
        id=uuid4(),
        name="",
        tags={},
        note="",
        spec_hash="",
        state=RunState.RUNNING,
        created_at=datetime.now(UTC),
        cancelled_at=None,
        spec=spec_of.as_json(),
        runs=[],
        links={},
        watch="",
    )
    evaluated = Evaluated(event="evaluation", run_id=uuid4(), evaluation=reports.evaluation(10))
    over = StateChanged(
        event="state",
        run_id=evaluated.run_id,
        state=RunState.SUCCEEDED,
        reason=None,
        message=None,
        attempt=1,
    )
    script.answers = [
        answering(200, experiment.model_dump_json()),
        streaming(": ping", f"data: {evaluated.model_dump_json()}\nid: 10", is_cut=True),
        no_answer,
        streaming(f"data: {over.model_dump_json()}"),
    ]

    with Client(script.url, pauses_s=NO_PAUSES) as client:
        seen = list(client.watch(experiment.id))

    streams = [headers for _, path, headers in script.requests if path.endswith("/events")]
    assert seen == [evaluated, over]
    assert [headers.get("last-event-id") for headers in streams] == [None, "10", "10"]


def test_what_has_no_such_id_is_not_found(served: str) -> None:
    with Client(served) as client, pytest.raises(ClientError, match="neither an experiment nor"):
        client.find(uuid4())


@pytest.mark.parametrize("spec", [{(1, 2): 3}, {"a": float("inf")}])
def test_a_spec_that_json_cannot_say_is_refused(
    spec: dict[Any, Any], served: str, spec_of: "SpecMaker"
) -> None:
    with Client(served) as client, pytest.raises(ClientError):
        client.validate({**spec_of.as_json(), **spec})
