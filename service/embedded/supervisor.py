"""`polar up`: the whole stack on one machine, where every process that dies is restarted."""

import contextlib
import math
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import chain
from pathlib import Path
from types import FrameType

import psycopg

from migrations.newest import IS_THERE, STORED, newest_revision
from service.embedded.devices import slots
from service.embedded.errors import EmbeddedError
from service.embedded.logs import rotate
from service.embedded.postgres import Postgres
from service.embedded.running import (
    RunningStack,
    login_link,
    publish,
    wait_until_healthy,
    withdraw,
)
from service.embedded.stack import Addresses, Stages, check_settings, stages
from service.embedded.state import identity
from service.embedded.supervised import (
    Launch,
    Supervised,
    has_client,
    last_lines,
    spawn,
    stop_all,
)
from service.processes import WEBHOOKS, taken
from service.programs import Program, python
from service.settings import Settings
from service.storage import grants, roles
from service.storage.errors import DatabaseLocked
from service.storage.roles import Role
from service.webhook_addresses import untold

MIGRATE_S = 600.0
POLL_S = 0.2
#: How often it looks whether logs have grown.
LOGS_S = 10.0
#: How long each stage may take to stop; an agent first lets its child write a checkpoint.
STOP_S = 30.0

Say = Callable[[str], None]


class _Stopped(BaseException):
    """A signal asks us to stop.

    KeyboardInterrupt would not do: if it passes through `exec` of a string, as during an import,
    CPython ends with SIGINT even though the exception was caught.
    """


def up(
    home: Path, agents: int | None, device: str | None, say: Say, *, lets_in: bool = False
) -> None:
    """Run the stack until SIGINT, SIGTERM or SIGHUP, and return when all of it has stopped.

    With `lets_in` it says a link that lets the browser of whoever reads it in, which is for a
    terminal, and for no file.

    Raises:
        InvalidInput: the environment has settings that the processes would refuse.
        HomeInUse: another supervisor holds this home.
        EmbeddedError: the database cannot start or cannot be migrated, or there is no such device.
    """
    settings = check_settings(home)
    # In a thread, because looking up a name may take long.
    threading.Thread(target=_say_of_webhooks, args=(settings, say), daemon=True).start()
    programs_for = partial(
        stages,
        slots=slots(agents, device),
        workers=settings.api_workers,
        webhooks=taken(*WEBHOOKS),
    )
    run(home, programs_for, say, lets_in=lets_in)


def _say_of_webhooks(settings: Settings, say: Say) -> None:
    urls, private = settings.webhooks.split(), settings.webhooks_allow_private
    for why in untold(urls, is_private_allowed=private):
        say(f"warning: as it is now, a webhook will not be told: {why}")


def run(
    home: Path,
    programs_for: Callable[[Postgres, Addresses], Stages],
    say: Say,
    *,
    lets_in: bool = False,
) -> None:
    """Run Postgres and these programs until a signal, as `up` does."""
    with _stopped_by_signals(), contextlib.suppress(_Stopped):
        say(f"starting Postgres in {home}")
        with Postgres(home) as postgres:
            withdraw(postgres.home)  # a supervisor that was killed may have left its `up.json`
            prepare(postgres)
            with contextlib.closing(Addresses.of(postgres.home)) as addresses:
                _supervise(postgres, programs_for(postgres, addresses), addresses, say, lets_in)


def prepare(postgres: Postgres) -> None:
    """Make the roles and databases that are missing, migrate, and give the roles their rights.

    Raises:
        EmbeddedError: the roles cannot be made, or the database cannot be migrated.
    """
    superuser = postgres.url("postgres")
    try:
        roles.prepare(superuser, postgres.passwords)
        with psycopg.connect(superuser, autocommit=True) as server:
            # All of the server is ours, so nobody has any business in what it came with, either.
            server.execute("revoke all on database postgres, template1 from public")
    except (DatabaseLocked, psycopg.Error) as error:
        raise EmbeddedError(f"the roles cannot be made: {error}") from error
    if not _is_migrated(postgres):
        _migrate(postgres)
    with psycopg.connect(postgres.url("app", Role.OWNER)) as connection:
        grants.give(connection)


def _supervise(
    postgres: Postgres, launches: Stages, addresses: Addresses, say: Say, lets_in: bool
) -> None:
    """Keeps the server and the programs alive until interrupted; then stops the programs."""
    logs = postgres.home / "log"
    running = [[_supervised(launch, logs) for launch in stage] for stage in launches]
    processes = [Supervised("postgres", postgres.launch, postgres.process), *chain(*running)]
    say(f"starting {', '.join(process.name for process in processes[1:])}; logs in {logs}")
    # A thread of its own, because a slow answer must not keep us from watching the processes.
    tell = partial(_say_when_healthy, postgres.home, say, lets_in)
    threading.Thread(target=tell, daemon=True).start()
    try:
        _keep_alive(processes, postgres.home, addresses, say)
    finally:
        say("stopping")
        withdraw(postgres.home)
        addresses.close()  # otherwise clients that connect now would wait for a restart
        for stage in reversed(running):
            stop_all(stage, STOP_S)


def _keep_alive(
    processes: Sequence[Supervised], home: Path, addresses: Addresses, say: Say
) -> None:
    published, home_id = None, identity(home)
    rotated_at = -math.inf
    while not _is_asked_to_stop():
        if time.monotonic() > rotated_at + LOGS_S:
            rotate(home / "log")
            rotated_at = time.monotonic()
        for process in processes:
            if news := process.watch(time.monotonic()):
                say(news)
        pids = {process.name: process.pid for process in processes if process.pid is not None}
        stack = RunningStack(
            addresses.api,
            addresses.mlflow,
            addresses.dashboard,
            os.getpid(),
            pids,
            home_id,
        )
        if stack != published:
            with contextlib.suppress(OSError):  # the disk is full; the next round tries again
                publish(home, stack)
                published = stack
        time.sleep(POLL_S)


def _say_when_healthy(home: Path, say: Say, lets_in: bool) -> None:
    stack = wait_until_healthy(home, within_s=math.inf)
    servers = {
        "API": stack.api_url,
        "MLflow": stack.mlflow_url,
        "optuna-dashboard": stack.dashboard_url,
    }
    lines = [f"{name:<18}{url}" for name, url in servers.items()]
    if lets_in and (link := login_link(home, stack)):
        lines.append(f"open this once, within five minutes, to look, submit and steer: {link}")
    say("\n".join([*lines, "`polar login` lets a browser in; Ctrl-C stops everything"]))


def _supervised(launch: Launch, logs: Path) -> Supervised:
    start = partial(spawn, launch, logs / f"{launch.name}.log")
    if not launch.waits_for_clients:
        return Supervised(launch.name, start)
    return Supervised(launch.name, start, is_needed=partial(has_client, launch.descriptors[0]))


def _is_migrated(postgres: Postgres) -> bool:
    """Whether the database is at the newest revision, which saves a process that looks at it."""
    with psycopg.connect(postgres.url("app", Role.OWNER)) as connection:
        (is_there,) = connection.execute(IS_THERE).fetchone() or (False,)
        return is_there and connection.execute(STORED).fetchone() == (newest_revision(),)


def _migrate(postgres: Postgres) -> None:
    log = postgres.home / "log" / "migrate.log"
    environment = {"POLAR_DATABASE_URL": postgres.url("app", Role.OWNER)}
    migration = spawn(Launch("migrate", python(Program.MIGRATION), environment), log)
    try:
        code = migration.wait(MIGRATE_S)
    except subprocess.TimeoutExpired:
        raise EmbeddedError(
            f"the migrations took more than {MIGRATE_S:.0f} s; see {log}"
        ) from None
    finally:
        migration.kill()
    if code:
        raise EmbeddedError(f"the migrations failed; the last lines of {log}:\n{last_lines(log)}")


@contextlib.contextmanager
def _stopped_by_signals() -> Iterator[None]:
    """Raise _Stopped at the first signal; later signals must not disturb the stop."""

    def stop(number: int, frame: FrameType | None) -> None:
        del number, frame
        for ignored in before:
            signal.signal(ignored, signal.SIG_IGN)
        raise _Stopped

    wanted = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # not under nohup
        wanted.append(signal.SIGHUP)
    before = {number: signal.signal(number, stop) for number in wanted}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _is_asked_to_stop() -> bool:
    """Whether the first signal has come, even if Python dropped _Stopped, as it does in a fork."""
    return signal.getsignal(signal.SIGTERM) == signal.SIG_IGN
