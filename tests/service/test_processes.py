"""The private environment, and how processes of ours are started."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from service.processes import (
    ONE_THREAD,
    WEBHOOKS,
    make_private,
    private,
    until_stopped,
    without_secrets,
)
from service.programs import Program, python

MEANT = {
    "PATH": "/usr/bin",
    "HOME": "/home/her",
    "LANG": "de_DE.UTF-8",
    "CUDA_VISIBLE_DEVICES": "1",
    "TMPDIR": "/scratch",
    "POLAR_HOME": "/home/her/.polar",
    "POLAR_DATA_DIR": "/data",
    "POLAR_CACHE_DIR": "/cache",
    "POLAR_LEASE_S": "60",
    "POLAR_MEASURE_S": "600",
    "POLAR_API_HOSTS": "polar.example.org",
    "MLFLOW_SERVER_ALLOWED_HOSTS": "mlflow.example.org",
    "PYTHONUSERBASE": "/home/her/.local",
    "PYTHONNOUSERSITE": "1",
    "PYTHONHOME": "/opt/python",
}


def test_what_leads_elsewhere_is_left_out_and_what_is_meant_for_us_stays(
    hostile_environment: dict[str, str],
) -> None:
    assert private({**hostile_environment, **MEANT}) == {**MEANT, "PYTHONUTF8": "1"}


def test_a_private_environment_is_as_private_the_second_time(
    hostile_environment: dict[str, str],
) -> None:
    once = private({**hostile_environment, **MEANT})

    assert private(once) == once


def test_of_the_places_of_modules_those_stay_where_packages_were_installed(
    tmp_path: Path,
) -> None:
    own = tmp_path / "own"
    (own / "service").mkdir(parents=True)
    cluster = tmp_path / "cluster"
    (cluster / "numpy-2.0.dist-info").mkdir(parents=True)
    ours = Path(private.__code__.co_filename).parents[1]
    places = os.pathsep.join(["", str(own), str(cluster), str(ours), str(tmp_path / "gone")])

    kept = private({"PYTHONPATH": places})

    assert kept["PYTHONPATH"] == os.pathsep.join([str(cluster), str(ours)])


def test_libpq_and_children_see_the_private_environment_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before, umask = dict(os.environ), os.umask(0o022)
    program = (
        "import os; print(os.environ.get('PGSSLMODE'), os.environ.get('PYTHONUTF8'), os.umask(0))"
    )
    monkeypatch.setenv("PGSSLMODE", "require")
    try:
        make_private()
        child = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    finally:
        os.environ.clear()
        os.environ.update(before)
        os.umask(umask)

    assert child.stdout == f"None 1 {0o077}\n"


def test_a_module_where_the_user_stands_is_not_started_in_the_place_of_ours(
    tmp_path: Path,
) -> None:
    (tmp_path / "workers.py").write_text("raise SystemExit('not ours')")

    done = subprocess.run(
        python(Program.AGENT, "--help"), cwd=tmp_path, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr
    assert "--device" in done.stdout


def test_a_child_gets_the_signal_when_its_parent_is_killed(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    sleeper = f"import os, time; open({str(note)!r}, 'w').write(str(os.getpid())); time.sleep(600)"
    parent = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import signal, subprocess, sys\n"
            "from service.processes import die_with_parent\n"
            f"subprocess.Popen([sys.executable, '-c', {sleeper!r}], stdout=sys.stdout,\n"
            "    preexec_fn=die_with_parent(signal.SIGKILL)).wait()",
        ],
        stdout=subprocess.PIPE,
    )
    deadline = time.monotonic() + 60
    while not (note.exists() and note.read_text()):
        assert parent.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)

    parent.kill()
    _, _ = parent.communicate(timeout=60)  # which ends when both have closed it

    assert not Path(f"/proc/{note.read_text()}/exe").exists()


def test_one_thread_is_one_whatever_other_libraries_are_told() -> None:
    # MKL's own variable outweighs OpenMP's, for torch as a whole; threads change sums.
    environment = os.environ | {"MKL_NUM_THREADS": "2", "OPENBLAS_NUM_THREADS": "2"} | ONE_THREAD

    done = subprocess.run(
        [sys.executable, "-c", "import torch; print(torch.get_num_threads())"],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout == "1\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_work_goes_on_until_a_signal_and_is_then_cut_off(number: signal.Signals) -> None:
    ends = []

    async def work() -> None:
        asyncio.get_running_loop().call_soon(os.kill, os.getpid(), number)
        try:
            await asyncio.Event().wait()
        finally:
            ends.append("cut off")

    await until_stopped(work())

    assert ends == ["cut off"]


def test_passwords_of_roles_reach_no_stack_and_no_child(monkeypatch: pytest.MonkeyPatch) -> None:
    secrets = {"POLAR_SUPERUSER_URL", "POLAR_OWNER_PASSWORD", "POLAR_AGENT_PASSWORD"}
    for name in secrets:
        monkeypatch.setenv(name, "secret")

    assert secrets.isdisjoint(private(os.environ))
    assert secrets.isdisjoint(without_secrets())


def test_the_secret_of_webhooks_reaches_no_child(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in WEBHOOKS:
        monkeypatch.setenv(name, "secret")

    assert set(WEBHOOKS).isdisjoint(without_secrets())
