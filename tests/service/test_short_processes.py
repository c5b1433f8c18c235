"""The processes that work for a request; these only sleep."""

import subprocess
import sys
import time
from pathlib import Path

PATIENCE_S = 60.0
#: An API that waits for a process that writes down who it is.
WAITING = """
import asyncio, sys
from service.short_processes import ShortProcesses
sleep = "import os, time; open({!r}, 'w').write(str(os.getpid())); time.sleep(600)"
command = [sys.executable, "-c", sleep.format(sys.argv[1])]
asyncio.run(ShortProcesses(at_once=1, limit_s=600.0).run(command))
"""


def test_a_process_ends_with_an_api_that_is_killed(tmp_path: Path) -> None:
    # Before, it computed on, for as long as a request may take.
    note = tmp_path / "pid"
    api = subprocess.Popen([sys.executable, "-c", WAITING, str(note)])
    deadline = time.monotonic() + PATIENCE_S
    while not (note.exists() and note.read_text()):
        assert api.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)

    api.kill()
    api.wait(PATIENCE_S)

    while Path(f"/proc/{note.read_text()}/exe").exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
