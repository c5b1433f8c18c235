"""The database server of one home, run as our child process."""

import os
import secrets
import signal
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import psycopg

from service.embedded.binaries import find_binaries
from service.embedded.cluster import (
    ROLE,
    check_version,
    create_data,
    find_data,
    keep_link,
    keep_strangers_out,
    owner,
    refuse_copy,
    refuse_folder_of_others,
)
from service.embedded.errors import EmbeddedError
from service.embedded.state import choose_port, lock, read_json, write_json
from service.embedded.supervised import last_lines
from service.homes import resolved_home, unusable
from service.processes import die_with_parent
from service.storage.roles import Role

#: Recovery from a crash replays the log since the last checkpoint: seconds, not minutes.
START_S = 120.0
STOP_S = 30.0
POLL_S = 0.02
WITHOUT_ENCRYPTION = "sslmode=disable&gssencmode=disable"

SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "240",  # an agent has seven; agents get a part (service.storage.roles)
    # Our tables are small, and the kernel keeps their files in memory besides.
    "shared_buffers": "32MB",
    # Processes of the server that would have nothing to do: for reading ahead, for replication.
    "io_method": "sync",
    "max_logical_replication_workers": "0",
    "timezone": "UTC",
    "log_timezone": "UTC",
    # Locks of a client that has disappeared are released soon, even if it said nothing.
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
    "client_connection_check_interval": "10s",
    "idle_in_transaction_session_timeout": "10min",
}


class Postgres:
    """The server of a home, which this object holds from `start` to `stop`, against all others.

    Start the server from a thread that lives as long as the server should, because the kernel
    stops the server when that thread ends.
    """

    def __init__(self, home: Path) -> None:
        self.home = resolved_home(home)
        self.port = 0
        #: The password of each of our roles.
        self.passwords: dict[Role, str] = {}
        self._password = ""
        self._lock: IO[str] | None = None
        self._binaries = Path()
        self._data = Path()
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """The server's process, as last started."""
        assert self._process, "not started"
        return self._process

    def url(self, database: str, role: Role | None = None) -> str:
        """The address of a database, with the password: keep it out of command lines and logs.

        Without a role it is that of the superuser, which no program of a stack gets.
        """
        login = (role, self.passwords[role]) if role else (ROLE, self._password)
        return _url(*login, self.port, database)

    def start(self) -> None:
        """Create the data if there are none, and return when the server accepts connections.

        Raises:
            HomeInUse: another supervisor holds this home.
            EmbeddedError: the server cannot start.
        """
        try:
            refuse_folder_of_others(self.home)
            (self.home / "log").mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = lock(self.home)
            self._prepare()
            self._wait_for_predecessor()
            keep_strangers_out(self.home, self._data)
            self.launch()
            self._wait_until_ready()
        except OSError as error:
            self.stop()
            raise EmbeddedError(unusable(self.home, error)) from error
        except BaseException:
            self.stop()
            raise

    def launch(self) -> subprocess.Popen[bytes]:
        """Start the server, on the port of its last start, without waiting until it is ready."""
        command = [str(self._binaries / "postgres"), "-D", str(self._data), "-p", str(self.port)]
        options = [f"--{name}={value}" for name, value in SETTINGS.items()]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [*command, *options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                env={"PATH": os.defpath} | self._ignore_stale_pid(),
                start_new_session=True,
                preexec_fn=die_with_parent(signal.SIGINT),
                **owner(self._data),
            )
        return self._process

    def stop(self) -> None:
        """Stop the server, cleanly if it manages that in time, and release the home."""
        if self._process:
            for signal_number in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
                self._process.send_signal(signal_number)
                try:
                    self._process.wait(STOP_S)
                    break
                except subprocess.TimeoutExpired:
                    continue
        if self._lock:
            self._lock.close()

    @property
    def _log(self) -> Path:
        return self.home / "log" / "postgres.log"

    def _prepare(self) -> None:
        self._binaries = find_binaries()
        credentials = self.home / "database.json"
        data = find_data(self.home)
        if data:
            refuse_copy(self.home, data)
        known = read_json(credentials)
        if data and not known:
            raise EmbeddedError(
                f"{credentials} is gone, and with it the password of {data}. Restore the file, or "
                "remove that folder to start with an empty database."
            )
        known = known or {"password": secrets.token_urlsafe(24), "port": None}
        self._password = known["password"]
        self.port = choose_port(known["port"])
        # The keys are libpq's names.
        known |= {"host": "127.0.0.1", "port": self.port, "user": ROLE}
        made = known.get("roles", {})
        self.passwords = {role: made.get(role) or secrets.token_urlsafe(24) for role in Role}
        known["roles"] = made | self.passwords
        write_json(credentials, known)
        self._data = data or create_data(self.home, self._binaries, self._password)
        keep_link(self.home, self._data)
        check_version(self._data, self._binaries)

    def _wait_for_predecessor(self) -> None:
        """Wait for the end of an earlier server whose supervisor was killed."""
        deadline = time.monotonic() + STOP_S
        while left := _servers_on(self._data):
            if time.monotonic() > deadline:
                raise EmbeddedError(
                    f"an earlier server still uses {self._data}, with the process ids {left}. "
                    "Stop it with SIGINT and try again."
                )
            time.sleep(POLL_S)

    def _ignore_stale_pid(self) -> dict[str, str]:
        """Environment that makes Postgres ignore a pid file that a dead server has left.

        Postgres refuses to start while a process with the pid of its pid file lives, even if that
        pid now belongs to another program. Here it must belong to one, because the home is locked
        and no server works on the data. Postgres ignores a pid file with the pid in this variable,
        which it takes for an ancestor of its own.
        """
        stale = _pid_file(self._data)
        if not stale or _servers_on(self._data):
            return {}
        return {"PG_GRANDPARENT_PID": stale[0]}

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + START_S
        while not self._is_ready():
            if self.process.poll() is not None:
                raise EmbeddedError(
                    f"Postgres ended with exit code {self.process.returncode} while it was "
                    f"starting; the last lines of {self._log}:\n{last_lines(self._log)}"
                )
            if time.monotonic() > deadline:
                raise EmbeddedError(
                    f"Postgres is not ready after {START_S:.0f} s; the last lines of "
                    f"{self._log}:\n{last_lines(self._log)}"
                )
            time.sleep(POLL_S)
        try:
            psycopg.connect(self.url("postgres"), connect_timeout=10).close()
        except psycopg.OperationalError as error:
            raise EmbeddedError(
                f"Postgres runs but refuses the password in {self.home / 'database.json'}: {error}"
            ) from error

    def _is_ready(self) -> bool:
        lines = _pid_file(self._data)
        return (
            len(lines) >= 8 and lines[0] == str(self.process.pid) and lines[7].strip() == "ready"
        )


def url_of(home: Path, database: str, role: Role | None = None) -> str:
    """The address of a database of this home, with the password, if we may read its files.

    Without a role it is that of the superuser.

    Raises:
        EmbeddedError: there is no server in this home, or we may not read its password.
    """
    credentials = resolved_home(home) / "database.json"
    known = read_json(credentials)
    if known is None:
        raise EmbeddedError(f"there is no {credentials}; `polar up` creates it")
    if role is None:
        return _url(ROLE, known["password"], known["port"], database)
    if role not in known.get("roles", {}):
        raise EmbeddedError(f"{credentials} has no password of {role}; `polar up` creates it")
    return _url(role, known["roles"][role], known["port"], database)


def _url(user: str, password: str, port: int, database: str) -> str:
    # The server offers neither TLS nor Kerberos, but some environments make clients ask for them.
    return f"postgresql://{user}:{password}@127.0.0.1:{port}/{database}?{WITHOUT_ENCRYPTION}"


def _pid_file(data: Path) -> list[str]:
    try:
        return (data / "postmaster.pid").read_text().split("\n")
    except FileNotFoundError:
        return []


def _servers_on(data: Path) -> list[int]:
    """The Postgres processes that work in this data directory, as far as /proc shows them."""
    return [int(entry.name) for entry in Path("/proc").glob("[0-9]*") if _works_on(entry, data)]


def _works_on(process: Path, data: Path) -> bool:
    try:
        comm = (process / "comm").read_text().strip()
        return comm == "postgres" and (process / "cwd").readlink() == data
    except OSError:  # the process has ended, or we may not look at it
        return False
