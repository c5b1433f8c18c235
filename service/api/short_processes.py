"""Child processes that work for a request: this one loads no numpy, no torch and no matplotlib."""

import asyncio
import math
import os
import resource
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from service.processes import ONE_THREAD

#: How much longer than the limit an orphan, whose API was killed, may compute.
ORPHAN_S = 10


@dataclass(frozen=True)
class Ended:
    """How a child ended."""

    code: int | None
    #: What it wrote to stdout.
    output: bytes
    #: What it wrote to stderr.
    said: str


class Children:
    """Runs a few at a time, each on one thread and for a limited time; others wait their turn."""

    def __init__(self, at_once: int, limit_s: float) -> None:
        self.limit_s = limit_s
        self._turns = asyncio.Semaphore(at_once)

    async def run(
        self, command: Sequence[str], *, folder: Path | None = None, given: bytes = b""
    ) -> Ended:
        """Runs one to its end; it is killed when this is cancelled.

        Raises:
            TimeoutError: it took too long, and was killed.
        """
        async with self._turns:
            child = await asyncio.create_subprocess_exec(
                *command,
                cwd=folder,
                env=os.environ | ONE_THREAD,
                stdin=PIPE,
                stdout=PIPE,
                stderr=PIPE,
            )
            try:
                self._end_an_orphan(child)
                async with asyncio.timeout(self.limit_s):
                    output, said = await child.communicate(given)
            finally:
                if child.returncode is None:
                    child.kill()
                    await child.wait()
        return Ended(child.returncode, output, said.decode(errors="replace"))

    def _end_an_orphan(self, child: Process) -> None:
        """Lets the system end it some time after the limit, should nobody be left to do so."""
        seconds = math.ceil(self.limit_s) + ORPHAN_S
        if sys.platform == "linux":
            with suppress(ProcessLookupError):  # it has ended
                resource.prlimit(child.pid, resource.RLIMIT_CPU, (seconds, seconds))
