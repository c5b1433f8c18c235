import contextlib
import json
import os
import pwd
import resource
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from service.embedded.binaries import is_open
from service.embedded.cluster import NAMELESS, owner
from service.embedded.errors import EmbeddedError, HomeInUse
from service.embedded.postgres import Postgres

root_only = pytest.mark.skipif(os.geteuid() != 0, reason="only root changes to another user")

#: Starts a server, tells its pid and waits to be killed.
SUPERVISOR = """
import sys, time
from pathlib import Path
from service.embedded.postgres import Postgres
server = Postgres(Path(sys.argv[1]))
server.start()
print(server.process.pid, flush=True)
time.sleep(600)
"""

#: Becomes another user, then starts a server and stops it.
ORDINARY_USER = """
import os, sys
from pathlib import Path
import psycopg
from service.embedded.postgres import Postgres
uid, gid = int(sys.argv[2]), int(sys.argv[3])
os.setgroups([])
os.setgid(gid)
os.setuid(uid)
with Postgres(Path(sys.argv[1])) as server:
    with psycopg.connect(server.url("postgres")) as connection:
        print(connection.execute("SELECT 41 + 1").fetchone()[0])
"""


def the_row(server: Postgres) -> object:
    with psycopg.connect(server.url("postgres")) as connection:
        row = connection.execute("SELECT value FROM kept").fetchone()
        return row and row[0]


def refused_connection(url: str) -> str:
    with pytest.raises(psycopg.OperationalError) as refusal:
        psycopg.connect(url)
    return str(refusal.value)


@contextlib.contextmanager
def listener(port: int) -> Iterator[None]:
    with socket.create_server(("127.0.0.1", port)):
        yield


def test_rows_and_port_survive_a_restart(made_home: Path) -> None:
    with Postgres(made_home) as first, psycopg.connect(first.url("postgres")) as connection:
        connection.execute("UPDATE kept SET value = 43")

    with Postgres(made_home) as second:
        assert the_row(second) == 43
        assert second.port == first.port


def test_a_taken_port_is_left_to_its_holder(made_home: Path) -> None:
    old_port = json.loads((made_home / "database.json").read_text())["port"]

    with listener(old_port), Postgres(made_home) as server:
        assert server.port != old_port
        assert the_row(server) == 42

    assert json.loads((made_home / "database.json").read_text())["port"] == server.port


def test_the_server_starts_again_with_its_rows_after_kill_9(made_home: Path) -> None:
    with Postgres(made_home) as server:
        server.process.kill()
        server.process.wait()

    with Postgres(made_home) as server:
        assert the_row(server) == 42


def test_a_killed_server_is_launched_again_at_the_same_port(
    made_home: Path, eventually: Callable[[Callable[[], object]], None]
) -> None:
    def answers() -> bool:
        with contextlib.suppress(psycopg.OperationalError):
            return the_row(server) == 42
        return False

    with Postgres(made_home) as server:
        server.process.kill()
        server.process.wait()

        server.launch()

        eventually(answers)


def test_a_second_supervisor_is_refused_with_the_pid_of_the_first(made_home: Path) -> None:
    with Postgres(made_home), pytest.raises(HomeInUse, match=f"in use .* pid {os.getpid()}"):
        Postgres(made_home).start()


def test_the_home_is_free_again_after_a_failed_start(made_home: Path) -> None:
    version = made_home / "postgres" / "PG_VERSION"
    installed = version.read_text()
    version.write_text("9\n")
    with pytest.raises(EmbeddedError):
        Postgres(made_home).start()
    version.write_text(installed)

    with Postgres(made_home) as server:
        assert the_row(server) == 42


def test_a_wrong_password_is_refused(postgres: Postgres) -> None:
    url = f"postgresql://polar:wrong@127.0.0.1:{postgres.port}/postgres"

    assert "password authentication failed" in refused_connection(url)


@pytest.mark.parametrize(
    ("name", "value"), [("PGSSLMODE", "require"), ("PGGSSENCMODE", "require")]
)
def test_its_address_works_where_other_databases_want_encryption(
    name: str, value: str, postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    # in a notebook, say: what `polar study dsn` prints is this address
    monkeypatch.setenv(name, value)

    with psycopg.connect(postgres.url("postgres")) as connection:
        assert connection.execute("SELECT 42").fetchone() == (42,)


def test_no_password_is_refused(postgres: Postgres) -> None:
    url = f"postgresql://polar@127.0.0.1:{postgres.port}/postgres"

    assert "no password supplied" in refused_connection(url)


def test_the_password_is_for_the_owner_of_the_home_only(postgres: Postgres) -> None:
    secret = postgres.home / "database.json"

    assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    assert json.loads(secret.read_text())["password"] in postgres.url("app")


def test_the_password_is_not_on_the_command_line(postgres: Postgres) -> None:
    password = json.loads((postgres.home / "database.json").read_text())["password"]

    arguments = Path(f"/proc/{postgres.process.pid}/cmdline").read_text()

    assert password not in arguments


def test_a_password_that_is_not_the_servers_is_told(made_home: Path) -> None:
    credentials = made_home / "database.json"
    credentials.write_text(json.dumps(json.loads(credentials.read_text()) | {"password": "no"}))

    with pytest.raises(EmbeddedError, match=r"refuses the password in .*database\.json"):
        Postgres(made_home).start()


def test_a_lost_password_is_told(made_home: Path) -> None:
    (made_home / "database.json").unlink()

    with pytest.raises(EmbeddedError, match=r"database\.json is gone"):
        Postgres(made_home).start()


def test_a_pid_file_that_names_another_program_of_the_same_user_is_no_obstacle(
    made_home: Path,
) -> None:
    data = (made_home / "postgres").resolve()
    with subprocess.Popen(["sleep", "600"], cwd="/", **owner(data)) as stranger:
        (data / "postmaster.pid").write_text(f"{stranger.pid}\n{data}\n1\n1\n\n127.0.0.1\n\n\n")

        with Postgres(made_home) as server:
            assert the_row(server) == 42

        assert stranger.poll() is None
        stranger.kill()


def test_a_killed_supervisor_leaves_no_server_behind(
    made_home: Path, eventually: Callable[[Callable[[], object]], None]
) -> None:
    supervisor = subprocess.Popen(
        [sys.executable, "-c", SUPERVISOR, str(made_home)], stdout=subprocess.PIPE, text=True
    )
    assert supervisor.stdout
    pid = int(supervisor.stdout.readline())

    supervisor.kill()
    supervisor.communicate()

    eventually(lambda: not Path(f"/proc/{pid}").exists())
    log = (made_home / "log" / "postgres.log").read_text()
    assert log.rstrip().endswith("database system is shut down")


def test_the_start_after_a_killed_supervisor_waits_for_its_server(made_home: Path) -> None:
    supervisor = subprocess.Popen(
        [sys.executable, "-c", SUPERVISOR, str(made_home)], stdout=subprocess.PIPE, text=True
    )
    assert supervisor.stdout
    supervisor.stdout.readline()
    supervisor.kill()
    supervisor.communicate()

    with Postgres(made_home) as server:
        assert the_row(server) == 42


def test_data_of_another_major_version_are_left_alone(made_home: Path) -> None:
    (made_home / "postgres" / "PG_VERSION").write_text("9\n")

    with pytest.raises(EmbeddedError, match=r"written by PostgreSQL 9, but PostgreSQL \d\d is"):
        Postgres(made_home).start()


def test_a_server_that_cannot_start_shows_the_end_of_its_log(made_home: Path) -> None:
    with (made_home / "postgres" / "postgresql.conf").open("a") as settings:
        settings.write("no_such_setting = 1\n")

    with pytest.raises(EmbeddedError, match=r'(?s)ended with exit code 1.*"no_such_setting"'):
        Postgres(made_home).start()


def test_a_failed_initdb_shows_its_last_lines_and_leaves_nothing(home: Path) -> None:
    # A limit on the size of files stands for the full disk: writing fails half way through.
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        with pytest.raises(EmbeddedError, match=r"(?s)initdb failed .* last lines:\n.+"):
            Postgres(home).start()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)

    assert not list(home.glob("postgres*"))


def test_a_home_that_is_a_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(EmbeddedError, match=r"/file cannot be used as home: .*Not a directory"):
        Postgres(tmp_path / "file").start()


def test_an_interrupted_first_start_is_begun_anew(home: Path) -> None:
    (home / "lock").touch()
    (home / "postgres.new").mkdir()
    (home / "postgres.new" / "PG_VERSION").write_text("18\n")

    with Postgres(home) as server:
        psycopg.connect(server.url("postgres")).close()

    assert not (home / "postgres.new").exists()


@root_only
def test_root_does_not_run_the_server_and_nobody_else_is_its_user(postgres: Postgres) -> None:
    status = Path(f"/proc/{postgres.process.pid}").stat()
    data = (postgres.home / "postgres").resolve()
    owners = {(path.stat().st_uid, path.stat().st_gid) for path in (data, *data.rglob("*"))}

    assert owners == {(status.st_uid, status.st_gid)}
    assert status.st_uid in NAMELESS
    assert status.st_uid not in {account.pw_uid for account in pwd.getpwall()}


def test_the_home_is_closed_to_others(postgres: Postgres) -> None:
    status = postgres.home.stat()
    others_and_group = stat.S_IMODE(status.st_mode) & 0o077

    # root's Postgres, which is alone in its group, passes through the home, but sees no names
    assert others_and_group == (0o010 if os.geteuid() == 0 else 0)
    assert os.geteuid() != 0 or status.st_gid in NAMELESS


@root_only
def test_data_that_nobody_owned_go_on_and_belong_to_nobody_else(made_home: Path) -> None:
    nobody = pwd.getpwnam("nobody")
    data = made_home / "postgres"
    for path in (data, *data.rglob("*")):  # as earlier versions left them
        os.lchown(path, nobody.pw_uid, nobody.pw_gid)
    made_home.chmod(0o755)

    with Postgres(made_home) as server:
        assert the_row(server) == 42

    assert {path.stat().st_uid for path in (data, *data.rglob("*"))} == {NAMELESS[0]}
    assert stat.S_IMODE(made_home.stat().st_mode) == 0o710


@root_only
def test_roots_closed_folders_stay_closed_and_the_data_lie_elsewhere(home: Path) -> None:
    home.chmod(0o700)
    inner = home / "inner"

    with Postgres(inner) as first, psycopg.connect(first.url("postgres")) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS value")
    with Postgres(inner) as second:
        assert the_row(second) == 42

    data = (inner / "postgres").resolve()
    (home / "postgres").symlink_to(data)  # for the fixture, which removes it
    assert data.is_relative_to("/var/lib/polar")
    assert stat.S_IMODE(home.stat().st_mode) == 0o700


@root_only
def test_data_that_are_gone_from_elsewhere_are_told(home: Path) -> None:
    (home / "postgres").symlink_to("/var/lib/polar/no-such-folder/postgres")

    with pytest.raises(EmbeddedError, match=r"the database of .* is gone"):
        Postgres(home).start()


@root_only
def test_an_ordinary_user_has_the_data_in_the_home(home: Path) -> None:
    if not is_open(Path(sys.prefix)):
        pytest.skip(f"an ordinary user has no access to {sys.prefix}")
    nobody = pwd.getpwnam("nobody")
    os.chown(home, nobody.pw_uid, nobody.pw_gid)
    home.chmod(0o700)

    answer = subprocess.run(
        [sys.executable, "-c", ORDINARY_USER, home, str(nobody.pw_uid), str(nobody.pw_gid)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert answer.stdout == "42\n", answer.stderr
    assert (home / "postgres").stat().st_uid == nobody.pw_uid
    assert not (home / "postgres").is_symlink()


def test_a_stop_is_clean_for_the_next_start(made_home: Path) -> None:
    server = Postgres(made_home)
    server.start()
    with psycopg.connect(server.url("postgres")):  # a client that stays does not hold it up
        server.stop()

    assert server.process.returncode == 0
    assert not (made_home / "postgres" / "postmaster.pid").exists()


def test_a_stop_signal_is_not_needed_for_a_server_that_is_dead(made_home: Path) -> None:
    server = Postgres(made_home)
    server.start()
    server.process.send_signal(signal.SIGKILL)
    server.process.wait()

    server.stop()

    assert server.process.returncode == -signal.SIGKILL
