"""Processes that work, and what is seen of each."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

PATIENCE_S = 60.0
#: What is seen of a process that uses no GPU.
OF_ALL = {
    "cpu_utilization_percentage",
    "process_memory_usage_megabytes",
    "system_memory_usage_megabytes",
    "system_memory_usage_percentage",
}
WORKS = "x = bytearray(200_000_000)\nprint(flush=True)\nwhile True: pass"


@contextmanager
def process(program: str) -> Iterator[int]:
    """The process of this program, once it has printed a line; all of its group end with it."""
    with subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        process_group=0,
    ) as started:
        assert started.stdout
        assert started.stdout.readline()
        try:
            yield started.pid
        finally:
            os.killpg(started.pid, 9)


def until(claim: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not claim():
        assert time.monotonic() < deadline
        time.sleep(0.01)
