"""What processes log, as lines for people and as objects."""

import json
import logging
import subprocess
import sys

import pytest

from service import logs

PROGRAM = """
import logging
from service import logs
logs.set_up()
log = logging.getLogger("service.somewhere")
log.info("run %s ends\\nsoon", 7, extra={"run": 7, "attempt": 2})
logs.request_id.set("abc")
log.warning("\\ud800", extra={"study": 3})
log.debug("nobody wants this")
try:
    raise ValueError("broken")
except ValueError:
    log.exception("it failed")
raise KeyError("nobody caught this")
"""


def printed(monkeypatch: pytest.MonkeyPatch, form: str) -> str:
    monkeypatch.setenv("POLAR_LOG_FORMAT", form)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, check=False, text=True
    )
    assert done.returncode == 1
    return done.stderr


def test_every_line_is_an_object_with_the_ids_that_are_known(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first, second, third, last = map(json.loads, printed(monkeypatch, "json").splitlines())

    assert first.pop("time").endswith("+00:00")
    assert first == {
        "level": "info",
        "logger": "service.somewhere",
        "message": "run 7 ends\nsoon",
        "run_id": 7,
        "attempt": 2,
    }
    assert (second["study_id"], second["request_id"], second["level"]) == (3, "abc", "warning")
    assert "ValueError: broken" in third["traceback"]
    assert "KeyError: 'nobody caught this'" in last["traceback"]


def test_lines_for_people_end_with_the_ids(monkeypatch: pytest.MonkeyPatch) -> None:
    text = printed(monkeypatch, "text")

    assert "INFO service.somewhere: run 7 ends\n    soon run=7 attempt=2\n" in text
    assert "ERROR service.somewhere: it failed\n    Traceback" in text
    assert "request=abc" in text
    assert "{" not in text


def test_what_a_message_quotes_is_no_record_of_its_own_and_moves_no_cursor() -> None:
    quoted = "x\r\n2026-11-28 09:00:00,000 CRITICAL service.api: forged \x1b[2J\u202etxt\tend"
    record = logging.LogRecord("service", logging.INFO, "", 0, "no %s", (quoted,), None)

    said = logs.Lines("%(message)s").format(record)

    assert said == (
        "no x\\r\n    2026-11-28 09:00:00,000 CRITICAL service.api: forged \\x1b[2J\\u202etxt\tend"
    )
