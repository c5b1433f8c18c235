"""What runs print, part by part."""

from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import httpx
import pytest

from service.api.runs.logs import MOST_BYTES
from service.settings import Settings

if TYPE_CHECKING:
    from tests.service.conftest import SpecMaker, Submitter, Worker

RUNS = "/api/v1/runs"


@pytest.fixture
async def run_id(submit: "Submitter", spec_of: "SpecMaker", worker: "Worker") -> UUID:
    """A run whose first attempt goes on."""
    id = (await submit(spec_of())).runs[0].id
    await worker.claim(id)
    return id


@pytest.fixture
def folder(settings: Settings, run_id: UUID) -> Path:
    """The folder of both attempts of the run, which has the log of the first."""
    folder = settings.artifacts / "runs" / str(run_id)
    for attempt in (1, 2):
        (folder / f"attempt-{attempt}").mkdir(parents=True)
    return folder


async def part(http: httpx.AsyncClient, run_id: UUID, **params: int) -> dict[str, Any]:
    answer = await http.get(f"{RUNS}/{run_id}/log", params=params)
    assert answer.status_code == 200
    found: dict[str, Any] = answer.json()
    return found


async def test_a_run_that_has_printed_nothing_has_an_empty_log(
    http: httpx.AsyncClient, run_id: UUID, submit: "Submitter", spec_of: "SpecMaker"
) -> None:
    waiting = (await submit(spec_of(seeds=[1]))).runs[0].id

    assert await part(http, run_id) == {
        "run_id": str(run_id), "attempt": 1, "state": "running", "text": "", "end": 0
    }  # fmt: skip
    assert (await part(http, waiting))["attempt"] == 0


async def test_a_log_is_read_on_line_by_line_while_it_is_written(
    http: httpx.AsyncClient, run_id: UUID, folder: Path, worker: "Worker"
) -> None:
    log = folder / "attempt-1" / "log.txt"
    log.write_bytes("one\ntwö\nthr".encode())
    first = await part(http, run_id)
    with log.open("ab") as file:
        file.write(b"ee\nhalf \xff")
    second = await part(http, run_id, after=first["end"])
    nothing = await part(http, run_id, after=second["end"])
    await worker.finish(run_id)
    rest = await part(http, run_id, after=second["end"])

    assert [first["text"], second["text"], nothing["text"]] == ["one\ntwö\n", "three\n", ""]
    assert (rest["text"], rest["state"]) == ("half �", "succeeded")
    assert rest["end"] == log.stat().st_size
    assert (await part(http, run_id, after=10**9))["text"] == ""


async def test_only_the_end_of_a_long_log_is_sent_and_all_of_it_part_by_part(
    http: httpx.AsyncClient, run_id: UUID, folder: Path
) -> None:
    log = folder / "attempt-1" / "log.txt"
    lines = "".join(f"line {number}\n" for number in range(20_000))
    log.write_text(lines)

    end = await part(http, run_id)
    text, after = "", 0
    while (next_part := await part(http, run_id, after=after))["text"]:
        text, after = text + next_part["text"], next_part["end"]

    assert len(end["text"]) <= MOST_BYTES
    assert end["text"].startswith("line ")
    assert lines.endswith(end["text"])
    assert text == lines


async def test_a_line_that_is_longer_than_a_part_does_not_stop_who_reads_on(
    http: httpx.AsyncClient, run_id: UUID, folder: Path
) -> None:
    log = folder / "attempt-1" / "log.txt"
    log.write_text("x" * (MOST_BYTES + 10) + "\n")

    first = await part(http, run_id, after=0)

    assert len(first["text"]) == MOST_BYTES
    assert (await part(http, run_id, after=first["end"]))["text"] == "x" * 10 + "\n"


async def test_an_earlier_attempt_keeps_its_log_and_other_folders_are_out_of_reach(
    http: httpx.AsyncClient, run_id: UUID, folder: Path
) -> None:
    log = folder / "attempt-1" / "log.txt"
    log.write_text("first\n")
    (folder / "attempt-2" / "log.txt").write_text("second\n")

    assert (await part(http, run_id, attempt=2))["text"] == "second\n"
    assert (await part(http, run_id, attempt=3))["text"] == ""
    for wrong in ("0", "-1", "1/../..", "2e0", str(2**31)):
        answer = await http.get(f"{RUNS}/{run_id}/log", params={"attempt": wrong})
        assert answer.status_code == 422, wrong
    assert (await http.get(f"{RUNS}/{UUID(int=1)}/log")).status_code == 404
