"""Clients that leave before they have an answer are no fault of the service."""

import io
import logging
import socket
import sys
import time

import httpx
import numpy as np
import pytest

from service.api import measuring
from service.api.links import PREFIX
from tests.service.conftest import OWNER, TOKEN

PATIENCE_S = 60.0


@pytest.fixture(autouse=True)
def _everything_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)


def wait_for_refusal(caplog: pytest.LogCaptureFixture) -> str:
    """The line of the log about a request that was refused."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        for record in list(caplog.records):
            if "refused with" in record.getMessage():
                return record.getMessage()
        time.sleep(0.01)
    raise TimeoutError(caplog.text)


def errors(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [each.getMessage() for each in caplog.records if each.levelno >= logging.ERROR]


@pytest.mark.parametrize(
    ("path", "kind", "sent"),
    [
        ("measurements", "multipart/form-data; boundary=b", b"--b\r\nContent-Disposition: form-"),
        ("experiments", "application/json", b'{"dataset": '),
        # its handler wants no body, but its key does
        ("studies/00000000-0000-0000-0000-000000000000/pause", "application/json", b""),
    ],
)
def test_a_client_that_leaves_during_an_upload_is_no_error(
    path: str, kind: str, sent: bytes, served: str, caplog: pytest.LogCaptureFixture
) -> None:
    port = int(served.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(
            f"POST {PREFIX}/{path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\n"
            f"Authorization: Bearer {TOKEN}\r\nIdempotency-Key: k\r\n"
            "Content-Length: 100000\r\n\r\n".encode()
            + sent
        )
        time.sleep(0.2)  # the service begins to read

    assert "refused with 499: the client went away" in wait_for_refusal(caplog)
    assert errors(caplog) == []


def test_a_client_that_leaves_while_its_codes_are_measured_is_no_error(
    served: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The number 499 has no name in Python: the handler failed, and a 500 was logged.
    sleeping = [sys.executable, "-c", "import time; time.sleep(600)"]
    monkeypatch.setattr(measuring, "_command", lambda *_: sleeping)
    codes = io.BytesIO()
    np.save(codes, np.zeros((4, 2)))

    with pytest.raises(httpx.ReadTimeout):
        httpx.post(
            f"{served}{PREFIX}/measurements",
            files={"mean": ("codes.npy", codes.getvalue())},
            headers=OWNER,
            timeout=httpx.Timeout(PATIENCE_S, read=1.0),
        )

    assert "refused with 499: the client went away" in wait_for_refusal(caplog)
    assert errors(caplog) == []
