"""What a home remembers: its lock, its identity, its small JSON files, its ports."""

import contextlib
import fcntl
import json
import os
import secrets
import socket
import time
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any
from uuid import uuid4

from polar.files import written_aside
from service.embedded.errors import EmbeddedError, HomeInUse
from service.homes import TOKEN_FILE, holder, token_of, try_lock
from service.tokens import ALLOWED, is_token, new_token

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
    while not try_lock(file, fcntl.LOCK_EX):
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


def identity(home: Path) -> str:
    """What tells this home from all others, its copies, too; made by who holds the home.

    Raises:
        EmbeddedError: the file is damaged.
    """
    path, place = home / "identity.json", str(home.resolve())
    content = read_json(path) or {}
    if content.get("home") != place or not isinstance(content.get("id"), str):
        content = {"id": uuid4().hex, "home": place}
        write_json(path, content)
    return str(content["id"])


def owners_token(home: Path) -> str:
    """The token of the owner of this home, made at its first start.

    Raises:
        EmbeddedError: the file holds something else, or cannot be read.
    """
    path = home / TOKEN_FILE
    if not path.exists():
        _write(path, new_token() + "\n")
    token = token_of(home) or ""
    if not is_token(token):
        raise EmbeddedError(
            f"{path} holds no token; allowed: {ALLOWED}. Restore it or remove it; then `polar "
            "up` makes another."
        )
    return token


def read_json(path: Path) -> dict[str, Any] | None:
    """The object in the file; None where there is no file.

    Raw, because users and other versions write these files, too: the readers look for their keys.

    Raises:
        EmbeddedError: the file holds something else, or cannot be read.
    """
    try:
        value = json.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise EmbeddedError(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise EmbeddedError(f"{path} is not JSON: {error}. Restore it or remove it.") from error
    if not isinstance(value, dict):
        raise EmbeddedError(f"{path} holds no JSON object. Restore it or remove it.")
    return value


def write_json(path: Path, value: Mapping[str, object]) -> None:
    """Replaces the file as a whole, so that no reader and no power cut sees half of it."""
    _write(path, json.dumps(value, indent=2))


def _write(path: Path, text: str) -> None:
    with written_aside(path, is_durable=True) as aside:
        descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(text)


def listen(wanted: int | None = None) -> socket.socket:
    """A socket that listens on the wanted port of the loopback address, or else on a free one.

    Raises:
        EmbeddedError: there is no free port.
    """
    # At random: two homes that start at the same moment do not meet.
    others = [secrets.choice(FREE_PORTS) for _ in range(100)]
    for port in others if wanted is None else [wanted, *others]:
        with contextlib.suppress(OSError):
            listening = socket.create_server(("127.0.0.1", port))
            # For all its connections: uvicorn takes a socket that it was handed for a Unix one,
            # and leaves this out; answers of two small parts then take 44 ms instead of 1.
            listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return listening
    raise EmbeddedError(
        f"100 ports tried between {FREE_PORTS.start} and {FREE_PORTS.stop}, none was free"
    )


def choose_port(wanted: int | None = None) -> int:
    """As `listen`, for a server that cannot be handed a socket."""
    with listen(wanted) as held:
        return port_of(held)


def port_of(listening: socket.socket) -> int:
    """The port that the socket has."""
    port: int = listening.getsockname()[1]
    return port
