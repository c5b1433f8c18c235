"""What a home remembers: its lock, its small JSON files, its ports."""

import fcntl
import json
import os
import secrets
import socket
import time
from pathlib import Path
from typing import IO, Any

from service.embedded.errors import EmbeddedError, HomeInUse

#: Whoever asks for the holder locks the file as well, for microseconds.
LOCK_S = 1.0
#: Below Linux's range for outgoing connections, which would take a kept port now and then.
FREE_PORTS = range(20_000, 32_000)


def lock(home: Path) -> IO[str]:
    """Holds the home until the file is closed or the process ends.

    Raises:
        HomeInUse: another process holds it.
    """
    deadline = time.monotonic() + LOCK_S
    file = (home / "lock").open("a+")
    while not _try_lock(file, fcntl.LOCK_EX):
        if time.monotonic() > deadline:
            file.close()
            raise HomeInUse(
                f"{home} is in use by another supervisor, pid {holder(home)}. "
                "Stop that one, or choose another home with POLAR_HOME."
            )
        time.sleep(0.02)
    file.truncate(0)
    file.write(str(os.getpid()))
    file.flush()
    return file


def holder(home: Path) -> int | None:
    """The process that holds the home now; None if nobody does."""
    try:
        with (home / "lock").open() as file:
            free = _try_lock(file, fcntl.LOCK_SH)
            return None if free else int(file.read() or 0)
    except FileNotFoundError:
        return None


def _try_lock(file: IO[str], kind: int) -> bool:
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def read_json(path: Path) -> dict[str, Any] | None:
    """The object in the file; None where there is no file.

    Raises:
        EmbeddedError: the file holds something else.
    """
    try:
        value = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise EmbeddedError(f"{path} is not JSON: {error}. Restore it or remove it.") from error
    if not isinstance(value, dict):
        raise EmbeddedError(f"{path} holds no JSON object. Restore it or remove it.")
    return value


def write_json(path: Path, value: dict[str, Any], mode: int = 0o644) -> None:
    """Replaces the file as a whole, so that no reader and no power cut sees half of it."""
    aside = path.with_name(path.name + ".new")
    aside.unlink(missing_ok=True)
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "w") as file:
        os.fchmod(descriptor, mode)
        json.dump(value, file, indent=2)
        file.flush()
        os.fsync(descriptor)
    aside.replace(path)


def is_free(port: int) -> bool:
    """Whether nobody listens on this port of the loopback address."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def choose_port(wanted: int | None = None) -> int:
    """The wanted port if it is free, else another."""
    if wanted is not None and is_free(wanted):
        return wanted
    for _ in range(100):
        # At random: two homes that start at the same moment do not meet.
        port = secrets.choice(FREE_PORTS)
        if is_free(port):
            return port
    raise EmbeddedError(
        f"100 ports tried between {FREE_PORTS.start} and {FREE_PORTS.stop}, none was free"
    )
