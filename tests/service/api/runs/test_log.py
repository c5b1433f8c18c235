"""The end of the log of a run."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

import httpx
import pytest

from service.api.runs import log

if TYPE_CHECKING:
    from tests.service.conftest import SpecMaker, Submitter

Write = Callable[..., Path]


@pytest.fixture
def write(run_id: UUID, tmp_path: Path) -> Write:
    """Writes the log of the attempt, as its child does."""

    def write(content: bytes = b"") -> Path:
        path = tmp_path / "runs" / str(run_id) / "attempt-1" / "log.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return path

    return write


async def test_its_last_lines_are_sent(
    http: httpx.AsyncClient, run_id: UUID, write: Write
) -> None:
    write(b"one\ntwo\nthree\n")

    answer = await http.get(f"/api/v1/runs/{run_id}/log", params={"tail": 2})

    assert (answer.status_code, answer.text) == (200, "two\nthree\n")
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.headers["x-content-type-options"] == "nosniff"
    links = (await http.get(f"/api/v1/runs/{run_id}")).json()["links"]
    assert (await http.get(links["log"])).text == "one\ntwo\nthree\n"
    write(b"")
    assert (await http.get(links["log"])).text == ""


async def test_a_large_log_is_read_from_the_beginning_of_a_line(
    http: httpx.AsyncClient, run_id: UUID, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log, "MOST_BYTES", 8)
    write(b"earlier\nlast \xff\n")

    assert (await http.get(f"/api/v1/runs/{run_id}/log")).text == "last \ufffd\n"
    write(b"a bar that is drawn anew\r")
    assert (await http.get(f"/api/v1/runs/{run_id}/log")).text == "wn anew\r"


@pytest.mark.parametrize(
    ("query", "status", "words"),
    [
        ("", 404, "is not in the artifact folder"),
        ("?attempt=2", 404, "has no attempt 2; allowed: attempts 1 to 1"),
        ("?attempt=0", 422, "/query/attempt: this is too small"),
        ("?tail=0", 422, "from 1 to 10000"),
        ("?tail=10001", 422, "from 1 to 10000"),
        ("?lines=3", 422, "there is no such parameter"),
    ],
)
async def test_what_is_not_there_is_refused(
    http: httpx.AsyncClient, run_id: UUID, query: str, status: int, words: str
) -> None:
    answer = await http.get(f"/api/v1/runs/{run_id}/log{query}")

    assert (answer.status_code, words in answer.json()["detail"]) == (status, True)


async def test_a_run_that_waits_has_no_log(
    http: httpx.AsyncClient, submit: "Submitter", spec_of: "SpecMaker"
) -> None:
    run_id = (await submit(spec_of(seeds=[7]))).runs[0].id
    answer = await http.get(f"/api/v1/runs/{run_id}/log")

    assert answer.status_code == 404
    assert "no agent began it" in answer.json()["detail"]


@pytest.mark.parametrize("kind", ["link", "pipe", "folder"])
async def test_only_files_are_read(
    http: httpx.AsyncClient, run_id: UUID, write: Write, tmp_path: Path, kind: str
) -> None:
    path = write()
    path.unlink()
    if kind == "link":
        secret = tmp_path / "secret"
        secret.write_text("a secret")
        path.symlink_to(secret)
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.mkdir()

    answer = await http.get(f"/api/v1/runs/{run_id}/log")

    assert answer.status_code == 404
    assert "a secret" not in answer.text


async def test_a_log_is_read_on_from_where_an_earlier_answer_ended(
    http: httpx.AsyncClient, run_id: UUID, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log, "MOST_BYTES", 16)
    content = "earlier\nlast \u00e9".encode()
    write(content[:-1])

    async def part(after: str | None = None) -> tuple[str, str]:
        params = {} if after is None else {"after": after}
        answer = await http.get(f"/api/v1/runs/{run_id.hex[:8]}/log", params=params)
        assert (answer.status_code, answer.headers["Log-Attempt"]) == (200, "1")
        return answer.text, answer.headers["Log-End"]

    first, end = await part()
    write(content + b" more\n" + b"x" * 20)
    parts = []
    while (found := await part(end))[0]:
        text, end = found
        parts.append(text)

    assert first == "earlier\nlast "
    assert "".join(parts) == "\u00e9 more\n" + "x" * 20
    assert await part("99999") == ("", str(len(content) + 26))
