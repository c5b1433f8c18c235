"""Tables and pictures of a run."""

import csv
import io
import json
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

import httpx
import pytest

from polar.figures import figure_of
from polar.figures.files import write
from polar.records.events import ArtifactSaved
from polar.regime.table import diagnostics_table
from service.settings import Settings

if TYPE_CHECKING:
    from tests.conftest import Reports
    from tests.service.conftest import Worker

PNG = b"\x89PNG\r\n\x1a\n and so on"


@pytest.fixture
def url(run_id: UUID) -> str:
    return f"/api/v1/runs/{run_id}"


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Patient: a busy machine takes a minute for what takes seconds."""
    return settings.model_copy(update={"measure_s": 500.0})


async def test_diagnostics_are_two_tidy_tables(
    http: httpx.AsyncClient, url: str, run_id: UUID, worker: "Worker", reports: "Reports"
) -> None:
    await worker.record(run_id, reports.evaluation(0), reports.evaluation(10))

    found = (await http.get(f"{url}/diagnostics")).json()

    second = reports.evaluation(10)
    assert [row["step"] for row in found["evaluations"]] == [0, 10]
    assert found["evaluations"][1]["verdict"] == second.verdict.model_dump(mode="json")
    assert [(row["step"], row["latent"]) for row in found["latents"]] == [
        (0, 0),
        (0, 1),
        (10, 0),
        (10, 1),
    ]
    assert found["latents"][3] == {
        "step": 10,
        "epoch": 1.0,
        **second.latents[1].model_dump(mode="json"),
    }


async def test_diagnostics_of_a_run_that_has_measured_nothing_are_empty(
    http: httpx.AsyncClient, url: str, run_id: UUID
) -> None:
    found = (await http.get(f"{url}/diagnostics")).json()

    assert found == {
        "run_id": str(run_id),
        "evaluations": [],
        "latents": [],
        "of_earlier_version": [],
    }


async def test_the_latents_are_a_table_of_csv_while_the_run_goes_on(
    http: httpx.AsyncClient, url: str, run_id: UUID, worker: "Worker", reports: "Reports"
) -> None:
    empty = await http.get(f"{url}/diagnostics", params={"format": "csv"})
    evaluation = reports.evaluation(10)
    await worker.record(run_id, evaluation)

    answer = await http.get(f"{url}/diagnostics", params={"format": "csv"})

    rows = list(csv.DictReader(io.StringIO(answer.text)))
    latents = [latent.model_dump(mode="json") for latent in evaluation.latents]
    names = ["epoch", "step", *latents[0]]
    assert answer.headers["content-type"].startswith("text/csv")
    assert empty.text.strip() == ",".join(names)
    assert rows == [
        {
            name: "" if value is None else str(value)
            for name, value in {"epoch": evaluation.epoch, "step": 10, **latent}.items()
        }
        for latent in latents
    ]


async def test_the_parquet_table_is_served_once_it_is_there(
    http: httpx.AsyncClient, url: str, run_id: UUID, worker: "Worker", tmp_path: Path
) -> None:
    before = await http.get(f"{url}/diagnostics", params={"format": "parquet"})
    await worker.save(run_id, tmp_path, "diagnostics.parquet", b"PAR1")

    after = await http.get(f"{url}/diagnostics", params={"format": "parquet"})

    assert before.status_code == 404
    assert (after.status_code, after.content) == (200, b"PAR1")
    assert after.headers["content-type"] == "application/vnd.apache.parquet"


async def test_the_model_is_served_once_it_is_there(
    http: httpx.AsyncClient, url: str, run_id: UUID, worker: "Worker", tmp_path: Path
) -> None:
    before = await http.get(f"{url}/model")
    await worker.save(run_id, tmp_path, "model.safetensors", b"weights")

    after = await http.get(f"{url}/model")

    assert before.status_code == 404
    assert before.json()["detail"] == "there is no file of this run named model.safetensors"
    assert (after.status_code, after.content) == (200, b"weights")
    assert after.headers["content-disposition"] == 'inline; filename="model.safetensors"'


async def test_figures_are_listed_and_served(
    http: httpx.AsyncClient, url: str, run_id: UUID, worker: "Worker", tmp_path: Path
) -> None:
    await worker.save(run_id, tmp_path, "figures/sorted_entropies.png", PNG)
    await worker.save(run_id, tmp_path, "result.json", b"{}")

    figures = (await http.get(f"{url}/figures")).json()["figures"]
    figure = await http.get(figures[0]["url"])

    assert [each["name"] for each in figures] == ["sorted_entropies.png"]
    assert (figure.status_code, figure.content) == (200, PNG)
    assert figure.headers["content-type"] == "image/png"


@pytest.mark.parametrize(
    ("kind", "media_type"), [("svg", "image/svg+xml"), ("pdf", "application/pdf")]
)
async def test_figures_are_drawn_from_the_tables_of_the_run_as_svg_and_pdf(
    kind: str,
    media_type: str,
    http: httpx.AsyncClient,
    url: str,
    run_id: UUID,
    worker: "Worker",
    reports: "Reports",
    tmp_path: Path,
) -> None:
    table = diagnostics_table([reports.evaluation(0), reports.evaluation(10)])
    measurement = json.dumps({"verdict": {"tau_nats": 0.25}}).encode()
    await worker.save(run_id, tmp_path, "figures/entropy_over_training.png", PNG)
    await worker.save(run_id, tmp_path, "diagnostics.parquet", table.to_parquet())
    await worker.save(run_id, tmp_path, "measurement.json", measurement)

    answer = await http.get(f"{url}/figures/entropy_over_training.{kind}")

    expected = io.BytesIO()
    write(figure_of("entropy_over_training", {"diagnostics": table}, 0.25), kind, expected)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].split(";")[0] == media_type
    assert answer.content == expected.getvalue()
    listed = (await http.get(f"{url}/figures")).json()["figures"]
    assert [each["name"] for each in listed] == ["entropy_over_training.png"]


async def test_a_run_whose_tables_are_of_another_version_still_shows_its_png(
    http: httpx.AsyncClient, url: str, run_id: UUID, worker: "Worker", tmp_path: Path
) -> None:
    await worker.save(run_id, tmp_path, "figures/traversals.png", PNG)
    await worker.save(run_id, tmp_path, "measurement.json", b"{}")

    drawn = await http.get(f"{url}/figures/traversals.svg")

    assert (drawn.status_code, drawn.json()["type"]) == (404, "urn:polar:problem:not-found")
    assert drawn.json()["detail"] == (
        "this figure cannot be drawn as SVG: one of its files is of another version or damaged: "
        f"'verdict'; as PNG it is at {url}/figures/traversals.png"
    )
    assert (await http.get(f"{url}/figures/traversals.png")).content == PNG


@pytest.mark.parametrize(
    "name",
    [
        "..%2Fsecret.png",
        "%2Fetc%2Fpasswd",
        "secret.png",
        "..%5Csecret.png",
        "a%00.png",
        "..%2Fsecret.svg",
        "%2Fetc%2Fpasswd.svg",
        "secret.svg",
        "..%5Csecret.pdf",
        "a%00.svg",
        ".svg",
        "a.png.svg",
    ],
)
async def test_nothing_is_served_but_the_files_that_the_worker_named(
    name: str, http: httpx.AsyncClient, url: str, run_id: UUID, worker: "Worker", tmp_path: Path
) -> None:
    await worker.save(run_id, tmp_path, "figures/a.png", PNG)
    await worker.save(run_id, tmp_path, "secret.png", b"hidden words")
    (tmp_path / "runs" / str(run_id) / "attempt-1/out/figures/secret.png").write_bytes(
        b"hidden words"
    )

    answer = await http.get(f"{url}/figures/{name}")

    assert answer.status_code in (404, 422)
    assert b"hidden words" not in answer.content


async def test_a_file_that_is_gone_is_not_found(
    http: httpx.AsyncClient, url: str, run_id: UUID, worker: "Worker"
) -> None:
    await worker.record(run_id, ArtifactSaved(name="figures/a.png", path="runs/gone.png"))

    answer = await http.get(f"{url}/figures/a.png")

    assert answer.status_code == 404
    assert "runs/gone.png" in answer.json()["detail"]
