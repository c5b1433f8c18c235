"""Waiting for runs and studies, watching them, and leaving them with Ctrl-C."""

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

import pytest

from service.storage.states import RunState
from tests.service.cli.specs import SPEC, as_json

if TYPE_CHECKING:
    from tests.conftest import Reports
    from tests.service.cli.conftest import Polar, Process, Write
    from tests.service.conftest import SpecMaker, Submitter, Worker


@pytest.fixture(autouse=True)
async def _an_agent_is_there(worker: "Worker") -> None:
    await worker.announce()


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
    assert "clean 0.99" in of_experiment.stderr
    assert of_experiment.stdout.count("clean") == 2
    assert "One latent of two is active." in of_run.stdout


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


async def test_a_pipe_is_told_at_once_how_it_is(
    polar: "Polar", served: str, spec: Path, write: "Write"
) -> None:
    # They said nothing until the end.
    experiment = as_json(await polar("submit", spec, "-o", "json"))["id"]
    study = as_json(await polar("study", "create", write(STUDY), "-o", "json"))["id"]

    for words, *command in (
        ("seed 1: queued, 1 before it", "watch", experiment),
        ("trials: 0/", "study", "watch", study),
    ):
        code, stdout, _ = await interrupted_when_it_has_said(words, served, *command)
        assert (code, stdout) == (130, "")


async def test_waiting_for_what_was_extended_does_not_say_that_it_was_submitted(
    polar: "Polar",
    served: str,
    finished_run: UUID,
) -> None:
    _, _, stderr = await interrupted_when_it_has_said(
        "experiment", served, "extend", finished_run, "--steps", 300, "--wait"
    )

    newest, _ = as_json(await polar("list", "-o", "json"))
    assert stderr.startswith(f"extended {finished_run} to 300 steps: experiment {newest['id']}\n")


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
