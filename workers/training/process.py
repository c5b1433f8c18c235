"""The processes of an agent: a template, and the children that it forks."""

import asyncio
import logging
import os
import signal
import socket
import subprocess
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import IO, Self

from service.processes import ONE_THREAD, adopting, die_with_parent, without_secrets
from service.storage.texts import printable
from workers.training.messages import FORK, READY

#: How long a template may take to import everything, from a slow file system, too.
START_S = 600.0
#: How long it may take to answer once it has.
ANSWER_S = 30.0
#: How long a template waits for the next run; it has 460 MiB.
IDLE_S = 300.0
#: Longer lines are refused; an evaluation of 1,024 latents has half a megabyte.
LINE_LIMIT = 2**23
#: Bytes of what a process wrote to its stderr that are kept to say why it ended.
LOG_TAIL = 4000
#: Seconds that a child has to end after it has closed its output.
FAREWELL_S = 5.0

_log = logging.getLogger(__name__)


class Template:
    """The process that forks the children of this one (see `workers.training.template`).

    It begins when the first child is needed, and again whenever it has ended.
    """

    def __init__(self, command: Sequence[str]) -> None:
        self._command = command
        self._process: subprocess.Popen[bytes] | None = None
        self._stderr: IO[bytes] | None = None
        self._socket: socket.socket | None = None
        self._idle_timer: asyncio.TimerHandle | None = None
        #: Why the last question was not answered although the template had not ended.
        self._no_answer = ""
        #: The end of what the last template wrote to its stderr.
        self._last_words = ""

    async def warm_up(self) -> None:
        """Return when a child can be forked at once, or when `fork` would say why it cannot."""
        if self._idle_timer:
            self._idle_timer.cancel()
        with suppress(OSError):
            if not (self._socket and await self._answer(READY)):
                await self._begin()

    async def fork(self, descriptors: Sequence[int]) -> int:
        """Fork a child with these stdin, stdout and stderr; returns the number of its process.

        Call it in the main thread: the kernel kills template and child when that thread ends.

        Raises:
            OSError: the template cannot be started, or ends without having forked a child.
        """
        with adopting():
            answer = self._socket and await self._answer(FORK, descriptors)
            if not answer:
                await self._begin()
                answer = await self._answer(FORK, descriptors)
        if not answer:
            raise self._failure("before it had forked a child")
        return int(answer)

    def rest(self) -> None:
        """End the template if it is not needed for a while."""
        self._idle_timer = asyncio.get_running_loop().call_later(IDLE_S, self.end)

    def end(self) -> None:
        """End the template; the children that it has forked go on."""
        if self._idle_timer:
            self._idle_timer.cancel()
        if self._socket:
            self._socket.close()
            self._socket = None
        if self._process:
            self._process.kill()
            self._process.wait()
        if self._stderr:
            with self._stderr:
                self._last_words = end_of(self._stderr)
            self._stderr = None
            if self._last_words:
                _log.warning("the template wrote: %s", self._last_words)

    async def _begin(self) -> None:
        self.end()
        self._spawn()
        if not await self._answer(READY, within_s=START_S):
            raise self._failure("before it was ready")

    def _spawn(self) -> None:
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 (`end` closes it)
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._socket.setblocking(False)
        with theirs:
            self._process = subprocess.Popen(
                self._command,
                stdin=theirs.fileno(),
                stderr=self._stderr,
                env=without_secrets() | ONE_THREAD,
                start_new_session=True,
                preexec_fn=die_with_parent(signal.SIGKILL),
            )
        _log.info("started template %s", self._process.pid)

    async def _answer(
        self, question: bytes, descriptors: Sequence[int] = (), *, within_s: float | None = None
    ) -> bytes:
        """The answer to a question; empty where the template has ended or does not answer."""
        assert self._socket
        self._no_answer, within_s = "", within_s or ANSWER_S
        try:
            socket.send_fds(self._socket, [question], descriptors)
            async with asyncio.timeout(within_s):
                return await asyncio.get_running_loop().sock_recv(self._socket, 64)
        except ConnectionError:
            pass
        except TimeoutError:
            self._no_answer = f"did not answer within {within_s:g} s"
        return b""

    def _failure(self, when: str) -> OSError:
        """The error for a run; another attempt may not meet it."""
        self.end()
        how = self._no_answer or f"ended with code {self._process and self._process.returncode}"
        words = f"; the end of its log:\n{self._last_words}" if self._last_words else ""
        return ChildProcessError(f"the template of children {how} {when}{words}")


def end_of(log: IO[bytes]) -> str:
    """What was written to a file last."""
    start = max(0, os.fstat(log.fileno()).st_size - LOG_TAIL)
    return printable(os.pread(log.fileno(), LOG_TAIL, start).decode(errors="replace"))


class Child:
    """A child process; whoever calls `start` must call `kill` at the end, whatever happens.

    It leads its own group and cannot outlive this process.
    """

    def __init__(
        self,
        pid: int,
        stdin: asyncio.WriteTransport,
        stdout: asyncio.ReadTransport,
        output: asyncio.StreamReader,
    ) -> None:
        self.pid = pid
        self._stdin = stdin
        self._stdout = stdout
        self._output = output
        self._exit_code: asyncio.Future[int] = asyncio.get_running_loop().run_in_executor(
            None, lambda: os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        )
        self._kill_timer: asyncio.TimerHandle | None = None

    @classmethod
    async def start(cls, template: Template, log: Path) -> Self:
        """Fork a child with pipes to its stdin and stdout, and a log of its stderr.

        Raises:
            OSError: the machine lacks something, or the template forks no child.
        """
        with ExitStack() as theirs, ExitStack() as ours:
            stdin, to_child = _pipe(theirs, ours)
            from_child, stdout = _pipe(ours, theirs)
            stderr = theirs.enter_context(log.open("ab"))
            pid = await template.fork([file.fileno() for file in (stdin, stdout, stderr)])
            ours.pop_all()
        loop, output = asyncio.get_running_loop(), asyncio.StreamReader(LINE_LIMIT)
        writing, _ = await loop.connect_write_pipe(asyncio.BaseProtocol, to_child)
        reading, _ = await loop.connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(output), from_child
        )
        return cls(pid, writing, reading, output)

    @property
    def has_exited(self) -> bool:
        """Whether the child has ended; processes that it started may still run."""
        return self._exit_code.done()

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
        while (line := await self._output.readline()).endswith(b"\n"):
            yield line

    async def exit_code(self) -> int:
        """Wait briefly for the child to end; returns its exit code, negative after a signal."""
        self._kill_within(FAREWELL_S)
        code = await asyncio.shield(self._exit_code)
        self._stdin.close()
        self._stdout.close()
        return code

    def ask_to_stop(self, grace_s: float) -> None:
        """Send SIGTERM to the child, and SIGKILL if it has not ended after `grace_s` seconds."""
        with suppress(ProcessLookupError):
            if not self.has_exited:
                os.kill(self.pid, signal.SIGTERM)
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


def _pipe(of_reader: ExitStack, of_writer: ExitStack) -> tuple[IO[bytes], IO[bytes]]:
    """The ends of a pipe, which these stacks close."""
    reader, writer = os.pipe()
    return (
        of_reader.enter_context(os.fdopen(reader, "rb")),
        of_writer.enter_context(os.fdopen(writer, "wb")),
    )
