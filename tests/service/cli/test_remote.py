"""The commands that speak with the service."""

from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

import pytest

from polar.records.events import ArtifactSaved
from service.exit_codes import REFUSED
from tests.service.cli.specs import as_json

if TYPE_CHECKING:
    from tests.conftest import Reports
    from tests.service.cli.conftest import Polar, Write
    from tests.service.conftest import SpecMaker, Submitter, Worker


@pytest.fixture(autouse=True)
async def _an_agent_is_there(worker: "Worker") -> None:
    await worker.announce()


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
    assert all(id[:8] in table.stdout for id in made)


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


async def test_get_says_how_to_ask_for_figures_that_are_to_come_and_asks_for_them(
    polar: "Polar",
    worker: "Worker",
    submit: "Submitter",
    spec_of: "SpecMaker",
    reports: "Reports",
) -> None:
    run_id = (await submit(spec_of())).runs[0].id
    await worker.claim(run_id)
    await worker.record(run_id, reports.result(spec_of()).model_copy(update={"summary": None}))
    await worker.finish(run_id)

    shown = await polar("get", run_id)
    asked = await polar("get", run_id, "--findings")

    assert f"to come; `polar get {run_id} --findings` asks for them" in " ".join(
        shown.stdout.split()
    )
    assert "--findings" not in asked.stdout
    assert f"to come; somebody has asked for them; `polar get {run_id}` says when" in " ".join(
        asked.stdout.split()
    )
    run = as_json(await polar("get", run_id, "-o", "json"))
    assert run["findings"]["asked_at"] is not None


async def test_get_writes_the_model_of_a_run(
    polar: "Polar", worker: "Worker", submit: "Submitter", spec_of: "SpecMaker", tmp_path: Path
) -> None:
    run_id = (await submit(spec_of())).runs[0].id
    await worker.claim(run_id)
    mine = tmp_path / "mine.safetensors"

    refused = await polar("get", run_id, "--model", mine)
    assert refused.exit_code == REFUSED
    assert "there is no file of this run named model.safetensors" in refused.stderr
    assert not mine.exists()

    (tmp_path / "kept").write_bytes(b"weights")
    await worker.record(run_id, ArtifactSaved(name="model.safetensors", path="kept"))
    written = await polar("get", run_id, "--model", mine, "-o", "json")

    assert as_json(written)["id"] == str(run_id)
    assert mine.read_bytes() == b"weights"


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
    assert "already ended as succeeded" in result.stderr


async def test_extending_shows_the_experiment_that_goes_on(
    polar: "Polar",
    finished_run: UUID,
) -> None:
    extended = await polar("extend", finished_run, "--steps", 300)
    again = as_json(await polar("extend", finished_run, "--steps", 300, "-o", "json"))
    refused = await polar("extend", finished_run, "--steps", 100)

    assert extended.exit_code == 0
    assert "polar watch" in extended.stderr
    assert again["spec"]["training"]["steps"] == 300
    assert again["runs"][0]["reused"]
    assert refused.exit_code == 2
    assert "allowed: an integer from 101" in refused.stderr


@pytest.mark.parametrize("command", ["get", "watch", "cancel"])
@pytest.mark.parametrize("id", ["00000000-0000-4000-8000-000000000000", "no-id"])
async def test_an_unknown_id_is_said_so(command: str, id: str, polar: "Polar") -> None:
    result = await polar(command, id)

    assert result.exit_code == 2
    assert id in result.stderr
    assert "Traceback" not in result.stderr


STUDY = "base: {dataset: {name: digits}, model: {}}\nsearch: {model.beta: {log_uniform: [1, 2]}}\n"


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
        assert result.stderr == f"error: {id} is {kind}, not a study: `polar {instead} {id}`\n"


@pytest.mark.parametrize("command", [["get"], ["watch"], ["cancel"], ["study", "show"]])
@pytest.mark.parametrize("id", ["", " ", "x", "000", "00000000"])
async def test_what_is_no_id_is_one_clear_line(
    command: list[str], id: str, polar: "Polar"
) -> None:
    result = await polar(*command, id)

    assert result.exit_code == 2
    assert result.stderr.startswith(
        f"error: nothing is named {id!r}, and no id begins so; allowed: a name, or an id, such as "
    )
    assert "`polar list`" in result.stderr
    assert len(result.stderr.splitlines()) == 1


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
