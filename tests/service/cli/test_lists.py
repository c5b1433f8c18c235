"""`polar list`, `polar runs` and `polar study list`: filters, and ids in tables."""

from typing import TYPE_CHECKING
from uuid import UUID

import pytest

from tests.service.cli.specs import as_json

if TYPE_CHECKING:
    from tests.service.cli.conftest import Polar, Write
    from tests.service.conftest import SpecMaker, Submitter, Worker

STUDY = (
    "name: {}\nbase: {{dataset: {{name: digits}}, model: {{name: {}}}}}\n"
    "search: {{model.{}: {{log_uniform: [1, 2]}}}}\ntags: {{paper: one, draft: ''}}\n"
)


@pytest.fixture(autouse=True)
async def _an_agent_is_there(worker: "Worker") -> None:
    await worker.announce({"digits": "d" * 64, "mnist": "e" * 64})


async def ids(polar: "Polar", *command: str) -> list[str]:
    listed = await polar(*command, "-o", "json")
    assert listed.exit_code == 0, listed.stderr
    return [each["id"] for each in as_json(listed)]


async def test_experiments_and_runs_are_filtered(
    polar: "Polar", submit: "Submitter", spec_of: "SpecMaker", worker: "Worker"
) -> None:
    first = await submit(spec_of(name="a first look"))
    second = await submit(
        spec_of(name="second", dataset={"name": "mnist"}, model={"name": "l2_ae"})
    )
    await worker.claim(first.runs[0].id)
    one, two = str(first.experiment.id), str(second.experiment.id)
    its_runs = {one: str(first.runs[0].id), two: str(second.runs[0].id)}

    for filters, left in (
        ([], [two, one]),
        (["--state", "running"], [one]),
        (["--state", "queued"], [two]),
        (["--dataset", "mnist"], [two]),
        (["--model", "beta_vae"], [one]),
        (["--model", "l2_ae", "--dataset", "digits"], []),
        (["--tag", "paper"], []),
    ):
        assert await ids(polar, "list", *filters) == left, filters
        assert await ids(polar, "runs", *filters) == [its_runs[id] for id in left], filters
    assert await ids(polar, "list", "--name", "LOOK first") == [one]
    wrong = await polar("runs", "--state", "done")
    assert wrong.exit_code == 2
    assert "succeeded" in wrong.stderr


async def test_studies_are_filtered(polar: "Polar", write: "Write") -> None:
    made = [
        as_json(await polar("study", "create", write(STUDY.format(*names)), "-o", "json"))["id"]
        for names in (("one", "beta_vae", "beta"), ("two", "l2_ae", "gamma"))
    ]
    await polar("study", "pause", made[0])

    assert await ids(polar, "study", "list", "--state", "paused") == made[:1]
    assert await ids(polar, "study", "list", "--model", "l2_ae") == made[1:]
    assert await ids(polar, "study", "list", "--tag", "paper=one", "--tag", "draft") == made[::-1]
    assert await ids(polar, "study", "list", "--tag", "paper=two") == []
    assert "draft, paper=one" in (await polar("study", "list")).stdout


async def test_tables_show_eight_digits_unless_whole_ids_are_wanted(
    polar: "Polar", submit: "Submitter", spec_of: "SpecMaker"
) -> None:
    submission = await submit(spec_of())
    experiment, run = submission.experiment.id, submission.runs[0].id

    async def shown(id: UUID, *command: object) -> list[bool]:
        words = (await polar(*command)).stdout.split()
        whole = (await polar(*command, "--full-ids")).stdout.split()
        return [id.hex[:8] in words, str(id) in words, str(id) in whole]

    assert await shown(experiment, "list") == [True, False, True]
    assert await shown(run, "runs") == [True, False, True]
    assert await shown(run, "get", experiment) == [True, False, True]


async def test_a_table_of_runs_shows_weight_and_steps(
    polar: "Polar", submit: "Submitter", spec_of: "SpecMaker"
) -> None:
    await submit(spec_of(model={"beta": 0.25}, training={"steps": 1234}))

    shown = " ".join((await polar("runs")).stdout.split())

    assert "beta 0.25" in shown
    assert "1,234" in shown


async def test_lists_are_searched_for_words_of_notes(
    polar: "Polar", write: "Write", submit: "Submitter", spec_of: "SpecMaker"
) -> None:
    made = await submit(spec_of(name="first look"))
    experiment, run = str(made.experiment.id), str(made.runs[0].id)
    await submit(spec_of(name="second", seeds=[7]))
    await polar("note", experiment, "Does beta matter?")
    study = as_json(await polar("study", "create", write(STUDY.format("one", "l2_ae", "gamma")),
                                "--note", "what of gamma", "-o", "json"))["id"]  # fmt: skip

    for words, experiments, runs, studies in (
        ("MATTER look", [experiment], [run], []),
        ("one gamma", [], [], [study]),
        ("nothing", [], [], []),
    ):
        assert await ids(polar, "list", "--search", words) == experiments
        assert await ids(polar, "runs", "--search", words) == runs
        assert await ids(polar, "study", "list", "--search", words) == studies
