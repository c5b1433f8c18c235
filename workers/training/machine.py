"""Whether the machine of an agent can carry out runs: its artifact folder and its device."""

import asyncio
import logging
import re
import shutil
import signal
import sys
import tempfile
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Callable, Coroutine
from pathlib import Path

from service.processes import die_with_parent, without_secrets
from workers.training.offer import uses_gpu

#: Bytes that a run needs at least, and that are written to try the folder.
ROOM, TRIED = 64 * 2**20, 2**20
#: How long folder and device may take to answer.
FOLDER_S, DEVICE_S = 20.0, 120.0
#: Pause after the first of several looks at a machine that fails, which doubles, and the longest.
PAUSE_S, LONGEST_PAUSE_S = 1.0, 30.0
#: Does a little on the device; a process of its own, because agents never load torch.
TRIAL = "import sys, torch; torch.ones(2, device=sys.argv[1]).sum().item()"

_log = logging.getLogger(__name__)


class Machine:
    """`fault` says what keeps the agent from taking runs, as it was at the last look."""

    def __init__(self, artifacts: Path, device: str) -> None:
        self._artifacts = artifacts
        self._device = device
        self._asked: dict[str, asyncio.Task[str | None]] = {}
        self.fault: str | None = None
        #: Set while there is a fault, and while there is none.
        self.failed, self.well = asyncio.Event(), asyncio.Event()
        self.well.set()
        #: Set when a fault comes or goes; whoever waits for it clears it.
        self.changed = asyncio.Event()

    async def watch(self) -> None:
        """Look at a machine that fails until it works, and so on until this is cancelled."""
        while True:
            await self.failed.wait()
            await self.recovered()

    async def look(self, *, also_at_device: bool = False) -> None:
        """See whether the folder works, and the device if there is a reason to doubt it.

        A known fault stands; `recovered` sees whether it is gone.
        """
        if self.fault is None and (fault := await self._find_fault(also_at_device=also_at_device)):
            self._note(fault)

    async def recovered(self) -> None:
        """Return when there is no fault; looks that find one become less frequent."""
        pause_s = PAUSE_S
        while self.fault:
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
            self._note(await self._find_fault(also_at_device=True))

    async def _find_fault(self, *, also_at_device: bool) -> str | None:
        folder, device = self._artifacts, self._device
        fault = await self._answer(
            f"the artifact folder {folder}",
            lambda: asyncio.to_thread(fault_of_folder, folder),
            FOLDER_S,
        )
        if fault or not (also_at_device and uses_gpu(device)):
            return fault
        return await self._answer(f"device {device}", lambda: fault_of_gpu(device), DEVICE_S)

    async def _answer(
        self, who: str, ask: Callable[[], Coroutine[None, None, str | None]], within_s: float
    ) -> str | None:
        """What somebody answers; that they have not answered is a fault, too.

        Nothing can end a thread or a process that waits for a file system or a driver, so nobody
        is asked again who still owes an answer.
        """
        answer = self._asked.get(who)
        if answer is None or answer.done():
            answer = self._asked[who] = asyncio.create_task(ask())
        done, _ = await asyncio.wait([answer], timeout=within_s)
        return answer.result() if done else f"{who} has not answered for {within_s:g} s"

    def _note(self, fault: str | None) -> None:
        if bool(fault) != bool(self.fault):
            self.changed.set()
            _log.warning("no more runs are taken: %s", fault) if fault else _log.info("well again")
        self.fault = fault
        for event, is_so in ((self.failed, bool(fault)), (self.well, not fault)):
            event.set() if is_so else event.clear()


def fault_of_folder(artifacts: Path) -> str | None:
    """Why no run can be stored in this folder; None if nothing is known against it."""
    try:
        artifacts.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(artifacts).free
        if free < ROOM:
            return (
                f"the disk of the artifact folder {artifacts} has {free // 2**20} MiB left; "
                f"needed: {ROOM // 2**20}"
            )
        with tempfile.TemporaryFile(dir=artifacts) as file:
            file.write(bytes(TRIED))
    except OSError as error:
        return f"cannot write to the artifact folder {artifacts}: {error.strerror or error}"
    return None


async def fault_of_gpu(device: str) -> str | None:
    """Why nothing can be done on this GPU; None if nothing is known against it.

    Returns when the process that tries it has ended, which one that hangs in a driver may not do
    even when it is killed.
    """
    name = "cuda" if device == "auto" else device
    try:
        trial = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", TRIAL, name),
            env=without_secrets(),
            stdin=DEVNULL,
            stdout=DEVNULL,
            stderr=PIPE,
            preexec_fn=die_with_parent(signal.SIGKILL),
        )
    except OSError as error:
        return f"device {device} cannot be tried: {error}"
    killing = asyncio.get_running_loop().call_later(DEVICE_S, trial.kill)
    _, stderr = await trial.communicate()
    killing.cancel()
    if trial.returncode == 0:
        return None
    if trial.returncode == -signal.SIGKILL:
        return f"device {device} has not answered for {DEVICE_S:g} s"
    said = stderr.decode(errors="replace").strip().splitlines()
    # torch adds lines of advice to its errors, so the last line need not name the error
    named = [line for line in said if re.match(r"[\w.]+: ", line)]
    why = (named or said or [f"its trial ended with code {trial.returncode}"])[-1]
    return f"device {device} does not work: {why}"
