"""A child process that leads its own group and cannot outlive this process."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Self

from service.processes import die_with_parent

#: Longer lines are refused; an evaluation of 1,024 latents has half a megabyte.
LINE_LIMIT = 2**23
#: Seconds that a child has to end after it has closed its output.
FAREWELL_S = 5.0


class Child:
    """A child process; whoever calls `start` must call `kill` at the end, whatever happens."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdin
        assert process.stdout
        self._process = process
        self._stdin = process.stdin
        self._stdout = process.stdout
        self._kill_timer: asyncio.TimerHandle | None = None

    @classmethod
    async def start(cls, command: Sequence[str], env: Mapping[str, str], log: Path) -> Self:
        """Start the command with pipes to its stdin and stdout, and a log of its stderr.

        Call it in the main thread: the kernel kills the child when the starting thread ends.
        """
        with log.open("ab") as stderr:
            process = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=stderr,
                limit=LINE_LIMIT,
                env=env,
                start_new_session=True,
                preexec_fn=die_with_parent(signal.SIGKILL),
            )
        return cls(process)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def has_exited(self) -> bool:
        """Whether the child has ended; processes that it started may still run."""
        return self._process.returncode is not None

    def say(self, line: str) -> None:
        """Write a line to the child's stdin, if it still listens."""
        if not self._stdin.is_closing():
            self._stdin.write(f"{line}\n".encode())

    async def lines(self) -> AsyncIterator[bytes]:
        """The lines that the child writes, until it closes its output.

        What comes after the last line break is dropped: the child died while writing it.

        Raises:
            ValueError: a line is longer than `LINE_LIMIT`.
        """
        while (line := await self._stdout.readline()).endswith(b"\n"):
            yield line

    async def exit_code(self) -> int:
        """Wait briefly for the child to end; returns its exit code, negative after a signal."""
        self._kill_within(FAREWELL_S)
        while await self._stdout.read(LINE_LIMIT):
            pass  # asyncio says that a process has ended only after its pipes were read to the end
        return await self._process.wait()

    def ask_to_stop(self, grace_s: float) -> None:
        """Send SIGTERM to the child, and SIGKILL if it has not ended after `grace_s` seconds."""
        with suppress(ProcessLookupError):
            self._process.terminate()
        self._kill_within(grace_s)

    def kill(self) -> None:
        """Send SIGKILL to the child and all processes of its group."""
        if self._kill_timer:
            self._kill_timer.cancel()
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)

    def _kill_within(self, seconds: float) -> None:
        if self._kill_timer is None:
            self._kill_timer = asyncio.get_running_loop().call_later(seconds, self.kill)
