"""Short processes, so that API and tracker load no numpy, torch or matplotlib."""

import asyncio
import signal
from asyncio.subprocess import PIPE
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from service.processes import ONE_THREAD, die_with_parent, without_secrets


@dataclass(frozen=True)
class Ended:
    """How a process ended."""

    code: int | None
    #: What it wrote to stdout.
    output: bytes
    #: What it wrote to stderr.
    said: str


class ShortProcesses:
    """Runs a few processes at once, each on one thread and for a limited time; others wait."""

    def __init__(self, at_once: int, limit_s: float) -> None:
        self.limit_s = limit_s
        self._free = asyncio.Semaphore(at_once)

    async def run(
        self, command: Sequence[str], *, folder: Path | None = None, stdin: bytes = b""
    ) -> Ended:
        """Run a process to its end, and kill it if this call is cancelled.

        Call it in the main thread: the kernel kills the process when the starting thread ends.

        Raises:
            TimeoutError: the process took too long and was killed.
        """
        async with self._free:
            process = await asyncio.create_subprocess_exec(
                *command,
                cwd=folder,
                env=without_secrets() | ONE_THREAD,
                stdin=PIPE,
                stdout=PIPE,
                stderr=PIPE,
                preexec_fn=die_with_parent(signal.SIGKILL),
            )
            try:
                async with asyncio.timeout(self.limit_s):
                    output, said = await process.communicate(stdin)
            finally:
                if process.returncode is None:
                    process.kill()
                    await process.wait()
        return Ended(process.returncode, output, said.decode(errors="replace"))
