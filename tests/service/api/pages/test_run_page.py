"""The page of a run: its log, its labels by criterion, and what is still to be made of it."""

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import httpx
import pytest

from polar.records.events import ArtifactSaved
from polar.records.measurement import MEASUREMENT_FILE
from service.storage.states import RunState

if TYPE_CHECKING:
    from tests.conftest import Reports
    from tests.service.conftest import SpecMaker, Submitter, Worker

WHY = "its entropy is <b>above</b> tau"


def label(criterion: str, latent: int, word: str) -> dict[str, Any]:
    return {
        "criterion": criterion, "latent": latent, "label": word, "margin": 0.5, "score": 1.0,
        "why": WHY,
    }  # fmt: skip


@pytest.fixture
async def run_id(
    submit: "Submitter", spec_of: "SpecMaker", worker: "Worker", reports: "Reports"
) -> UUID:
    """A running run with an evaluation, attempt 1."""
    run_id = (await submit(spec_of())).runs[0].id
    await worker.claim(run_id)
    await worker.record(run_id, reports.progress(10), reports.evaluation(50))
    return run_id


async def save(worker: "Worker", run_id: UUID, artifacts: Path, name: str, content: bytes) -> None:
    path = f"runs/{run_id}/attempt-1/out/{name}"
    (artifacts / path).parent.mkdir(parents=True, exist_ok=True)
    (artifacts / path).write_bytes(content)
    await worker.record(run_id, ArtifactSaved(name=name, path=path))


async def page_of(http: httpx.AsyncClient, run_id: UUID) -> str:
    answer = await http.get(f"/runs/{run_id}")
    assert answer.status_code == 200
    return " ".join(answer.text.split())


async def test_the_last_lines_of_the_log_are_shown_as_text(
    http: httpx.AsyncClient, run_id: UUID, tmp_path: Path
) -> None:
    assert "The log is not in the artifact folder" in await page_of(http, run_id)
    log = tmp_path / "runs" / str(run_id) / "attempt-1" / "log.txt"
    log.parent.mkdir(parents=True)
    log.write_text("")
    assert "Attempt 1 has said nothing." in await page_of(http, run_id)

    log.write_text("".join(f"line {number}\n" for number in range(100)) + "<script>\n")

    shown = await page_of(http, run_id)
    assert "line 61 line 62" in shown
    assert "line 60" not in shown
    assert "&lt;script&gt;" in shown
    assert f'href="/api/v1/runs/{run_id}/log?tail=10000"' in shown


async def test_each_latent_has_its_label_by_every_criterion(
    http: httpx.AsyncClient, run_id: UUID, worker: "Worker", tmp_path: Path
) -> None:
    assert "Labels by criterion" not in await page_of(http, run_id)
    labels = [
        label("entropy", 0, "active"), label("entropy", 1, "passive"),
        label("two_signals", 0, "mixed"), label("two_signals", 1, "passive"),
    ]  # fmt: skip
    content = json.dumps({"labels": labels}).encode()
    await save(worker, run_id, tmp_path, MEASUREMENT_FILE, content)

    shown = await page_of(http, run_id)

    assert "<th>latent</th><th>entropy</th><th>two signals</th>" in shown
    words = [part.partition("</span>")[0] for part in shown.split('<span class="label ')]
    assert [part.rpartition(">")[2] for part in words[-4:]] == [
        "active", "mixed", "passive", "passive",
    ]  # fmt: skip
    assert "latent 0, two signals: mixed, 0.5 from the boundary. its entropy is &lt;b&gt;" in shown


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"labels": [1]}'])
async def test_a_measurement_that_cannot_be_read_leaves_the_rest(
    http: httpx.AsyncClient, run_id: UUID, worker: "Worker", tmp_path: Path, content: bytes
) -> None:
    await save(worker, run_id, tmp_path, MEASUREMENT_FILE, content)

    shown = await page_of(http, run_id)
    assert "Labels by criterion" not in shown
    assert "Latents at step 50" in shown


async def test_traversals_come_before_other_figures(
    http: httpx.AsyncClient, run_id: UUID, worker: "Worker", tmp_path: Path
) -> None:
    for name in ("sorted_entropies", "traversals"):
        await save(worker, run_id, tmp_path, f"figures/{name}.png", b"\x89PNG")

    shown = await page_of(http, run_id)
    assert "<h2>Traversals</h2>" in shown
    assert shown.index("figures/traversals.png") < shown.index("figures/sorted_entropies.png")


async def test_latents_and_the_numbers_of_figures_can_be_copied(
    http: httpx.AsyncClient, run_id: UUID, worker: "Worker", tmp_path: Path
) -> None:
    for name in ("sorted.png", "sorted.csv", "large.png", "large.parquet"):
        await save(worker, run_id, tmp_path, f"figures/{name}", b"x")

    shown = await page_of(http, run_id)

    api = f"/api/v1/runs/{run_id}"
    copied = re.findall('data-fetch="([^"]+)">Copy CSV', shown)
    assert copied == [f"{api}/figures/sorted.csv", f"{api}/diagnostics?format=csv"]
    for address in copied:
        assert (await http.get(address)).headers["content-type"] == "text/csv; charset=utf-8"


async def test_findings_that_are_to_come_can_be_asked_for(
    http: httpx.AsyncClient,
    run_id: UUID,
    worker: "Worker",
    reports: "Reports",
    spec_of: "SpecMaker",
) -> None:
    result = reports.result(spec_of()).model_copy(update={"summary": None})
    await worker.record(run_id, reports.evaluation(100), result)
    await worker.finish(run_id)
    address = f"/api/v1/runs/{run_id}/findings"
    assert f'data-post="{address}">Make them now' in await page_of(http, run_id)

    assert (await http.post(address)).status_code == 202

    shown = await page_of(http, run_id)
    assert "are being made" in shown
    assert "Make them now" not in shown


async def test_the_course_of_a_run_that_ended_early_fills_its_chart(
    http: httpx.AsyncClient, run_id: UUID, worker: "Worker"
) -> None:
    assert 'text-anchor="middle">100</text>' in await page_of(http, run_id)

    await worker.finish(run_id, RunState.CANCELLED)

    shown = await page_of(http, run_id)
    assert 'text-anchor="middle">10</text>' in shown  # the last step that it reported
    assert 'text-anchor="middle">100</text>' not in shown


async def test_traversals_are_compared_once_they_are_made(
    http: httpx.AsyncClient, run_id: UUID, worker: "Worker", tmp_path: Path
) -> None:
    await worker.finish(run_id)
    address = f"/compare?run={run_id}"
    assert "are not made yet" in (await http.get(address)).text
    assert "<img" not in (await http.get(address)).text

    await save(worker, run_id, tmp_path, "figures/traversals.png", b"\x89PNG")

    assert "are not made yet" not in (await http.get(address)).text
    assert f"/runs/{run_id}/figures/traversals.png" in (await http.get(address)).text
