"""Logs, figures and comparisons of runs, runs that are tried again, and the best trials."""

import asyncio
import json
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from polar.records.events import ArtifactSaved
from polar.regime.table import diagnostics_table
from service.cli import logs
from service.exit_codes import REFUSED
from service.settings import Settings
from service.storage import runs
from service.storage.database import Database
from service.storage.states import RunState
from tests.service.cli.specs import as_json

if TYPE_CHECKING:
    from tests.conftest import Reports
    from tests.service.cli.conftest import Polar, Write
    from tests.service.conftest import SpecMaker, Submitter, Trials, Worker


@pytest.fixture(autouse=True)
async def _an_agent_is_there(worker: "Worker") -> None:
    await worker.announce()


@pytest.fixture
async def running(submit: "Submitter", spec_of: "SpecMaker", worker: "Worker") -> UUID:
    """The id of a run that trains."""
    run_id = (await submit(spec_of(model={"beta": 2}))).runs[0].id
    await worker.claim(run_id)
    return run_id


def log_of(settings: Settings, run_id: UUID, attempt: int = 1) -> Path:
    path = settings.artifacts / "runs" / str(run_id) / f"attempt-{attempt}" / "log.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


async def test_logs_show_what_a_run_has_printed_without_control_characters(
    polar: "Polar", running: UUID, settings: Settings
) -> None:
    log = log_of(settings, running)
    none = await polar("logs", running)
    log.touch()
    empty = await polar("logs", running)
    log.write_text("step 1\n\x1b[2Jerror")

    shown = await polar("logs", running.hex[:8])
    last = await polar("logs", running, "-n", 1, "--attempt", 1)

    assert none.exit_code == REFUSED
    assert "the log of attempt 1" in none.stderr
    assert (empty.exit_code, empty.stdout) == (0, "")
    assert f"attempt 1 of run {running} has printed nothing" in empty.stderr
    assert shown.stdout == "step 1\n�[2Jerror\n"
    assert last.stdout == "�[2Jerror\n"
    assert as_json(await polar("logs", running, "-o", "json")) == [
        {"attempt": 1, "line": "step 1"},
        {"attempt": 1, "line": "\x1b[2Jerror"},
    ]


@pytest.mark.parametrize("is_json", [False, True])
async def test_a_log_is_followed_from_attempt_to_attempt_until_the_run_has_ended(
    is_json: bool,
    polar: "Polar",
    running: UUID,
    settings: Settings,
    worker: "Worker",
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    log = log_of(settings, running)
    log.write_text("one\n")

    async def goes_on() -> None:
        with log.open("a") as file:
            file.write("two\nthe last ")

    async def is_lost() -> None:
        with log.open("a") as file:
            file.write("words of an attempt\n\nhalf")
        async with database.transaction() as session:
            await runs.release(session, running, 1, reason="child_killed", message="")
        await worker.claim(running)

    async def ends() -> None:
        log_of(settings, running, 2).write_text("again\nthe end")
        await worker.finish(running, RunState.FAILED, attempt=2)

    steps, loop = iter([goes_on, is_lost, ends]), asyncio.get_running_loop()

    def next_step(_pause_s: float) -> None:
        asyncio.run_coroutine_threadsafe(next(steps)(), loop).result(60)

    monkeypatch.setattr(logs, "time", SimpleNamespace(sleep=next_step))
    output = ["--output", "json"] if is_json else []
    ended = await polar("logs", "-f", running, *output)
    first = await polar("logs", "-f", running, "--attempt", 1, *output)

    lines = ["one", "two", "the last words of an attempt", "", "half"]
    expected = "\n".join(lines)
    if is_json:
        expected = "".join(f"{json.dumps({'attempt': 1, 'line': line})}\n" for line in lines)
    assert (ended.exit_code, first.exit_code) == (0, 0)
    assert first.stdout == expected
    assert ended.stdout.startswith(expected)
    rest = ended.stdout.removeprefix(expected)
    if is_json:
        again = [json.loads(line) for line in rest.splitlines()]
        assert again == [{"attempt": 2, "line": line} for line in ("again", "the end")]
    else:
        assert rest == "again\nthe end"
    assert "attempt 2 begins" in ended.stderr
    assert f"run {running} is running; what it prints follows" in ended.stderr


async def test_following_says_where_there_is_no_log_and_none_will_come(
    polar: "Polar", running: UUID, worker: "Worker", submit: "Submitter", spec_of: "SpecMaker"
) -> None:
    waiting = (await submit(spec_of(seeds=[7]))).runs[0].id
    await polar("cancel", waiting)
    await worker.finish(running, RunState.FAILED)

    removed = await polar("logs", "-f", running)
    later = await polar("logs", "-f", running, "--attempt", 2)
    never = await polar("logs", "-f", waiting)

    assert removed.exit_code == later.exit_code == never.exit_code == REFUSED
    assert "the log of attempt 1" in removed.stderr
    assert "has no attempt 2; allowed: attempts 1 to 1" in later.stderr
    assert "no agent began it" in never.stderr


async def test_a_failed_run_is_tried_again(
    polar: "Polar", running: UUID, worker: "Worker"
) -> None:
    refused = await polar("rerun", running)
    await worker.finish(running, RunState.FAILED)

    again = await polar("rerun", running.hex[:8])
    (listed,) = as_json(await polar("list", "--tag", f"repeats={running}", "-o", "json"))

    assert refused.exit_code == REFUSED
    assert "allowed: runs that have failed or were cancelled" in refused.stderr
    assert again.exit_code == 0
    assert listed["id"] in again.stdout
    assert f"polar watch {listed['id']}" in again.stderr


async def test_figures_of_a_run_and_of_an_experiment_are_saved(
    polar: "Polar", running: UUID, worker: "Worker", settings: Settings, tmp_path: Path
) -> None:
    none = await polar("figures", running, "--out", tmp_path / "none")
    for name in ("traversals", "entropies"):
        (settings.artifacts / name).write_bytes(name.encode())
        await worker.record(running, ArtifactSaved(name=f"figures/{name}.png", path=name))
    await worker.finish(running)
    (experiment,) = as_json(await polar("list", "-o", "json"))

    saved = await polar("figures", running, "--out", tmp_path / "of" / "run")
    of_all = await polar("figures", experiment["id"], "--out", tmp_path / "all", "-o", "json")

    assert none.exit_code == REFUSED
    assert "has no figures yet" in none.stderr
    assert "drawing" not in saved.stderr  # pictures of pixels are there already
    folder = tmp_path / "of" / "run"
    assert sorted(saved.stdout.split()) == [
        str(folder / "entropies.png"), str(folder / "traversals.png")
    ]  # fmt: skip
    assert (folder / "traversals.png").read_bytes() == b"traversals"
    assert sorted(as_json(of_all)) == [
        str(tmp_path / "all" / "seed-0" / f"{name}.png") for name in ("entropies", "traversals")
    ]


async def test_figures_of_a_run_are_saved_as_svg(
    polar: "Polar",
    running: UUID,
    worker: "Worker",
    settings: Settings,
    tmp_path: Path,
    reports: "Reports",
) -> None:
    out = settings.artifacts / "out"
    (out / "figures").mkdir(parents=True)
    diagnostics_table([reports.evaluation(10)]).to_parquet(out / "diagnostics.parquet")
    (out / "measurement.json").write_text('{"verdict": {"tau_nats": 0.25}}')
    name = "figures/sorted_entropies.png"
    await worker.record(running, ArtifactSaved(name=name, path=f"out/{name}"))
    await worker.finish(running)

    saved = await polar("figures", running, "--out", tmp_path / "new", "--format", "svg")
    other = await polar("figures", running, "--format", "gif")

    picture = tmp_path / "new" / "sorted_entropies.svg"
    assert saved.stdout.split() == [str(picture)], saved.stderr
    assert saved.stderr == "drawing 1 of 1: sorted_entropies.svg\n"
    assert picture.read_bytes().startswith(b"<?xml")
    assert other.exit_code == REFUSED
    assert "'gif' is not one of 'png', 'svg'," in other.stderr


async def test_a_folder_that_cannot_be_made_is_refused(
    polar: "Polar", running: UUID, worker: "Worker", settings: Settings, tmp_path: Path
) -> None:
    (settings.artifacts / "drawn").write_bytes(b"drawn")
    await worker.record(running, ArtifactSaved(name="figures/a.png", path="drawn"))
    await worker.finish(running)
    (tmp_path / "file").touch()

    refused = await polar("figures", running, "--out", tmp_path / "file" / "below")

    assert refused.exit_code == REFUSED
    assert "cannot write into" in refused.stderr


@pytest.fixture
async def compared(
    running: UUID,
    submit: "Submitter",
    spec_of: "SpecMaker",
    worker: "Worker",
    reports: "Reports",
) -> list[UUID]:
    """Two runs that were evaluated and differ in beta and seed."""
    other = (await submit(spec_of(model={"beta": 8}, seeds=[5]))).runs[0].id
    await worker.claim(other)
    for run_id in (running, other):
        await worker.record(run_id, reports.evaluation(10), reports.evaluation(20))
    return [running, other]


async def test_runs_are_compared_latent_by_latent(
    polar: "Polar", compared: list[UUID], reports: "Reports"
) -> None:
    table = await polar("compare", *compared)
    answer = as_json(await polar("compare", *(id.hex[:8] for id in compared), "-o", "json"))

    rows = {line.split("  ")[0]: line.split()[1:] for line in table.stdout.splitlines() if line}
    latents = sorted(reports.evaluation(20).latents, key=lambda each: -each.judged_entropy_nats)
    assert table.stdout.splitlines()[0].split() == [id.hex[:8] for id in compared]
    assert rows["model.beta"] == ["2", "8"]
    assert rows["seed"] == ["0", "5"]
    assert rows["step"] == ["20", "20"]
    for rank, latent in enumerate(latents, 1):
        cell = [f"{latent.judged_entropy_nats:.3f}", latent.label, f"({latent.latent})"]
        assert rows[str(rank)] == cell * 2
    assert [each["run"] for each in answer] == [str(id) for id in compared]
    assert [each["latent"] for each in answer[1]["latents"]] == [each.latent for each in latents]


async def test_what_cannot_be_compared_is_refused(
    polar: "Polar", compared: list[UUID], submit: "Submitter", spec_of: "SpecMaker"
) -> None:
    new = (await submit(spec_of(seeds=[9]))).runs[0].id

    alone = await polar("compare", compared[0], compared[0])
    unseen = await polar("compare", compared[0], new)
    many = (await submit(spec_of(seeds=list(range(10, 19))))).experiment.id

    assert alone.exit_code == unseen.exit_code == REFUSED
    assert "2 to 8 runs can be compared; given: 1" in alone.stderr
    assert f"run {new} is queued and has not been evaluated yet" in unseen.stderr
    assert "given: 9" in (await polar("compare", many)).stderr


async def test_the_best_trials_of_a_study_are_listed(
    polar: "Polar", write: "Write", trials: "Trials"
) -> None:
    spec = write(
        "base: {dataset: {name: digits}, model: {}}\nsearch: {model.beta: {log_uniform: [1, 9]}}\n"
        "objectives: [polarisation, explained]\nsampler: random\n"
    )
    made: dict[str, Any] = as_json(await polar("study", "create", spec, "-o", "json"))
    for beta, values in ((2.0, (0.5, 0.9)), (3.0, (0.4, 0.8)), (4.0, (0.9, 0.1))):
        await trials.end(await trials.begin(UUID(made["id"]), beta=beta), *values)

    front = await polar("study", "pareto", made["id"][:8])
    answer = as_json(await polar("study", "pareto", made["id"], "-o", "json"))

    assert [trial["number"] for trial in answer["trials"]] == [0, 2]
    assert "polarisation (maximize)" in front.stdout
    assert "model.beta=4" in front.stdout
    assert "model.beta=3" not in front.stdout
    refused = await polar("study", "pareto", "nothing")
    mistaken = await polar("compare", made["id"], made["id"])
    assert refused.exit_code == mistaken.exit_code == REFUSED
    assert f"`polar study show {made['id']}`" in mistaken.stderr


ONE_OBJECTIVE = (
    "name: sweep\nbase: {dataset: {name: digits}, model: {}}\n"
    "search: {model.beta: {log_uniform: [1, 9]}}\nobjectives: [polarisation]\nsampler: random\n"
)


async def test_with_one_objective_it_is_said_that_the_front_is_the_best_trial(
    polar: "Polar", write: "Write", trials: "Trials"
) -> None:
    made = as_json(await polar("study", "create", write(ONE_OBJECTIVE), "-o", "json"))
    await trials.end(await trials.begin(UUID(made["id"]), beta=2.0), 0.5)
    one = await polar("study", "pareto", "sweep")
    await trials.end(await trials.begin(UUID(made["id"]), beta=3.0), 0.5)
    two = await polar("study", "pareto", "sweep")

    only = "polarisation is the only objective of the study: "
    assert one.stderr == f"{only}this is its best trial\n"
    assert two.stderr == f"{only}these 2 are its best trials, which are equally good\n"
    assert len(two.stdout.splitlines()) == 3


async def test_a_study_without_best_trials_says_why_and_what_to_do_instead(
    polar: "Polar", write: "Write", trials: "Trials"
) -> None:
    limits = "[{measure: explained, at_least: 0.5}, {measure: n_active, at_most: 3}]"
    spec = write(f"{ONE_OBJECTIVE}constraints: {limits}\n")
    id = as_json(await polar("study", "create", spec, "-o", "json"))["id"]
    trial = await trials.begin(UUID(id), beta=2.0)
    new = await polar("study", "pareto", id)
    as_object = await polar("study", "pareto", id, "-o", "json")
    await trials.end(trial, 0.5, explained=0.25, n_active=2)
    limited = await polar("study", "pareto", id)

    instead = f"`polar study show {id}` shows all its trials\n"
    assert (new.exit_code, new.stdout, as_json(as_object)["trials"]) == (0, "", [])
    assert new.stderr == (
        f"study sweep: running, and none of its trials is completed yet; {instead}"
    )
    assert limited.stderr == (
        "study sweep: running, and no completed trial keeps all limits: "
        f"explained at least 0.5, n_active at most 3; {instead}"
    )


async def test_rm_deletes_and_is_not_in_the_list_of_commands(
    polar: "Polar", running: UUID, worker: "Worker"
) -> None:
    await worker.finish(running)

    removed = await polar("rm", running.hex[:8], "--yes")

    assert removed.exit_code == 0
    assert (await polar("get", running)).exit_code == REFUSED
    listed = (await polar("--help")).stdout
    assert "delete" in listed
    assert " rm " not in listed
