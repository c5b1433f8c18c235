"""`polar tag`, `polar note`, `polar rename`, and tags and notes of what is submitted."""

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.service.cli.specs import as_json

if TYPE_CHECKING:
    from tests.service.cli.conftest import Polar, Write
    from tests.service.conftest import Worker

STUDY = (
    "name: sweep\nbase: {dataset: {name: digits}, model: {}}\n"
    "search: {model.beta: {log_uniform: [0.01, 100]}}\nbudget: {trials: 3}\n"
)


@pytest.fixture(autouse=True)
async def _an_agent_is_there(worker: "Worker") -> None:
    await worker.announce()


async def test_tags_are_set_removed_and_shown(polar: "Polar", spec: Path) -> None:
    id = as_json(await polar("submit", spec, "--tag", "project=vae", "--tag", "x", "-o", "json"))[
        "id"
    ]

    changed = await polar("tag", id, "good", "project=band=1", "--remove", "x", "-o", "json")
    shown = await polar("tag", id)
    got = await polar("get", id)

    assert as_json(changed)["tags"] == {"good": "", "project": "band=1"}
    assert "tags        good, project=band=1" in shown.stdout
    assert "good, project=band=1" in got.stdout


async def test_a_tag_is_not_set_and_removed_at_once(polar: "Polar", spec: Path) -> None:
    id = as_json(await polar("submit", spec, "-o", "json"))["id"]

    result = await polar("tag", id, "a=1", "b", "--remove", "a")

    assert result.exit_code == 2
    assert "a cannot be both set and removed" in result.stderr
    assert as_json(await polar("get", id, "-o", "json"))["tags"] == {}


async def test_the_service_says_which_key_it_does_not_take(polar: "Polar", spec: Path) -> None:
    id = as_json(await polar("submit", spec, "-o", "json"))["id"]

    result = await polar("tag", id, "a b=1")

    assert result.exit_code == 2
    assert "/tags/a b: this cannot be the key of a tag (given: 'a b')" in result.stderr


async def test_a_note_is_written_and_shown_with_its_lines(polar: "Polar", spec: Path) -> None:
    run = as_json(await polar("submit", spec, "-o", "json"))["runs"][0]["id"]

    written = await polar("note", run, "# Why\n\nbecause")
    shown = await polar("note", run)
    emptied = await polar("note", run, "")

    assert (written.stdout, shown.stdout) == ("# Why\n\nbecause\n",) * 2
    assert emptied.stdout == "\n"


async def test_a_run_and_a_study_are_renamed(polar: "Polar", spec: Path, write: "Write") -> None:
    run = as_json(await polar("submit", spec, "-o", "json"))["runs"][0]["id"]
    created = await polar(
        "study", "create", write(STUDY + "tags: {of: file, kept: yes}\n"),
        "--tag", "of=line", "--note", "a note", "-o", "json",
    )  # fmt: skip
    study = as_json(created)

    renamed = [await polar("rename", id, "the best", "-o", "json") for id in (run, study["id"])]
    shown = await polar("study", "show", study["id"])

    assert study["tags"] == {"of": "line", "kept": "yes"}
    assert [as_json(each)["name"] for each in renamed] == ["the best"] * 2
    assert "'the best': running" in shown.stdout
    assert "kept=yes, of=line" in shown.stdout
    assert "a note" in shown.stdout
