"""`polar delete` and `polar study delete`."""

from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

import pytest

from tests.service.cli.specs import as_json

if TYPE_CHECKING:
    from tests.service.cli.conftest import Polar, Write
    from tests.service.conftest import Worker


@pytest.fixture(autouse=True)
async def _an_agent_is_there(worker: "Worker") -> None:
    await worker.announce()


async def test_nothing_is_deleted_before_somebody_says_yes(polar: "Polar", spec: Path) -> None:
    experiment = as_json(await polar("submit", spec, "-o", "json"))
    await polar("cancel", experiment["id"])

    result = await polar("delete", experiment["id"])

    assert (result.exit_code, result.stdout) == (2, "")
    assert "this would be deleted for good:" in result.stderr
    assert f"experiment mine: cancelled, {experiment['id']}" in result.stderr
    run = await polar("delete", experiment["runs"][0]["id"])
    assert (
        f"  run {experiment['runs'][0]['id']}: cancelled, and its experiment, if that has no "
        "other run\n" in run.stderr
    )
    assert "say --yes" in result.stderr
    assert "error" not in result.stderr
    assert (await polar("get", experiment["id"])).exit_code == 0


async def test_an_experiment_and_a_run_of_it_are_deleted_together(
    polar: "Polar", spec: Path
) -> None:
    experiment = as_json(await polar("submit", spec, "-o", "json"))
    ids = [experiment["id"], experiment["runs"][0]["id"]]
    await polar("cancel", experiment["id"])

    deleted = await polar("delete", *ids, "--yes", "-o", "json")
    again = await polar("delete", *ids, "--yes")

    assert [(each["kind"], each["id"]) for each in as_json(deleted)] == [
        ("experiment", ids[0]),
        ("run", ids[1]),
    ]
    assert again.exit_code == 2
    assert f"there is no experiment, no run and no study {ids[0]}" in again.stderr
    assert as_json(await polar("list", "-o", "json")) == []


async def test_what_goes_on_is_refused_with_what_helps(
    polar: "Polar", spec: Path, worker: "Worker"
) -> None:
    experiment = as_json(await polar("submit", spec, "-o", "json"))
    await worker.claim(UUID(experiment["runs"][0]["id"]))

    result = await polar("delete", experiment["id"], "--yes")

    assert result.exit_code == 2
    assert "cannot be deleted while its run" in result.stderr
    assert "cancel it first, or wait" in result.stderr


async def test_a_study_is_deleted_by_either_command(polar: "Polar", write: "Write") -> None:
    text = (
        "base: {dataset: {name: digits}, model: {}}\n"
        "search: {model.beta: {log_uniform: [0.01, 100]}}\nbudget: {trials: 3}"
    )
    first, second = [
        as_json(await polar("study", "create", write(text), "-o", "json"))["id"] for _ in range(2)
    ]
    goes_on = await polar("study", "delete", first, "--yes")
    for id in (first, second):
        await polar("study", "cancel", id)

    unsure = await polar("study", "delete", first)
    deleted = await polar("study", "delete", first, "--yes")
    other = await polar("delete", second, "--yes")

    assert f"`polar study cancel {first}`" in goes_on.stderr
    assert (unsure.exit_code, deleted.exit_code, other.exit_code) == (2, 0, 0)
    assert deleted.stdout.split() == ["deleted", "id", "study", first]
    assert as_json(await polar("study", "list", "-o", "json")) == []


async def test_the_study_command_takes_no_experiment(polar: "Polar", spec: Path) -> None:
    experiment = as_json(await polar("submit", spec, "-o", "json"))

    result = await polar("study", "delete", experiment["id"], "--yes")

    assert result.exit_code == 2
    assert f"`polar delete {experiment['id']}`" in result.stderr


@pytest.mark.parametrize("command", [("delete",), ("study", "delete")])
async def test_a_name_like_the_beginning_of_an_id_deletes_nothing(
    polar: "Polar", write: "Write", command: tuple[str, ...]
) -> None:
    text = (
        "name: deadbeef\nbase: {dataset: {name: digits}, model: {}}\n"
        "search: {model.beta: {log_uniform: [0.01, 100]}}\nbudget: {trials: 3}"
    )
    id = as_json(await polar("study", "create", write(text), "-o", "json"))["id"]
    await polar("study", "cancel", id)

    by_name = await polar(*command, "deadbeef", "--yes")
    by_beginning = await polar(*command, id[:8], "--yes")

    assert by_name.exit_code == 2
    assert "study deadbeef" in by_name.stderr
    assert by_beginning.stdout.split() == ["deleted", "id", "study", id]
