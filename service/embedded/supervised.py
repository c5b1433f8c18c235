"""Supervised processes do not outlive their supervisor, and come back when they die."""

import contextlib
import os
import select
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from service.processes import die_with_parent

FIRST_DELAY_S = 0.5
LONGEST_DELAY_S = 10.0
#: A process that lived this long did not fail at its start, and is started again soon.
LONG_LIFE_S = 60.0


@dataclass(frozen=True)
class Launch:
    """What to run under a name; its environment is added to ours."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    #: Open files of ours that it inherits, under the same numbers.
    descriptors: Sequence[int] = ()
    #: It is a server on the first of these, which is started when a client connects, and ends
    #: with code 0 when it has had none for long.
    waits_for_clients: bool = False


class Supervised:
    """A process that is started again whenever it ends, whatever its exit code.

    A process that is not needed all the time rests before its first start and once it has ended
    with code 0: then it is started as soon as it is needed.
    """

    def __init__(
        self,
        name: str,
        start: Callable[[], subprocess.Popen[bytes]],
        process: subprocess.Popen[bytes] | None = None,
        is_needed: Callable[[], bool] | None = None,
    ) -> None:
        self.name = name
        self._start = start
        self._process = process
        self._is_needed = is_needed
        self._is_resting = is_needed is not None
        self._started_at = self._due_at = time.monotonic() if process else 0.0
        self._delay_s = 0.0

    @property
    def pid(self) -> int | None:
        """The running process; None between its end and the next start."""
        return self._process.pid if self._process else None

    def watch(self, now: float) -> str | None:
        """Starts the process when its time has come; says so when it has just died."""
        if self._process:
            code = self._process.poll()
            if code is None:
                return None
            self._is_resting = code == 0 and self._is_needed is not None
            news = self._died(now, f"ended with code {code}")
            return None if self._is_resting else news
        if now < self._due_at:
            return None
        if self._is_resting and self._is_needed and not self._is_needed():
            return None
        self._started_at = now
        try:
            self._process = self._start()
        except OSError as error:
            return self._died(now, f"could not start: {error}")
        return None

    def ask_to_stop(self) -> None:
        """Sends SIGTERM."""
        if self._process:
            self._process.terminate()

    def stop(self, within_s: float) -> None:
        """Waits for the end of the process; at the end of the time it kills it and its group."""
        if not self._process:
            return
        try:
            self._process.wait(max(0.0, within_s))
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def _died(self, now: float, how: str) -> str:
        self._process = None
        self._delay_s = next_delay(self._delay_s, lived_s=now - self._started_at)
        self._due_at = now + self._delay_s
        return f"{self.name} {how}; it starts again in {self._delay_s:g} s"


def next_delay(previous_s: float, lived_s: float) -> float:
    """How long to wait before the next start: twice the last time, unless it lived for long."""
    if previous_s == 0.0 or lived_s >= LONG_LIFE_S:
        return FIRST_DELAY_S
    return min(2 * previous_s, LONGEST_DELAY_S)


def has_client(listening: int) -> bool:
    """Whether a client waits to be accepted by the server of this socket."""
    clients = select.poll()
    clients.register(listening, select.POLLIN)
    return bool(clients.poll(0))


def spawn(launch: Launch, log: Path) -> subprocess.Popen[bytes]:
    """Starts the process; what it prints is added to the log.

    It has a session of its own: Ctrl-C in the terminal is for the supervisor alone.
    """
    with log.open("ab") as output:
        return subprocess.Popen(
            launch.command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=os.environ | launch.environment,
            pass_fds=launch.descriptors,
            start_new_session=True,
            preexec_fn=die_with_parent(signal.SIGTERM),
        )


def last_lines(log: Path) -> str:
    """The end of a log, for a message."""
    return "\n".join(log.read_text(errors="replace").splitlines()[-10:])


def stop_all(processes: Iterable[Supervised], within_s: float) -> None:
    """Asks all to stop at once; kills those that are still there when the time is over."""
    processes = list(processes)
    deadline = time.monotonic() + within_s
    for process in processes:
        process.ask_to_stop()
    for process in processes:
        process.stop(deadline - time.monotonic())
