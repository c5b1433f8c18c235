"""A machine that fails for a while: its agent waits, and no run is the worse for it."""

import asyncio
import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from service.storage.states import RunState
from workers.training import machine
from workers.training.machine import Machine, fault_of_folder, fault_of_gpu

if TYPE_CHECKING:
    from tests.processes import Stage
    from tests.workers.conftest import SpecFor


@pytest.fixture
def small_disk(stage: "Stage") -> Iterator[Path]:
    """The artifact folder on a disk of its own of 128 MiB."""
    folder = stage.settings.artifacts
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=128m", "polar-test", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("only root may mount a disk here")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


async def assert_no_run_suffers(
    stage: "Stage", spec_of: "SpecFor", fail: Callable[[], None], mend: Callable[[], None]
) -> None:
    """The machine fails while one run is trained and others wait, until the agent has noticed."""
    stage.settings = stage.settings.model_copy(update={"max_attempts": 1, "fault_pause_s": 0.5})
    held = await stage.submit(spec_of("waits", steps=9, checkpoint_every=5))
    agent = stage.start_agent()
    await stage.run(held, lambda run: run.checkpoint is not None)
    others = [await stage.submit(spec_of(steps=5)) for _ in range(5)]

    fail()
    os.kill(stage.child_of(agent), signal.SIGUSR1)
    await stage.announcement(lambda agent: agent.fault is not None)
    await stage.run(held, lambda run: run.state is RunState.QUEUED)
    waiting = [await stage.run(run_id, lambda _: True) for run_id in others]
    mend()

    runs = [await stage.end_of(run_id) for run_id in (held, *others)]
    assert {run.attempt for run in waiting} == {0}
    assert {(run.state, run.losses) for run in runs} == {(RunState.SUCCEEDED, 0)}
    reasons = [reason for _, _, reason in await stage.history(held)]
    assert reasons == [None, None, "machine_fault", None, None]
    await stage.announcement(lambda agent: agent.fault is None)
    assert agent.poll() is None


async def test_an_artifact_folder_that_cannot_be_written_to_costs_no_run(
    stage: "Stage", spec_of: "SpecFor"
) -> None:
    folder = stage.settings.artifacts
    aside = folder.with_name("aside")

    def fail() -> None:
        folder.rename(aside)
        folder.touch()  # root may write to every folder, but not into a file

    def mend() -> None:
        folder.unlink()
        aside.rename(folder)

    await assert_no_run_suffers(stage, spec_of, fail, mend)


async def test_a_fault_that_goes_while_a_run_is_trained_is_over_at_once(
    stage: "Stage", spec_of: "SpecFor"
) -> None:
    # It stayed until the run had ended, and so did the answer 503 of /readyz.
    held = await stage.submit(spec_of("waits", steps=9, checkpoint_every=5))
    agent = stage.start_agent()
    await stage.run(held, lambda run: run.checkpoint is not None)
    folder = stage.settings.artifacts
    aside = folder.with_name("aside")

    folder.rename(aside)
    folder.touch()
    await stage.announcement(lambda agent: agent.fault is not None)
    folder.unlink()
    aside.rename(folder)
    await stage.announcement(lambda agent: agent.fault is None)
    os.kill(stage.child_of(agent), signal.SIGUSR1)

    run = await stage.end_of(held)
    assert (run.state, run.attempt) == (RunState.SUCCEEDED, 1)
    assert (await stage.end_of(await stage.submit(spec_of()))).state is RunState.SUCCEEDED
    assert agent.poll() is None, stage.log_of(agent)


async def test_a_full_disk_costs_no_run(
    stage: "Stage", spec_of: "SpecFor", small_disk: Path
) -> None:
    filling = small_disk / "of somebody else"

    def fail() -> None:
        with filling.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, shutil.disk_usage(small_disk).free)

    await assert_no_run_suffers(stage, spec_of, fail, filling.unlink)


async def test_a_child_that_cannot_write_its_log_says_so(
    stage: "Stage", spec_of: "SpecFor"
) -> None:
    stage.settings = stage.settings.model_copy(update={"fault_pause_s": 0.1})
    run_id = await stage.submit(spec_of())
    folder = stage.settings.artifacts / "runs" / str(run_id) / "attempt-1"
    folder.mkdir(parents=True)
    (folder / "log.txt").symlink_to("/dev/full")
    stage.start_agent()

    run = await stage.run(run_id, lambda run: run.status_reason is not None)

    assert run.status_reason == "machine_fault"
    assert "No space left on device" in (run.status_message or "")
    assert (await stage.end_of(run_id)).state is RunState.SUCCEEDED


async def test_an_agent_whose_machine_fails_stops_at_once_when_asked(
    stage: "Stage", spec_of: "SpecFor"
) -> None:
    agent = stage.start_agent()
    await stage.announcement()
    stage.settings.artifacts.rmdir()
    stage.settings.artifacts.touch()
    run_id = await stage.submit(spec_of())
    await stage.announcement(lambda agent: agent.fault is not None)

    agent.terminate()

    assert agent.wait(30) == 0, stage.log_of(agent)
    assert (await stage.run(run_id, lambda run: run.state is RunState.QUEUED)).attempt == 0


def test_what_keeps_a_folder_from_being_used_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()

    assert fault_of_folder(tmp_path / "new") is None
    assert "file/below: Not a directory" in str(fault_of_folder(tmp_path / "file" / "below"))
    monkeypatch.setattr(machine, "ROOM", 2**70)
    assert "MiB left; needed: " in str(fault_of_folder(tmp_path))


async def test_what_keeps_a_gpu_from_being_used_is_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    said = {}
    for name, trial in {
        "well": "import sys; assert sys.argv[1] == 'cuda'",
        "lost": "raise RuntimeError('CUDA error: no CUDA-capable device is detected')",
        "full": "raise RuntimeError('CUDA error: out of memory\\nUse `A_FLAG` to see more.')",
        "hangs": "import time; time.sleep(600)",
    }.items():
        monkeypatch.setattr(machine, "TRIAL", trial)
        monkeypatch.setattr(machine, "DEVICE_S", 1 if name == "hangs" else 60)
        said[name] = await fault_of_gpu("auto")

    assert said["well"] is None
    assert said["lost"] == (
        "device auto does not work: RuntimeError: CUDA error: no CUDA-capable device is detected"
    )
    assert said["full"] == "device auto does not work: RuntimeError: CUDA error: out of memory"
    assert said["hangs"] == "device auto has not answered for 1 s"


async def test_a_doubted_device_is_tried_until_it_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = iter(["it is lost", "it is lost", None])

    async def answer(_device: str) -> str | None:
        return next(answers)

    monkeypatch.setattr(machine, "fault_of_gpu", answer)
    monkeypatch.setattr(machine, "PAUSE_S", 0.01)
    looked_at = Machine(tmp_path, "cuda:1")

    await looked_at.look()
    before = looked_at.fault
    await looked_at.look(also_at_device=True)
    found = looked_at.fault
    await looked_at.look()  # a folder that works does not excuse the device
    kept = looked_at.fault
    await looked_at.recovered()

    assert (before, found, kept) == (None, "it is lost", "it is lost")
    assert looked_at.fault is None
    assert not looked_at.failed.is_set()
    assert looked_at.well.is_set()


def looks_at(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> asyncio.Queue[str | None]:
    """What each look at the machine has found from now on."""
    found: asyncio.Queue[str | None] = asyncio.Queue()
    note = machine._note

    def noting(fault: str | None) -> None:
        found.put_nowait(fault)
        note(fault)

    monkeypatch.setattr(machine, "_note", noting)
    return found


async def test_a_folder_that_does_not_answer_is_asked_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers, asked = threading.Event(), []

    def wait(folder: Path) -> None:
        asked.append(folder)
        answers.wait()

    monkeypatch.setattr(machine, "fault_of_folder", wait)
    monkeypatch.setattr(machine, "FOLDER_S", 0.05)
    monkeypatch.setattr(machine, "PAUSE_S", 0.01)
    looked_at = Machine(tmp_path, "cpu")

    await looked_at.look()
    fault = looked_at.fault
    looks = looks_at(looked_at, monkeypatch)
    recovering = asyncio.create_task(looked_at.recovered())
    for _ in range(2):
        await looks.get()
    asked_meanwhile = list(asked)
    answers.set()
    await recovering

    assert fault == f"the artifact folder {tmp_path} has not answered for 0.05 s"
    assert asked_meanwhile == [tmp_path]


async def test_a_device_that_does_not_answer_is_asked_once_and_may_answer_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A process that hangs in a driver does not end when it is killed.
    answers, asked = asyncio.Event(), []

    async def wait(device: str) -> None:
        asked.append(device)
        await answers.wait()

    monkeypatch.setattr(machine, "fault_of_gpu", wait)
    monkeypatch.setattr(machine, "DEVICE_S", 0.05)
    monkeypatch.setattr(machine, "PAUSE_S", 0.01)
    looked_at = Machine(tmp_path, "cuda:1")

    await looked_at.look(also_at_device=True)
    fault = looked_at.fault
    looks = looks_at(looked_at, monkeypatch)
    recovering = asyncio.create_task(looked_at.recovered())
    for _ in range(2):
        await looks.get()
    asked_meanwhile = list(asked)
    answers.set()
    await recovering

    assert fault == "device cuda:1 has not answered for 0.05 s"
    assert asked_meanwhile == ["cuda:1"]


async def test_an_agent_without_a_gpu_never_tries_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "TRIAL", "raise SystemExit(1)")
    looked_at = Machine(tmp_path, "cpu")

    await looked_at.look(also_at_device=True)

    assert looked_at.fault is None
