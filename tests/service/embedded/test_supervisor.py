"""The supervisor with small programs in place of MLflow, API and agents; Postgres is real."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from service.embedded.postgres import Postgres, url_of
from service.embedded.running import find_running
from service.storage.roles import Role

Eventually = Callable[[Callable[[], object]], None]
Stages = Sequence[Sequence[tuple[str, Sequence[str]]]]

SUPERVISOR = """
import json, sys
from pathlib import Path
from service.embedded.supervised import Launch
from service.embedded.supervisor import run
stages = [[Launch(*program) for program in stage] for stage in json.loads(sys.argv[2])]
run(Path(sys.argv[1]), lambda postgres, addresses: stages, lambda line: print(line, flush=True))
"""

#: Notes in a common file which signal it got, and ends.
NOTER = """
import signal, sys, time
def note(number, frame):
    with open(sys.argv[2], "a") as notes:
        notes.write(f"{sys.argv[1]} {signal.Signals(number).name}\\n")
    sys.exit()
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, note)
print("ready", flush=True)
while True:
    time.sleep(600)
"""


#: Answers so many connections with its pid, on a socket that it inherits, and ends.
ANSWERER = """
import os, socket, sys
listening = socket.socket(fileno=int(sys.argv[1]))
for _ in range(int(sys.argv[2])):
    connection, _ = listening.accept()
    connection.sendall(str(os.getpid()).encode())
    connection.close()
"""


def supervisor_of_answerer(answers: int, *, waits_for_clients: bool = False) -> str:
    return f"""
import sys
from pathlib import Path
from service.embedded.supervised import Launch
from service.embedded.supervisor import run
def stages(postgres, addresses):
    listening = addresses.api_socket.fileno()
    command = [sys.executable, "-S", "-c", {ANSWERER!r}, str(listening), "{answers}"]
    answerer = Launch(
        "answerer", command, descriptors=[listening], waits_for_clients={waits_for_clients}
    )
    return [[answerer, Launch("sleeper", ["sleep", "600"])]]
run(Path(sys.argv[1]), stages, lambda line: print(line, flush=True))
"""


#: A signal arrives in the midst of the first fork for its programs.
SUPERVISOR_WITH_A_SIGNAL_IN_ITS_FORK = """
import os, signal, sys
from pathlib import Path
from service.embedded.supervised import Launch
from service.embedded.supervisor import run
def stages(postgres, addresses):
    os.register_at_fork(after_in_parent=lambda: os.kill(os.getpid(), signal.SIGTERM))
    return [[Launch("sleeper", ["sleep", "600"])]]
run(Path(sys.argv[1]), stages, lambda line: print(line, flush=True))
"""


def noter(name: str, notes: Path) -> tuple[str, Sequence[str]]:
    return name, [sys.executable, "-S", "-c", NOTER, name, str(notes)]


@contextmanager
def supervisor(
    home: Path, stages: Stages, program: str = SUPERVISOR
) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(home), json.dumps(stages)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def pids(home: Path) -> dict[str, int]:
    stack = find_running(home)
    return dict(stack.processes) if stack else {}


def sockets_of(pid: int) -> set[str]:
    """The kernel's names of the sockets that a process has open."""
    names = [str(file.readlink()) for file in Path(f"/proc/{pid}/fd").iterdir()]
    return {name for name in names if name.startswith("socket:")}


def answer_at(url: str) -> str:
    address = ("127.0.0.1", int(url.rpartition(":")[2]))
    with socket.create_connection(address, timeout=60) as connection:
        return connection.recv(100).decode()


def is_alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def log(home: Path, name: str) -> str:
    path = home / "log" / f"{name}.log"
    return path.read_text() if path.exists() else ""


def test_ctrl_c_stops_one_stage_after_the_other_and_ends_well(
    made_home: Path, eventually: Eventually, tmp_path: Path
) -> None:
    notes = tmp_path / "notes"
    stages = [[noter("first", notes)], [noter("second", notes)], [noter("third", notes)]]
    with supervisor(made_home, stages) as process:
        names = ("first", "second", "third")
        eventually(lambda: all(log(made_home, name) == "ready\n" for name in names))
        running = pids(made_home)

        os.killpg(process.pid, signal.SIGINT)  # as the terminal does
        output, _ = process.communicate(timeout=60)

    assert process.returncode == 0, output
    assert notes.read_text() == "third SIGTERM\nsecond SIGTERM\nfirst SIGTERM\n"
    assert not any(is_alive(pid) for pid in running.values())
    assert not (made_home / "up.json").exists()
    assert log(made_home, "postgres").rstrip().endswith("database system is shut down")


def test_sigterm_ends_well_too_and_a_second_one_disturbs_nothing(
    made_home: Path, eventually: Eventually, tmp_path: Path
) -> None:
    with supervisor(made_home, [[noter("only", tmp_path / "notes")]]) as process:
        eventually(lambda: log(made_home, "only") == "ready\n")

        process.terminate()
        process.terminate()
        output, _ = process.communicate(timeout=60)

    assert process.returncode == 0, output
    assert (tmp_path / "notes").read_text() == "only SIGTERM\n"


def test_a_process_that_dies_is_started_again_with_growing_delays(
    made_home: Path, eventually: Eventually
) -> None:
    stages = [[("good", ["sh", "-c", "echo x"]), ("bad", ["sh", "-c", "echo x; exit 3"])]]
    with supervisor(made_home, stages) as process:
        eventually(
            lambda: (
                log(made_home, "good").count("x") >= 3 and log(made_home, "bad").count("x") >= 3
            )
        )

        process.terminate()
        output, _ = process.communicate(timeout=60)

    assert "good ended with code 0; it starts again in 0.5 s" in output
    assert "bad ended with code 3; it starts again in 0.5 s" in output
    assert "bad ended with code 3; it starts again in 1 s" in output


def test_a_killed_process_has_another_pid_afterwards(
    made_home: Path, eventually: Eventually, tmp_path: Path
) -> None:
    with supervisor(made_home, [[noter("only", tmp_path / "notes")]]):
        eventually(lambda: log(made_home, "only") == "ready\n")
        killed = pids(made_home)["only"]

        os.kill(killed, signal.SIGKILL)

        eventually(lambda: log(made_home, "only") == "ready\nready\n")
        eventually(lambda: pids(made_home).get("only", killed) != killed)


def test_a_killed_process_comes_back_on_the_same_socket_which_nobody_else_has(
    made_home: Path, eventually: Eventually
) -> None:
    with supervisor(made_home, [], program=supervisor_of_answerer(answers=sys.maxsize)):
        eventually(lambda: len(pids(made_home)) == 3)
        before = pids(made_home)
        files = {name: sockets_of(pid) for name, pid in before.items()}
        stack = find_running(made_home)
        assert stack
        first = answer_at(stack.api_url)

        os.kill(before["answerer"], signal.SIGKILL)
        eventually(lambda: not is_alive(before["answerer"]))
        second = answer_at(stack.api_url)  # asked when nobody was there

    assert first == str(before["answerer"])
    assert second not in (first, "")
    assert files["answerer"]
    assert files["answerer"].isdisjoint(files["postgres"] | files["sleeper"])


def test_a_server_that_waits_for_clients_runs_only_while_it_has_some(
    made_home: Path, eventually: Eventually
) -> None:
    resting = supervisor_of_answerer(answers=1, waits_for_clients=True)
    with supervisor(made_home, [], program=resting) as process:
        eventually(lambda: "sleeper" in pids(made_home))
        before = pids(made_home)
        stack = find_running(made_home)
        assert stack

        first = int(answer_at(stack.api_url))
        eventually(lambda: not is_alive(first))
        eventually(lambda: "answerer" not in pids(made_home))
        second = int(answer_at(stack.api_url))

        process.terminate()
        output, _ = process.communicate(timeout=60)

    assert set(before) == {"postgres", "sleeper"}
    assert second != first
    assert "answerer ended" not in output


def test_a_killed_server_comes_back_at_the_same_address(
    made_home: Path, eventually: Eventually
) -> None:
    def answers() -> bool:
        try:
            psycopg.connect(url_of(made_home, "app", Role.APP)).close()
        except psycopg.OperationalError:
            return False
        return True

    credentials = made_home / "database.json"
    with supervisor(made_home, [[("sleeper", ["sleep", "600"])]]):
        eventually(lambda: "postgres" in pids(made_home))
        assert answers()
        before = credentials.read_text()

        os.kill(pids(made_home)["postgres"], signal.SIGKILL)

        eventually(lambda: not answers())
        eventually(answers)
        assert credentials.read_text() == before


def test_a_killed_supervisor_leaves_nobody_behind_and_the_next_one_starts(
    made_home: Path, eventually: Eventually, tmp_path: Path
) -> None:
    stages = [[noter("only", tmp_path / "notes")]]
    with supervisor(made_home, stages) as process:
        eventually(lambda: log(made_home, "only") == "ready\n")
        running = pids(made_home)

        process.kill()

        eventually(lambda: not any(is_alive(pid) for pid in running.values()))
        assert (made_home / "up.json").exists()
        assert find_running(made_home) is None
        assert (tmp_path / "notes").read_text() == "only SIGTERM\n"

    with supervisor(made_home, stages):
        eventually(lambda: "only" in pids(made_home))
        assert set(pids(made_home).values()).isdisjoint(running.values())


def test_a_second_supervisor_is_refused(made_home: Path, eventually: Eventually) -> None:
    with supervisor(made_home, []) as first:
        eventually(lambda: find_running(made_home))

        with supervisor(made_home, []) as second:
            output, _ = second.communicate(timeout=60)

        assert second.returncode != 0
        assert f"in use by another supervisor, pid {first.pid}" in output
        assert find_running(made_home)


def test_a_failed_migration_shows_its_last_lines(made_home: Path) -> None:
    with Postgres(made_home) as postgres, psycopg.connect(postgres.url("app")) as connection:
        connection.execute("UPDATE app.alembic_version SET version_num = 'unheard_of'")

    with supervisor(made_home, []) as process:
        output, _ = process.communicate(timeout=60)

    assert process.returncode != 0
    assert "the migrations failed" in output
    assert "unheard_of" in output
    assert not (made_home / "up.json").exists()


@pytest.mark.parametrize("when", ["starting Postgres", "starting sleeper"])
def test_a_signal_during_the_start_ends_well(
    made_home: Path, when: str, eventually: Eventually
) -> None:
    with supervisor(made_home, [[("sleeper", ["sleep", "600"])]]) as process:
        assert process.stdout
        for line in process.stdout:
            if line.startswith(when):
                break

        process.terminate()
        output, _ = process.communicate(timeout=60)

    assert process.returncode == 0, output
    assert not (made_home / "up.json").exists()
    eventually(lambda: not (made_home / "postgres" / "postmaster.pid").exists())


def test_a_signal_during_a_fork_is_not_lost(made_home: Path) -> None:
    # Python drops what a handler raises there, and further signals are ignored: it went on.
    with supervisor(made_home, [], program=SUPERVISOR_WITH_A_SIGNAL_IN_ITS_FORK) as process:
        output, _ = process.communicate(timeout=60)

    assert "Exception ignored" in output
    assert output.endswith("stopping\n")
    assert process.returncode == 0
    assert not (made_home / "up.json").exists()
