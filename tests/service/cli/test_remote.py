"""The commands that speak with the service."""

import asyncio
import json
import os
import re
import signal
import sys
from asyncio.subprocess import PIPE
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from service.api import submission
from service.storage.states import RunState

if TYPE_CHECKING:
    from typer.testing import Result

    from tests.conftest import Reports
    from tests.service.cli.conftest import Ended, Polar, Process, Write
    from tests.service.conftest import SpecMaker, Submitter, Worker

SPEC = "name: mine\ndataset: {name: digits}\nmodel: {beta: 1e-1}\nseeds: [0, 1]\n"


@pytest.fixture
def spec(write: "Write") -> Path:
    return write(SPEC)


@pytest.fixture(autouse=True)
async def _an_agent_is_there(worker: "Worker") -> None:
    await worker.announce()


def as_json(result: "Result | Ended") -> Any:  # noqa: ANN401
    """All of stdout, which must be JSON."""
    return json.loads(result.stdout)


async def test_submitting_shows_the_experiment_and_how_to_watch_it(
    polar: "Polar", spec: Path
) -> None:
    result = await polar("submit", spec)

    experiment = as_json(await polar("list", "-o", "json"))[0]
    assert result.exit_code == 0
    assert experiment["id"] in result.stdout
    assert f"polar watch {experiment['id']}" in result.stderr


async def test_json_is_the_answer_of_the_api_and_nothing_else(polar: "Polar", spec: Path) -> None:
    result = await polar("submit", spec, "-o", "json")

    experiment = as_json(result)
    assert result.exit_code == 0
    assert experiment["name"] == "mine"
    assert experiment["spec"]["model"]["beta"] == 0.1
    assert [run["seed"] for run in experiment["runs"]] == [0, 1]
    assert as_json(await polar("get", experiment["id"], "-o", "json")) == experiment


async def test_force_and_the_idempotency_key_reach_the_service(polar: "Polar", spec: Path) -> None:
    first = await polar("submit", spec, "--idempotency-key", "a", "-o", "json")
    again = await polar("submit", spec, "--idempotency-key", "a", "-o", "json")
    forced = await polar("submit", spec, "--force", "-o", "json")

    assert as_json(again) == as_json(first)
    assert not any(run["reused"] for run in as_json(forced)["runs"])


@pytest.mark.parametrize("command", ["submit", "validate"])
async def test_a_wrong_spec_is_refused_fault_by_fault(
    command: str, polar: "Polar", write: "Write"
) -> None:
    spec = write("dataset: {name: digits}\nmodel: {beta: -1, latentdim: 3}\nseeds: [.nan]")

    result = await polar(command, spec, "-o", "json")

    assert result.exit_code == 2
    assert result.stdout == ""
    assert "/model/beta: " in result.stderr
    assert "(given: -1); allowed: a number from 0 to 1000000" in result.stderr
    assert "Did you mean 'latent_dim'?" in result.stderr
    assert "/seeds/0: " in result.stderr


@pytest.mark.parametrize("text", ["", "- 1", "a: [", "a: 2026-02-30", "[1, 2]: 3", "{a: &x [*x]}"])
async def test_a_file_that_is_no_spec_is_refused(
    text: str, polar: "Polar", write: "Write"
) -> None:
    result = await polar("submit", write(text))

    assert result.exit_code == 2
    assert "error: " in result.stderr


async def test_a_missing_file_is_named(polar: "Polar") -> None:
    result = await polar("submit", "nowhere.yaml")

    assert result.exit_code == 2
    assert "nowhere.yaml" in result.stderr


async def test_validating_tells_which_runs_exist(polar: "Polar", spec: Path) -> None:
    valid = await polar("validate", spec)
    experiment = as_json(await polar("submit", spec, "-o", "json"))
    plan = as_json(await polar("validate", spec, "-o", "json"))

    assert valid.exit_code == 0
    assert "the spec is valid" in valid.stdout
    assert valid.stdout.count("new") == 2
    assert [run["run_id"] for run in plan["runs"]] == [run["id"] for run in experiment["runs"]]


async def test_the_list_ends_at_its_limit(polar: "Polar", spec: Path) -> None:
    made = [as_json(await polar("submit", spec, "-o", "json"))["id"] for _ in range(3)]

    listed = as_json(await polar("list", "--limit", 2, "-o", "json"))
    table = await polar("list")

    assert [experiment["id"] for experiment in listed] == [made[2], made[1]]
    assert all(id in table.stdout for id in made)


@pytest.mark.parametrize(
    ("end", "code"), [(RunState.SUCCEEDED, 0), (RunState.FAILED, 1), (RunState.CANCELLED, 1)]
)
async def test_waiting_ends_with_the_runs_and_tells_whether_they_succeeded(
    end: RunState,
    code: int,
    polar: "Polar",
    polar_process: "Process",
    spec: Path,
    worker: "Worker",
    reports: "Reports",
) -> None:
    waiting = asyncio.create_task(polar_process("submit", spec, "--wait", "-o", "json"))
    first, second = await runs_of_the_only_experiment(polar)
    await worker.claim(first)
    await worker.record(first, reports.progress(10), reports.evaluation(10))
    await worker.finish(first)
    await worker.claim(second)
    await worker.finish(second, end)

    result = await waiting

    assert result.exit_code == code
    assert [run["state"] for run in as_json(result)["runs"]] == ["succeeded", end]


async def runs_of_the_only_experiment(polar: "Polar") -> list[UUID]:
    """The ids of its runs, as soon as it is there."""
    while True:
        for experiment in as_json(await polar("list", "-o", "json")):
            found = as_json(await polar("get", experiment["id"], "-o", "json"))
            return [UUID(run["id"]) for run in found["runs"]]
        await asyncio.sleep(0.01)


async def test_watching_shows_the_runs_live_and_ends_with_a_table(
    polar_process: "Process",
    worker: "Worker",
    submit: "Submitter",
    spec_of: "SpecMaker",
    reports: "Reports",
) -> None:
    submission = await submit(spec_of(seeds=[0, 1]))
    first, second = (run.id for run in submission.runs)
    watching = [
        asyncio.create_task(polar_process("watch", id)) for id in (submission.experiment.id, first)
    ]
    for run_id in (first, second):
        await worker.claim(run_id)
        await worker.record(run_id, reports.progress(100), reports.evaluation(100))
        await worker.record(run_id, reports.result(spec_of()))
        await worker.finish(run_id)

    of_experiment, of_run = await asyncio.gather(*watching)

    assert (of_experiment.exit_code, of_run.exit_code) == (0, 0)
    assert "seed 0" in of_experiment.stderr
    assert "polarised 0.99" in of_experiment.stderr
    assert of_experiment.stdout.count("polarised") == 2
    assert "One latent of two is active." in of_run.stdout


async def test_get_shows_a_run_with_its_message(
    polar: "Polar", worker: "Worker", submit: "Submitter", spec_of: "SpecMaker"
) -> None:
    run_id = (await submit(spec_of(name="[bold]brackets[/bold"))).runs[0].id

    cancelled = await polar("cancel", run_id)
    shown = await polar("get", run_id)

    assert cancelled.exit_code == shown.exit_code == 0
    assert "cancelled user" in shown.stdout
    assert "cancelled on request" in shown.stdout
    assert await worker.claim(run_id) is None


async def test_names_with_brackets_are_shown_as_they_are(
    polar: "Polar", submit: "Submitter", spec_of: "SpecMaker"
) -> None:
    # They once were markup, which broke the table.
    experiment = (await submit(spec_of(name="beta [/4]"))).experiment

    listed, shown = await polar("list"), await polar("get", experiment.id)

    assert "beta [/4]" in listed.stdout
    assert "beta [/4]" in shown.stdout


async def test_cancelling_an_experiment_cancels_its_runs(polar: "Polar", spec: Path) -> None:
    experiment = as_json(await polar("submit", spec, "-o", "json"))

    first = await polar("cancel", experiment["id"], "-o", "json")
    again = await polar("cancel", experiment["id"], "-o", "json")

    assert [run["state"] for run in as_json(first)["runs"]] == ["cancelled", "cancelled"]
    assert again.exit_code == 0


async def test_cancelling_what_has_ended_is_refused(
    polar: "Polar", worker: "Worker", submit: "Submitter", spec_of: "SpecMaker"
) -> None:
    run_id = (await submit(spec_of())).runs[0].id
    await worker.claim(run_id)
    await worker.finish(run_id)

    result = await polar("cancel", run_id)

    assert result.exit_code == 2
    assert "already ended: it succeeded" in result.stderr


@pytest.mark.parametrize("command", ["get", "watch", "cancel"])
@pytest.mark.parametrize("id", ["00000000-0000-4000-8000-000000000000", "no-id"])
async def test_an_unknown_id_is_said_so(command: str, id: str, polar: "Polar") -> None:
    result = await polar(command, id)

    assert result.exit_code == 2
    assert id in result.stderr
    assert "Traceback" not in result.stderr


async def test_a_service_that_is_not_there_is_said_so(
    polar: "Polar", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.client.connection.PAUSES_S", ())

    result = await polar("list", "--url", "http://127.0.0.1:1")

    assert result.exit_code == 3
    assert "http://127.0.0.1:1" in result.stderr
    assert "polar up" in result.stderr
    assert result.stdout == ""


async def interrupted_when_it_has_said(
    words: str, served: str, *arguments: object
) -> tuple[int | None, str, str]:
    """Exit code, stdout and stderr of a command that gets Ctrl-C as soon as it has said that."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "service.cli", *map(str, arguments),
        env=os.environ | {"POLAR_URL": served}, stdout=PIPE, stderr=PIPE,
    )  # fmt: skip
    assert process.stderr is not None
    said = b""
    while words.encode() not in said:
        line = await asyncio.wait_for(process.stderr.readline(), 60)
        assert line, said
        said += line
    process.send_signal(signal.SIGINT)
    stdout, stderr = await asyncio.wait_for(process.communicate(), 60)
    return process.returncode, stdout.decode(), (said + stderr).decode()


STUDY = "base: {dataset: {name: digits}, model: {}}\nsearch: {model.beta: {log_uniform: [1, 2]}}\n"


async def test_ctrl_c_while_waiting_says_that_it_goes_on_and_how_to_watch_it(
    polar: "Polar", served: str, spec: Path
) -> None:
    code, stdout, stderr = await interrupted_when_it_has_said(
        "submitted experiment", served, "submit", spec, "--wait", "-o", "json"
    )

    (experiment,) = as_json(await polar("list", "-o", "json"))
    assert code == 130
    assert stdout == ""
    assert stderr.startswith(f"submitted experiment {experiment['id']}\n")
    assert f"watch it again with `polar watch {experiment['id']}`" in stderr
    assert "Traceback" not in stderr
    assert experiment["state"] == "queued"


@pytest.mark.parametrize("command", ["experiment", "study"])
async def test_commands_in_messages_reach_the_service_that_was_named(
    command: str, polar: "Polar", served: str, write: "Write"
) -> None:
    # They led to the stack of the home, which knows nothing of these ids.
    (study, create) = (["study"], ["create"]) if command == "study" else ([], ["submit"])
    other = ["get"] if study else ["study", "show"]
    spec = write(STUDY if study else SPEC)

    made = await polar(*study, *create, spec, "--url", served, "-o", "json", service="")
    id = as_json(made)["id"]
    mistaken = await polar(*other, id, "--url", served, service="")
    code, _, interrupted = await interrupted_when_it_has_said(
        "submitted", "", *study, *create, spec, "--wait", "--url", served
    )

    named = f"--url {served}"
    assert made.stderr == f"watch it with: {' '.join(['polar', *study])} watch {id} {named}\n"
    assert mistaken.stderr.endswith(f"{id} {named}`\n")
    assert code == 130
    assert interrupted.endswith(f" {named}`\n")


async def test_ctrl_c_while_a_study_is_waited_for_says_the_same(
    polar: "Polar", served: str, write: "Write"
) -> None:
    code, _, stderr = await interrupted_when_it_has_said(
        "submitted study", served, "study", "create", write(STUDY), "--wait"
    )

    (study,) = as_json(await polar("study", "list", "-o", "json"))
    assert code == 130
    assert stderr.startswith(f"submitted study {study['id']}\n")
    assert f"watch it again with `polar study watch {study['id']}`" in stderr
    assert study["state"] == "running"


@pytest.mark.parametrize("command", ["get", "watch", "cancel"])
async def test_the_id_of_a_study_is_said_to_be_one(
    command: str, polar: "Polar", write: "Write"
) -> None:
    id = as_json(await polar("study", "create", write(STUDY), "-o", "json"))["id"]

    result = await polar(command, id)

    instead = {"get": "show"}.get(command, command)
    assert result.exit_code == 2
    assert result.stderr == (
        f"error: {id} is a study, neither an experiment nor a run: `polar study {instead} {id}`\n"
    )


@pytest.mark.parametrize(
    ("command", "instead"),
    [
        ("show", "get"), ("watch", "watch"), ("cancel", "cancel"), ("pause", "get"),
        ("retry-failed", "get"), ("export", "get"), ("figure", "get"), ("extend", "get"),
    ],
)  # fmt: skip
async def test_the_id_of_an_experiment_or_run_is_said_to_be_no_study(
    command: str, instead: str, polar: "Polar", submit: "Submitter", spec_of: "SpecMaker"
) -> None:
    submission = await submit(spec_of())
    more = [1] if command == "extend" else []

    for id, kind in (
        (submission.experiment.id, "an experiment"),
        (submission.runs[0].id, "a run"),
    ):
        result = await polar("study", command, id, *more)

        assert result.exit_code == 2
        assert result.stderr == f"error: {id} is {kind}, no study: `polar {instead} {id}`\n"


@pytest.mark.parametrize("command", [["get"], ["watch"], ["cancel"], ["study", "show"]])
@pytest.mark.parametrize("id", ["", " ", "x", "00000000"])
async def test_what_is_no_id_is_one_clear_line(
    command: list[str], id: str, polar: "Polar"
) -> None:
    result = await polar(*command, id)

    assert result.exit_code == 2
    assert result.stderr.startswith(f"error: {id!r} is no id; allowed: 36 characters, such as ")
    assert "`polar list`" in result.stderr
    assert len(result.stderr.splitlines()) == 1


async def test_commands_do_not_turn_to_the_stack_of_another_home(
    polar: "Polar", spec: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # With an empty home, they once listed and stored what another stack had on the default port.
    monkeypatch.setenv("POLAR_HOME", str(tmp_path / "empty"))

    for command in (["list"], ["submit", spec], ["study", "list"]):
        result = await polar(*command, service="")

        assert result.exit_code == 3
        assert result.stdout == ""
        assert result.stderr == (
            f"error: no stack runs in {tmp_path}/empty; start it with `polar up`, "
            "or name a service with --url or POLAR_URL\n"
        )


@pytest.mark.parametrize("command", [["submit"], ["validate"]])
async def test_the_spec_of_a_study_is_said_to_be_one(
    command: list[str], polar: "Polar", write: "Write"
) -> None:
    result = await polar(*command, write(STUDY))

    assert result.exit_code == 2
    assert "is the spec of a study; submit it with `polar study create`" in result.stderr


@pytest.mark.parametrize("command", ["create", "validate"])
async def test_the_spec_of_an_experiment_is_said_to_be_no_study(
    command: str, polar: "Polar", write: "Write"
) -> None:
    result = await polar("study", command, write("{dataset: {name: digits}, model: {}}"))

    assert result.exit_code == 2
    assert "is the spec of an experiment; submit it with `polar submit`" in result.stderr


async def test_an_address_without_its_kind_is_refused_before_it_is_asked(polar: "Polar") -> None:
    result = await polar("list", "--url", "127.0.0.1:8650")

    assert result.exit_code == 2
    assert "allowed: http://host:port" in result.stderr


async def test_a_failure_of_the_service_names_its_request(
    polar: "Polar", write: "Write", monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object, **__: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(submission, "submit", fail)

    result = await polar("submit", write("{dataset: {name: digits}, model: {}}"))

    assert result.exit_code == 1
    assert re.fullmatch(
        r"error: the service failed; its log has the request_id: [0-9a-f]{32}\n", result.stderr
    )
