"""The page of a run: its log, its labels by criterion, and what is still to be made of it."""

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import httpx
import pytest

from polar.records.measurement import MEASUREMENT_FILE
from polar.spec.own_images import AddedImages
from polar.spec.own_models import AllowedModels
from service.storage import runs
from service.storage.database import Database
from service.storage.states import RunState

if TYPE_CHECKING:
    from tests.conftest import Reports
    from tests.service.conftest import SpecMaker, Submitter, Worker

CELLS = AddedImages(digest="ab" * 32, side=64, channels=3, factors={"kind": 4}, images=500)
WHY = "its entropy is <b>above</b> tau"


def label(criterion: str, latent: int, word: str) -> dict[str, Any]:
    return {
        "criterion": criterion, "latent": latent, "label": word, "margin": 0.5, "score": 1.0,
        "why": WHY,
    }  # fmt: skip


@pytest.fixture
async def run_id(run_id: UUID, worker: "Worker", reports: "Reports") -> UUID:
    """A running run with an evaluation, attempt 1."""
    await worker.record(run_id, reports.progress(10), reports.evaluation(50))
    return run_id


async def page_of(http: httpx.AsyncClient, run_id: UUID) -> str:
    answer = await http.get(f"/runs/{run_id}")
    assert answer.status_code == 200
    return " ".join(answer.text.split())


async def test_a_model_and_images_of_a_users_own_have_the_names_that_the_user_gave_them(
    http: httpx.AsyncClient, worker: "Worker"
) -> None:
    await worker.announce(
        {"cells": CELLS.digest},
        own_images={"cells": CELLS},
        models=AllowedModels(packages={"lab.nets": "ab" * 32}, names={}),
    )
    model = {"name": "own", "class": "lab.nets.mlp:Mlp"}
    spec = {"dataset": {"name": "images", "added": "cells"}, "model": model}
    made = (await http.post("/api/v1/experiments", json=spec)).json()
    run_id = UUID(made["runs"][0]["id"])
    await worker.claim(run_id)

    assert "<li>lab.nets.mlp:Mlp, weight 1, cells, seed 0</li>" in await page_of(http, run_id)
    assert "<td>lab.nets.mlp:Mlp</td><td>cells</td>" in (await http.get("/agents")).text


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
    await worker.save(run_id, tmp_path, MEASUREMENT_FILE, content)

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
    await worker.save(run_id, tmp_path, MEASUREMENT_FILE, content)

    shown = await page_of(http, run_id)
    assert "Labels by criterion" not in shown
    assert "Latents at step 50" in shown


async def test_traversals_come_before_other_figures(
    http: httpx.AsyncClient, run_id: UUID, worker: "Worker", tmp_path: Path
) -> None:
    for name in ("sorted_entropies", "traversals"):
        await worker.save(run_id, tmp_path, f"figures/{name}.png", b"\x89PNG")

    shown = await page_of(http, run_id)
    assert "<h2>Traversals</h2>" in shown
    assert shown.index("figures/traversals.png") < shown.index("figures/sorted_entropies.png")
    api = f"/api/v1/runs/{run_id}/figures"
    drawn = [f"{api}/{name}.svg" for name in ("traversals", "sorted_entropies")]
    assert re.findall('data-fetch="([^"]+)">Copy SVG', shown) == drawn
    assert re.findall('<a href="([^"]+)">SVG</a>', shown) == drawn


async def test_latents_and_the_numbers_of_figures_can_be_copied(
    http: httpx.AsyncClient, run_id: UUID, worker: "Worker", tmp_path: Path
) -> None:
    for name in ("sorted.png", "sorted.csv", "large.png", "large.parquet"):
        await worker.save(run_id, tmp_path, f"figures/{name}", b"x")

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
    def last_step(shown: str) -> str:
        chart = shown.partition('aria-label="Entropy of every latent by step"')[2]
        return re.findall(
            'text-anchor="middle">([^<]+)</text>', chart.partition("step</text>")[0]
        )[-1]

    steps = (await http.get(f"/api/v1/runs/{run_id}")).json()["spec"]["training"]["steps"]
    assert last_step(await page_of(http, run_id)) == f"{steps:,}"

    await worker.finish(run_id, RunState.CANCELLED)

    # the step of its evaluation, after which it reported no other
    assert last_step(await page_of(http, run_id)) == "50"


async def test_traversals_are_compared_once_they_are_made(
    http: httpx.AsyncClient,
    run_id: UUID,
    worker: "Worker",
    tmp_path: Path,
    submit: "Submitter",
    spec_of: "SpecMaker",
) -> None:
    await worker.save(run_id, tmp_path, "figures/traversals.png", b"\x89PNG")
    other_id = (await submit(spec_of(seeds=[7]))).runs[0].id
    await worker.claim(other_id)
    for each in (run_id, other_id):
        await worker.finish(each)

    shown = (await http.get("/compare", params={"run": [str(run_id), str(other_id)]})).text
    assert f'<a href="/runs/{other_id}">{str(other_id)[:8]}</a> are not made yet' in shown
    assert shown.count("<img") == 1
    assert f'src="/api/v1/runs/{run_id}/figures/traversals.png"' in shown


async def test_a_failed_run_says_its_error_first_and_is_tried_again(
    http: httpx.AsyncClient, run_id: UUID, database: Database
) -> None:
    again = f'data-post="/api/v1/runs/{run_id}/rerun">Try again</button>'
    short = str(run_id)[:8]
    assert again not in await page_of(http, run_id)
    message = (
        'Traceback (most recent call last):\n  File "a.py", line 1, in f\nValueError: <mine>\n'
    )
    async with database.transaction() as session:
        await runs.finish(session, run_id, 1, RunState.FAILED, reason="bug", message=message)
    await http.patch(f"/api/v1/runs/{run_id}", json={"name": "mine"})

    shown = await page_of(http, run_id)

    assert f'<h1>mine <span class="quiet">{short}, beta 1</span>' in shown
    assert "<li>beta_vae, beta 1, digits, seed 0</li>" in shown
    assert 'class="headline">clean; ValueError: &lt;mine&gt;</p>' in shown
    head = shown.partition('class="headline"')[2].partition("<ul")[0]
    assert '<pre tabindex="0">Traceback (most recent call last): File' in head
    assert again in shown
    listed = (await http.get("/runs")).text
    assert '<span class="quiet">ValueError: &lt;mine&gt;</span>' in listed


async def test_a_message_of_one_line_is_not_repeated(
    http: httpx.AsyncClient, run_id: UUID, database: Database
) -> None:
    async with database.transaction() as session:
        await runs.finish(
            session, run_id, 1, RunState.CANCELLED, reason="user", message="cancelled on request"
        )

    shown = await page_of(http, run_id)

    assert "; cancelled on request</p>" in shown
    assert "Whole message" not in shown
