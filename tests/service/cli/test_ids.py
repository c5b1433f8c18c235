"""What people write for experiments, runs and studies: ids, how they begin, and names."""

from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
from sqlalchemy import update

from service.client import Client, ClientError
from service.exit_codes import REFUSED
from service.storage.database import Database
from service.storage.study_tables import Study
from service.storage.tables import Experiment
from tests.service.cli.specs import as_json

if TYPE_CHECKING:
    from tests.service.cli.conftest import Polar, Write
    from tests.service.conftest import SpecMaker, Submitter, Worker

STUDY = (
    "name: sweep\nbase: {dataset: {name: digits}, model: {}}\n"
    "search: {model.beta: {log_uniform: [1, 2]}}\n"
)
SAME = "5a0f6f0e-{:04}-4d52-9f5e-2c7d8a4b9e61"


@pytest.fixture(autouse=True)
async def _an_agent_is_there(worker: "Worker") -> None:
    await worker.announce()


@pytest.fixture
async def experiment(polar: "Polar", spec: Path) -> dict[str, Any]:
    """The experiment `mine`, with two runs."""
    made: dict[str, Any] = as_json(await polar("submit", spec, "-o", "json"))
    return made


@pytest.fixture
async def study(polar: "Polar", write: "Write") -> str:
    """The id of the study `sweep`."""
    return str(as_json(await polar("study", "create", write(STUDY), "-o", "json"))["id"])


async def test_the_digits_that_tables_show_are_enough_for_every_command(
    polar: "Polar", experiment: dict[str, Any], study: str
) -> None:
    run = experiment["runs"][0]["id"]

    assert as_json(await polar("get", run[:8], "-o", "json"))["id"] == run
    assert as_json(await polar("get", experiment["id"][:8], "-o", "json")) == experiment
    for command in ("show", "pause", "resume", "cancel"):
        shown = await polar("study", command, study[:8].upper(), "-o", "json")
        assert as_json(shown)["id"] == study, command
    cancelled = await polar("cancel", experiment["id"][:8], "-o", "json")
    assert as_json(cancelled)["id"] == experiment["id"]
    assert (await polar("delete", study[:8], run[:8], "--yes")).exit_code == 0


async def test_a_name_is_enough_if_nothing_else_has_it(
    polar: "Polar", experiment: dict[str, Any], study: str
) -> None:
    assert as_json(await polar("get", " mine", "-o", "json")) == experiment
    assert as_json(await polar("study", "show", "sweep", "-o", "json"))["id"] == study
    other = await polar("get", "sweep")
    assert other.exit_code == REFUSED
    assert f"{study} is a study, neither an experiment nor a run" in other.stderr
    part = await polar("get", "min")  # `--name` finds it, but it is not the whole name
    assert part.exit_code == REFUSED
    assert "nothing is named 'min', and no id begins so" in part.stderr


async def test_a_name_that_several_have_is_refused_with_what_tells_them_apart(
    polar: "Polar", submit: "Submitter", spec_of: "SpecMaker"
) -> None:
    first, second = [
        (await submit(spec_of(name="twice", seeds=[seed]))).experiment for seed in (0, 1)
    ]
    await polar("cancel", first.id)

    refused = await polar("cancel", "twice")

    assert refused.exit_code == REFUSED
    said = [f"{each.created_at.astimezone():%Y-%m-%d %H:%M:%S %z}" for each in (first, second)]
    assert refused.stderr.splitlines() == [
        "error: 'twice' is the name of several; say the id of what you mean:",
        f"  {second.id}  experiment: queued, submitted {said[1]}",
        f"  {first.id}  experiment: cancelled, submitted {said[0]}",
    ]


async def test_a_command_of_studies_takes_its_study_where_an_experiment_is_called_the_same(
    polar: "Polar", submit: "Submitter", spec_of: "SpecMaker", study: str
) -> None:
    other = (await submit(spec_of(name="sweep"))).experiment.id

    shown = await polar("study", "show", "sweep", "-o", "json")
    got = await polar("get", "sweep", "-o", "json")
    both = await polar("delete", "sweep", "--yes")

    assert (as_json(shown)["id"], as_json(got)["id"]) == (study, str(other))
    assert both.exit_code == REFUSED
    assert str(other) in both.stderr
    assert study in both.stderr


@pytest.mark.usefixtures("study")
async def test_digits_with_which_several_begin_are_refused_with_all_of_them(
    polar: "Polar", served: str, spec_of: "SpecMaker", database: Database
) -> None:
    ids = [UUID(SAME.format(number)) for number in range(3)]
    async with database.transaction() as session:
        for id in ids[:2]:
            spec = spec_of().model_dump(mode="json")
            session.add(Experiment(id=id, name="", spec=spec, spec_hash="0"))
        await session.execute(update(Study).values(id=ids[2]))

    of_one_kind = await polar("get", "5a0f6f0e")
    alone = await polar("delete", "5a0f6f0e-0000", "--yes")
    of_two_kinds = await polar("delete", "5a0f6f0e", "--yes")
    of_studies = await polar("study", "show", "5a0f6f0e", "-o", "json")
    of_experiments = await polar("get", "5a0f6f0e", "-o", "json")
    with Client(served) as client, pytest.raises(ClientError) as of_client:
        client.find_any("5a0f6f0e")

    assert (of_one_kind.exit_code, alone.exit_code, of_two_kinds.exit_code) == (
        REFUSED,
        0,
        REFUSED,
    )
    for said, ids_of_several in (
        (of_one_kind.stderr, ids[:2]),
        (of_two_kinds.stderr, ids[1:]),
        (str(of_client.value), ids[1:]),
    ):
        assert all(str(id) in said for id in ids_of_several)
        assert said.count("submitted 20") == 2
    assert as_json(of_studies)["id"] == str(ids[2])
    assert as_json(of_experiments)["id"] == str(ids[1])


@pytest.mark.parametrize("command", [["delete"], ["study", "delete"]])
async def test_what_is_deleted_needs_more_digits(
    command: list[str], polar: "Polar", study: str
) -> None:
    await polar("study", "cancel", study)

    refused = await polar(*command, study[:7], "--yes")
    deleted = await polar(*command, study[:8], "--yes")

    assert (refused.exit_code, deleted.exit_code) == (REFUSED, 0)
    assert f"{study[:7]} is too short for what is to be deleted" in refused.stderr


async def test_a_name_of_hexadecimal_letters_is_found_after_ids(
    polar: "Polar", submit: "Submitter", spec_of: "SpecMaker"
) -> None:
    id = (await submit(spec_of(name="beef"))).experiment.id

    assert as_json(await polar("get", "beef", "-o", "json"))["id"] == str(id)
