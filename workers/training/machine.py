"""Whether the machine of an agent can carry out runs: its artifact folder and its device."""

import asyncio
import logging
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from service.processes import without_secrets
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
        self._trying: asyncio.Task[str | None] | None = None
        self.fault: str | None = None
        #: Set while there is a fault.
        self.failed = asyncio.Event()
        #: Set when a fault comes or goes; whoever waits for it clears it.
        self.changed = asyncio.Event()

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
        fault = await self._find_fault_of_folder()
        if fault or not (also_at_device and uses_gpu(self._device)):
            return fault
        return await asyncio.to_thread(fault_of_gpu, self._device)

    async def _find_fault_of_folder(self) -> str | None:
        # Nothing can end a thread that waits for a file system, so there is never a second one.
        if self._trying is None or self._trying.done():
            trying = asyncio.to_thread(fault_of_folder, self._artifacts)
            self._trying = asyncio.create_task(trying)
        done, _ = await asyncio.wait([self._trying], timeout=FOLDER_S)
        for answered in done:
            return answered.result()
        return f"the artifact folder {self._artifacts} has not answered for {FOLDER_S:g} s"

    def _note(self, fault: str | None) -> None:
        if bool(fault) != bool(self.fault):
            self.changed.set()
            _log.warning("no more runs are taken: %s", fault) if fault else _log.info("well again")
        self.fault = fault
        self.failed.set() if fault else self.failed.clear()


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


def fault_of_gpu(device: str) -> str | None:
    """Why nothing can be done on this GPU; None if nothing is known against it."""
    try:
        subprocess.run(
            [sys.executable, "-c", TRIAL, "cuda" if device == "auto" else device],
            env=without_secrets(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=DEVICE_S,
            check=True,
        )
    except subprocess.TimeoutExpired:
        return f"device {device} has not answered for {DEVICE_S:.0f} s"
    except subprocess.CalledProcessError as error:
        said = error.stderr.decode(errors="replace").strip().splitlines()
        return f"device {device} does not work: {said[-1] if said else error}"
    except OSError as error:
        return f"device {device} cannot be tried: {error}"
    return None
