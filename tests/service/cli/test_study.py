"""The commands of studies; no broker is there, it is pretended."""

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest

from service.storage.states import StudyState, TrialState
from tests.service.cli.specs import STUDY

if TYPE_CHECKING:
    from tests.service.cli.conftest import Polar, Process, Write
    from tests.service.conftest import Trials, Worker

#: What a study can be told, with its arguments after the id.
ORDERS = [["pause"], ["resume"], ["cancel"], ["retry-failed"], ["extend", 2]]


@pytest.fixture(autouse=True)
async def _an_agent_is_there(worker: "Worker") -> None:
    await worker.announce()


@pytest.fixture
def spec(write: "Write") -> Path:
    return write(STUDY)


async def answer(polar: "Polar", *arguments: object) -> Any:  # noqa: ANN401
    """What a command of studies prints, which must be JSON and nothing else."""
    result = await polar("study", *arguments, "-o", "json")
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


async def test_creating_shows_the_study_and_how_to_watch_it(polar: "Polar", spec: Path) -> None:
    result = await polar("study", "create", spec)

    (study,) = await answer(polar, "list")
    assert result.exit_code == 0
    assert f"study {study['id']} 'mine': running" in result.stdout
    assert f"polar study watch {study['id']}" in result.stderr


async def test_json_is_the_answer_of_the_api(polar: "Polar", spec: Path) -> None:
    study = await answer(polar, "create", spec)

    shown = await answer(polar, "show", study["id"])

    assert study["spec"]["search"]["model.beta"]["log_uniform"] == [0.01, 100]
    assert study["trials_wanted"] == 2
    assert shown == study


@pytest.mark.parametrize(("sampler", "has_best"), [("random", True), ("range", False)])
async def test_showing_a_study_shows_its_trials_and_the_best_of_them_unless_it_seeks_a_range(
    sampler: str, has_best: bool, polar: "Polar", write: "Write", trials: "Trials"
) -> None:
    spec = write(f"{STUDY}sampler: {sampler}\n")
    study_id = UUID((await answer(polar, "create", spec))["id"])
    first = await trials.begin(study_id, beta=0.25)
    await trials.end(first, 0.75, regimes=["clean", "clean"])
    await trials.end(await trials.begin(study_id, beta=50.0), state=TrialState.FAILED)
    await trials.begin(study_id, beta=2.0)

    result = await polar("study", "show", study_id)

    lines = [line.split() for line in result.stdout.splitlines()]
    assert "trials  1 of 2 completed, 1 failed, 1 running\n" in result.stdout
    assert ("0.75 at model.beta=0.25" in result.stdout) is has_best
    assert ["0", "completed", "model.beta=0.25", "0.75", "clean"] in lines
    assert ["1", "failed", "model.beta=50", "it", "went", "wrong"] in lines
    assert ["2", "running", "model.beta=2"] in lines


async def test_showing_a_study_shows_the_band_that_it_has_found(
    polar: "Polar", spec: Path, trials: "Trials"
) -> None:
    study_id = UUID((await answer(polar, "create", spec))["id"])
    moving = {"is_settled": False, "factor": 0.5, "low": 0.4, "high": 0.6}
    rest = {"at": None, "width": None, "movement": None}
    band = {
        "left": {"low": 0.31, "high": 0.34, "confidence": 0.9, **rest, "movement": moving},
        "right": {"low": 12.1, "high": 13.0, "confidence": 0.9, **rest},
    }
    found: dict[str, Any] = {
        "outcome": "found",
        "intervals": [band],
        "envelope": band,
        "settled": True,
        "weights": 9,
        "trainings": 9,
        "steps": 2000,
        "headline": "Clean over 2 seeds.",
    }
    await trials.end_study(study_id, **found)

    result = await polar("study", "show", study_id)

    lines = [line.split() for line in result.stdout.splitlines()]
    assert "Clean over 2 seeds." in result.stdout
    assert "9 weights, 9 trainings" in result.stdout
    rows = [" ".join(line) for line in lines]
    left = "0.31..0.34 90 % over seeds moving by 1/2 per doubling"
    assert f"envelope left {left}" in rows
    assert "envelope right 12.1..13 90 % over seeds not known to be settled" in rows
    assert (await answer(polar, "show", study_id))["range"]["envelope"] == band


async def test_the_list_ends_at_its_limit_and_shows_names_with_brackets(
    polar: "Polar", write: "Write"
) -> None:
    spec = write(STUDY.replace("mine", "'beta [/4]'"))
    made = [(await answer(polar, "create", spec))["id"] for _ in range(3)]

    listed = await answer(polar, "list", "--limit", 2)
    table = await polar("study", "list")

    assert [study["id"] for study in listed] == [made[2], made[1]]
    assert all(id[:8] in table.stdout for id in made)
    assert table.stdout.count("beta [/4]") == 3


@pytest.mark.parametrize(("sampler", "runs"), [("tpe", 4), ("range", 2)])
async def test_validating_says_how_many_trainings_there_would_be(
    sampler: str, runs: int, polar: "Polar", write: "Write"
) -> None:
    spec = write(f"{STUDY}sampler: {sampler}\n")

    plan = await answer(polar, "validate", spec)
    table = await polar("study", "validate", spec)

    assert (plan["trials"], plan["runs"], plan["estimated_s"]) == (2, runs, None)
    assert "the study is valid" in table.stdout
    assert "after 2 completed trials" in table.stdout
    assert "unknown (no run of this dataset" in table.stdout
    assert await answer(polar, "list") == []


@pytest.mark.parametrize("command", ["create", "validate"])
async def test_a_wrong_study_is_refused_fault_by_fault(
    command: str, polar: "Polar", write: "Write"
) -> None:
    spec = write(
        "base: {dataset: {name: digits}, model: {beta: -1}}\n"
        "search: {model.beta: {log_uniform: [0, 1]}}\nsamplr: tpe"
    )

    result = await polar("study", command, spec, "-o", "json")

    assert result.exit_code == 2
    assert result.stdout == ""
    assert "error: the service refuses this" in result.stderr
    assert "/base/model/beta: " in result.stderr
    assert "a logarithmic range cannot include 0" in result.stderr
    assert "Did you mean 'sampler'?" in result.stderr
    assert await answer(polar, "list") == []


@pytest.mark.parametrize("text", ["", "- 1", "a: [", "nowhere"])
async def test_a_file_that_is_no_study_is_refused(
    text: str, polar: "Polar", write: "Write"
) -> None:
    result = await polar("study", "create", write(text))

    assert result.exit_code == 2
    assert "error: " in result.stderr


async def test_a_study_is_paused_resumed_extended_and_cancelled(
    polar: "Polar", spec: Path
) -> None:
    id = (await answer(polar, "create", spec))["id"]

    paused = await answer(polar, "pause", id)
    resumed = await answer(polar, "resume", id)
    extended = await answer(polar, "extend", id, 5)
    cancelled = await answer(polar, "cancel", id)

    assert paused["state"] == "paused"
    assert resumed["state"] == "running"
    assert extended["trials_wanted"] == 7
    assert cancelled["state"] == "cancelled"


async def test_failed_trials_are_tried_again(polar: "Polar", spec: Path, trials: "Trials") -> None:
    study_id = UUID((await answer(polar, "create", spec))["id"])
    nothing_failed = await polar("study", "retry-failed", study_id)
    await trials.end(await trials.begin(study_id, beta=1.0), state=TrialState.FAILED)
    await trials.end_study(study_id, StudyState.FAILED)

    repaired = await answer(polar, "retry-failed", study_id)

    assert nothing_failed.exit_code == 2
    assert "no failed trial" in nothing_failed.stderr
    assert repaired["state"] == "running"


async def test_extending_without_saying_by_what_says_how(polar: "Polar", spec: Path) -> None:
    id = (await answer(polar, "create", spec))["id"]

    result = await polar("study", "extend", id)

    assert result.exit_code == 2
    assert f"polar study extend {id} 8" in result.stderr


async def test_extending_by_nothing_is_refused(polar: "Polar", spec: Path) -> None:
    id = (await answer(polar, "create", spec))["id"]

    result = await polar("study", "extend", id, 0)

    assert result.exit_code == 2
    assert "/trials: " in result.stderr
    assert "an integer from 1 to 10000" in result.stderr


async def test_a_study_gets_more_seeds_for_every_trial(
    polar: "Polar", write: "Write", trials: "Trials"
) -> None:
    spec = write(f"{STUDY}sampler: tpe\n")
    study_id = UUID((await answer(polar, "create", spec))["id"])
    await trials.end(await trials.begin(study_id, beta=1.0), 0.5)
    await trials.end_study(study_id)

    extended = await answer(polar, "extend", study_id, "--seeds", 3, "--seeds", 4)
    again = await polar("study", "extend", study_id, "--seeds", 4)

    assert (extended["state"], extended["trials_wanted"]) == ("running", 2)
    assert extended["seeds_wanted"] == [0, 1, 3, 4]
    assert again.exit_code == 2
    assert "these seeds already: [4]" in again.stderr


async def test_a_range_study_gets_more_seeds_for_its_new_trials(
    polar: "Polar", spec: Path, trials: "Trials"
) -> None:
    study_id = UUID((await answer(polar, "create", spec))["id"])
    await trials.end_study(study_id)

    alone = await polar("study", "extend", study_id, "--seeds", 3)
    extended = await answer(polar, "extend", study_id, 2, "--seeds", 3)

    assert alone.exit_code == 2
    assert "allowed: trials, or trials and seeds" in alone.stderr
    assert (extended["state"], extended["trials_wanted"]) == ("running", 4)
    assert extended["seeds_wanted"] == [0, 1, 3]


async def test_a_study_whose_steps_are_limited_says_so(polar: "Polar", write: "Write") -> None:
    spec = write(STUDY.replace("trials: 2", "trials: 2, steps: 9000"))

    created = await answer(polar, "create", spec)
    shown = await polar("study", "show", created["id"])

    assert created["steps_wanted"] == 9000
    assert "9,000 training steps" in shown.stdout


async def test_the_trials_of_a_range_study_show_their_seed_and_their_steps(
    polar: "Polar", spec: Path, trials: "Trials"
) -> None:
    study_id = UUID((await answer(polar, "create", spec))["id"])
    point = {"beta": 0.25, "seed": 1, "training.steps": 6000}
    await trials.end(await trials.begin(study_id, **point), 0.75, regimes=["forming"])

    result = await polar("study", "show", study_id)

    line = next(line for line in result.stdout.splitlines() if line.split()[:1] == ["0"])
    shown = {"model.beta=0.25", "seed=1", "training.steps=6000", "0.75", "forming"}
    assert shown <= set(line.split())


@pytest.mark.parametrize(
    ("end", "code"),
    [(StudyState.COMPLETED, 0), (StudyState.FAILED, 1), (StudyState.CANCELLED, 1)],
)
async def test_waiting_ends_with_the_study_and_tells_whether_it_completed(
    end: StudyState,
    code: int,
    polar: "Polar",
    polar_process: "Process",
    write: "Write",
    trials: "Trials",
) -> None:
    spec = write(f"{STUDY}sampler: random\n")
    waiting = asyncio.create_task(polar_process("study", "create", spec, "--wait"))
    study_id = await id_of_the_only_study(polar)
    await trials.end(await trials.begin(study_id, beta=0.5), 0.75)
    await trials.end_study(study_id, end)

    result = await waiting

    assert result.exit_code == code
    assert "best 0.75 at model.beta=0.5" in result.stderr
    assert f"study {study_id} 'mine': {end}" in result.stdout
    assert "it has what it wanted" in result.stdout


async def id_of_the_only_study(polar: "Polar") -> UUID:
    """As soon as it is there."""
    while True:
        for study in await answer(polar, "list"):
            return UUID(study["id"])
        await asyncio.sleep(0.01)


async def test_watching_a_study_that_has_ended_shows_it(
    polar: "Polar", spec: Path, trials: "Trials"
) -> None:
    id = (await answer(polar, "create", spec))["id"]
    await trials.end_study(UUID(id))

    assert (await answer(polar, "watch", id))["state"] == "completed"


@pytest.mark.parametrize("command", [["show"], ["watch"], ["export"], *ORDERS])
@pytest.mark.parametrize("id", ["00000000-0000-4000-8000-000000000000", "no-id"])
async def test_an_unknown_id_is_said_so(command: list[object], id: str, polar: "Polar") -> None:
    name, *arguments = command

    result = await polar("study", name, id, *arguments)

    assert result.exit_code == 2
    assert id in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("command", [["list"], ["show", uuid4()], ["extend", uuid4(), 1]])
async def test_a_service_that_is_not_there_is_said_so(
    command: list[object], polar: "Polar", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.client.connection.PAUSES_S", ())

    result = await polar("study", *command, "--url", "http://127.0.0.1:1")

    assert result.exit_code == 3
    assert "http://127.0.0.1:1" in result.stderr
    assert "polar up" in result.stderr
    assert result.stdout == ""
