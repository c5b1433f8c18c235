"""Codes are sent, a real child process measures them, the report stays."""

import asyncio
import io
import os
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from polar.measurement.measure import measure
from service.api import measuring
from service.api.app import create_app
from service.settings import Settings
from tests.service.conftest import OWNER

URL = "/api/v1/measurements"
RNG = np.random.default_rng(0)
MEAN = np.hstack([RNG.normal(size=(200, 2)), 0.01 * RNG.normal(size=(200, 2))])
VARIANCE = np.tile([0.02, 0.02, 0.98, 0.98], (200, 1))
LABELS = (MEAN[:, 0] > 0).astype(int)
USAGE = np.array([9.0, 8.0, 0.0, 0.01])


@pytest.fixture
def settings(tmp_path: Path, settings: Settings) -> Settings:
    """Small and patient: a busy machine takes a minute for what takes seconds."""
    return settings.model_copy(
        update={"artifacts": tmp_path / "artifacts", "measure_bytes": 2**20, "measure_s": 500.0}
    )


@pytest.fixture
def folder(settings: Settings) -> Path:
    return settings.artifacts / "measurements"


def parts(**arrays: np.ndarray) -> dict[str, tuple[str, bytes]]:
    """What a form carries: a file for each array, with a name that means nothing."""
    files = {}
    for name, array in arrays.items():
        saved = io.BytesIO()
        np.save(saved, array)
        files[name] = ("../../codes.npy", saved.getvalue())
    return files


def names_in(folder: Path) -> list[str] | None:
    """None where there is no such folder."""
    return [path.name for path in folder.iterdir()] if folder.exists() else None


def pretend(monkeypatch: pytest.MonkeyPatch, program: str) -> None:
    """Let the child be another program."""

    def command(*_: Mapping[str, object]) -> list[str]:
        return [sys.executable, "-c", program]

    monkeypatch.setattr(measuring, "_command", command)


async def test_a_measurement_is_that_of_the_library_and_stays(
    http: httpx.AsyncClient, settings: Settings, folder: Path
) -> None:
    answer = await http.post(
        URL,
        files=parts(mean=MEAN, variance=VARIANCE, labels=LABELS, usage=USAGE),
        data={"sigma": "0.4", "renyi_alpha": "2", "tau_std": "0.2", "ruler": "absolute"},
    )

    found = answer.json()
    expected = measure(
        MEAN,
        VARIANCE,
        labels=LABELS,
        usage=USAGE,
        ruler="absolute",
        sigma=0.4,
        renyi_alpha=2.0,
        tau_std=0.2,
    )
    assert answer.status_code == 201
    assert answer.headers["location"] == found["links"]["self"] == f"{URL}/{found['id']}"
    assert found["report"]["explanation"] == expected.explanation
    assert len(found["report"]["latents"]) == 4
    assert names_in(folder) == [found["id"]]  # no upload, nothing else

    another = httpx.ASGITransport(create_app(settings))  # as after a restart
    async with httpx.AsyncClient(
        transport=another, base_url="http://localhost", headers=OWNER
    ) as later:
        again = await later.get(found["links"]["self"])
        pictures = [await later.get(figure["url"]) for figure in found["figures"]]

    assert again.json() == found
    assert [picture.status_code for picture in pictures] == [200] * 10
    assert {picture.headers["content-type"].split(";")[0] for picture in pictures} == {
        "image/png",
        "text/csv",
    }


async def test_figures_are_drawn_for_a_paper_from_what_is_kept(http: httpx.AsyncClient) -> None:
    found = (await http.post(URL, files=parts(mean=MEAN, variance=VARIANCE))).json()
    figures = f"{URL}/{found['id']}/figures"

    svg = await http.get(f"{figures}/sorted_entropies.svg")
    pdf = await http.get(f"{figures}/sorted_entropies.pdf")
    of_codes = await http.get(f"{figures}/representations.svg")
    of_nothing = await http.get(f"{figures}/nothing.svg")

    assert (svg.status_code, svg.headers["content-type"]) == (200, "image/svg+xml")
    assert "<svg" in svg.text
    assert (pdf.status_code, pdf.headers["content-type"]) == (200, "application/pdf")
    assert pdf.content.startswith(b"%PDF")
    assert of_codes.status_code == of_nothing.status_code == 404
    detail = of_codes.json()["detail"]
    assert detail.startswith("this figure cannot be drawn as SVG: the tables give no figure")
    assert detail.endswith(f"; as PNG it is at {figures}/representations.png")
    assert (await http.get(f"{figures}/representations.png")).status_code == 200


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({"mean": ("mean.npy", b"0.1, 0.2")}, "mean is no file of NumPy"),
        (parts(mean=MEAN[:, 0]), "mean of shape (200,); allowed: (n, m)"),
        (parts(mean=MEAN, variance=-VARIANCE), "variance of latent 0 is 0 or negative"),
    ],
)
async def test_codes_that_cannot_be_measured_are_refused_with_the_reason(
    files: Any,  # noqa: ANN401
    reason: str,
    http: httpx.AsyncClient,
    folder: Path,
) -> None:
    answer = await http.post(URL, files=files)

    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["type"] == "urn:polar:problem:invalid-codes"
    assert reason in answer.json()["detail"]
    assert str(folder) not in answer.text
    assert names_in(folder) == []


@pytest.mark.parametrize(
    ("data", "files", "pointer"),
    [
        ({}, parts(variance=VARIANCE), "/mean"),
        ({"mean": "0.1"}, parts(variance=VARIANCE), "/mean"),
        ({"sigma": "wide"}, parts(mean=MEAN), "/sigma"),
        ({"tau_std": "gap"}, parts(mean=MEAN), "/tau_std"),
        ({"ruler": "wooden"}, parts(mean=MEAN), "/ruler"),
        ({"ruler": "a\0b"}, parts(mean=MEAN), "/ruler"),
    ],
)
async def test_a_form_with_faults_is_refused_before_anything_is_stored(
    data: dict[str, str], files: Any, pointer: str, http: httpx.AsyncClient, folder: Path  # noqa: ANN401
) -> None:  # fmt: skip
    answer = await http.post(URL, data=data, files=files)

    assert answer.status_code == 422
    assert answer.json()["type"] == "urn:polar:problem:invalid-request"
    assert [fault["pointer"] for fault in answer.json()["errors"]] == [pointer]
    assert names_in(folder) is None


async def test_other_bodies_than_forms_are_refused(http: httpx.AsyncClient) -> None:
    json = await http.post(URL, json={"mean": [[0.1]]})
    broken = await http.post(
        URL, content=b"--x", headers={"content-type": "multipart/form-data; boundary="}
    )

    assert json.status_code == 415
    assert "allowed: multipart/form-data" in json.json()["detail"]
    assert broken.status_code == 400
    assert broken.json()["detail"].startswith("the form cannot be read: ")


async def test_too_much_is_refused(http: httpx.AsyncClient, folder: Path) -> None:
    answer = await http.post(URL, files=parts(mean=np.zeros((2**17, 1))))

    assert answer.status_code == 413
    assert answer.json()["detail"] == "the body is larger than 1048576 bytes"
    assert names_in(folder) is None


@pytest.mark.parametrize("origin", ["http://evil.test", "https://localhost.evil.test", "null"])
async def test_pages_of_other_sites_cannot_have_anything_measured(
    origin: str, http: httpx.AsyncClient, folder: Path
) -> None:
    answer = await http.post(URL, files=parts(mean=MEAN), headers={"origin": origin})

    assert answer.status_code == 403
    assert answer.json()["type"] == "urn:polar:problem:cross-site"
    assert names_in(folder) is None


async def test_a_page_of_this_service_may_send_codes(
    http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend(monkeypatch, "import sys; sys.exit('error: was asked')")

    answer = await http.post(URL, files=parts(mean=MEAN), headers={"origin": "http://localhost"})

    assert answer.status_code == 500  # it got as far as the child


async def test_what_takes_too_long_is_stopped(
    settings: Settings, folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    told = tmp_path / "pid"
    pretend(
        monkeypatch,
        f"import os, pathlib, time; pathlib.Path({str(told)!r}).write_text(str(os.getpid()));"
        "time.sleep(1000)",
    )
    hurried = create_app(settings.model_copy(update={"measure_s": 5.0}))

    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(hurried), base_url="http://localhost", headers=OWNER
    ) as http:
        answer = await http.post(URL, files=parts(mean=MEAN), timeout=60)

    assert answer.status_code == 500
    assert answer.json()["type"] == "urn:polar:problem:measurement-too-long"
    assert "longer than 5 s" in answer.json()["detail"]
    assert names_in(folder) == []
    with pytest.raises(ProcessLookupError):
        os.kill(int(told.read_text()), 0)


@pytest.mark.parametrize(
    ("program", "code"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", -signal.SIGKILL),
        ("raise MemoryError", 1),
        ("import sys; sys.exit(2)", 2),  # without a message it is no refusal
    ],
)
async def test_a_child_that_dies_is_said_to_have_died(
    program: str,
    code: int,
    http: httpx.AsyncClient,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    pretend(monkeypatch, program)

    answer = await http.post(URL, files=parts(mean=MEAN))

    assert answer.status_code == 500
    assert answer.json()["type"] == "urn:polar:problem:measurement-failed"
    assert f"ended with code {code}" in answer.json()["detail"]
    assert f"a measurement ended with code {code}" in caplog.text
    assert names_in(folder) == []


async def test_no_more_than_the_allowed_are_measured_at_once(
    http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    pretend(
        monkeypatch,
        f"import time; log = open({str(log)!r}, 'a', buffering=1); log.write('+');"
        "time.sleep(0.5); log.write('-'); raise SystemExit(3)",
    )

    await asyncio.gather(*(http.post(URL, files=parts(mean=MEAN)) for _ in range(5)))

    running = np.cumsum([1 if sign == "+" else -1 for sign in log.read_text()])
    assert len(running) == 10
    assert running.max() <= 2


async def test_a_request_that_is_given_up_leaves_nothing(
    served: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend(monkeypatch, "import time; time.sleep(1000)")
    async with httpx.AsyncClient(base_url=served, headers=OWNER) as client:
        asked = asyncio.create_task(client.post(URL, files=parts(mean=MEAN)))
        while not names_in(folder):  # noqa: ASYNC110  # files tell nobody that they are there
            await asyncio.sleep(0.02)
        asked.cancel()  # which closes the connection
        await asyncio.gather(asked, return_exceptions=True)

    async with asyncio.timeout(30):
        while names_in(folder):  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def test_what_a_killed_api_left_long_ago_is_gone_after_a_start(
    settings: Settings, folder: Path
) -> None:
    for name in ("left.part/out", "young.part", "whole"):
        (folder / name).mkdir(parents=True)
    two_days_ago = time.time() - 2 * 24 * 3600
    for name in ("left.part", "whole"):
        os.utime(folder / name, (two_days_ago, two_days_ago))
    api = create_app(settings)

    async with api.router.lifespan_context(api):
        left = names_in(folder)

    assert sorted(left or ()) == ["whole", "young.part"]


async def test_a_measurement_that_is_not_there_is_not_found(http: httpx.AsyncClient) -> None:
    unknown = await http.get(f"{URL}/00000000-0000-0000-0000-000000000000")
    invalid = await http.get(f"{URL}/..")
    nonsense = await http.get(f"{URL}/nonsense")

    assert (unknown.status_code, invalid.status_code, nonsense.status_code) == (404, 404, 422)


@pytest.mark.parametrize(
    "name",
    [
        "..",
        ".",
        "..%2F..%2Fsecret.png",
        "%2Fetc%2Fpasswd",
        "..%5Csecret.png",
        "a%00.png",
        "..svg",
        "..%2F..%2Fsecret.svg",
    ],
)
async def test_no_other_file_is_served(name: str, http: httpx.AsyncClient, folder: Path) -> None:
    id = "00000000-0000-0000-0000-000000000000"
    (folder / id / "figures").mkdir(parents=True)
    (folder / "secret.png").write_text("hidden words")

    answer = await http.get(f"{URL}/{id}/figures/{name}")

    assert answer.status_code in (404, 422)
    assert "hidden words" not in answer.text
