"""Measuring codes that were uploaded, in a process of its own.

In the artifact folder, `measurements/ID.part` holds the upload while it is measured, and in `out`
what that process writes; that becomes `measurements/ID` at the end, and the upload goes.
"""

import asyncio
import logging
import re
import shutil
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from uuid import UUID, uuid4

from fastapi import UploadFile

from polar.files import put_in_place
from service.api.problems import Refused
from service.api.short_processes import Ended, ShortProcesses
from service.exit_codes import REFUSED
from service.programs import Program, python
from service.settings import Settings

_log = logging.getLogger(__name__)

FOLDER = "measurements"
PART = ".part"
#: How `polar measure` begins its message about what cannot be measured.
MESSAGE = re.compile(r"^error: (.*)", re.MULTILINE | re.DOTALL)
#: How long after its last change a half-done measurement has nobody who works on it.
ABANDONED_S = 24 * 3600


class Measuring:
    """Measures a few uploads at a time; others wait for their turn."""

    def __init__(self, settings: Settings) -> None:
        self.folder = settings.artifacts / FOLDER
        self._processes = ShortProcesses(settings.measure_at_once, settings.measure_s)

    def clear(self) -> None:
        """Removes what a killed API has left half-done; what is young may be another API's."""
        for part in self.folder.glob(f"*{PART}"):
            with suppress(FileNotFoundError):  # the other API is done with it
                if time.time() - part.stat().st_mtime > ABANDONED_S:
                    shutil.rmtree(part, ignore_errors=True)

    async def measure(
        self, files: Mapping[str, UploadFile], options: Mapping[str, object]
    ) -> UUID:
        """Measures an upload; when this returns, the results are in the folder of their id.

        Args:
            files: By their names in `polar measure`, with `mean` for its argument.
            options: Options of `polar measure`, by name.

        Raises:
            Refused: the upload cannot be measured, or not within the time.
        """
        id = uuid4()
        part = self.folder / f"{id}{PART}"
        try:
            await asyncio.to_thread(_store, files, part)
            await self._run(_command(files, options), part)
            result = self.folder / str(id)
            await asyncio.to_thread(put_in_place, part / "out", result, is_durable=True)
        finally:
            shutil.rmtree(part, ignore_errors=True)
        return id

    async def _run(self, command: list[str], folder: Path) -> None:
        try:
            ended = await self._processes.run(command, folder=folder)
        except TimeoutError:
            detail = (
                f"measuring took longer than {self._processes.limit_s:g} s, and was stopped; send "
                "fewer images or latents, or measure where there is more time, with "
                "`polar measure`"
            )
            raise Refused(500, "measurement-too-long", detail) from None
        _refuse_failure(ended)


def _store(files: Mapping[str, UploadFile], folder: Path) -> None:
    folder.mkdir(parents=True)
    for name, upload in files.items():
        with (folder / name).open("wb") as file:
            shutil.copyfileobj(upload.file, file)


def _command(files: Mapping[str, UploadFile], options: Mapping[str, object]) -> list[str]:
    given = {**options, **{name: name for name in files if name != "mean"}, "out": "out"}
    arguments = [f"--{name.replace('_', '-')}={value}" for name, value in given.items()]
    return python(Program.COMMANDS, "measure", "mean", *arguments)


def _refuse_failure(ended: Ended) -> None:
    message = MESSAGE.search(ended.said)
    if ended.code == REFUSED and message:
        raise Refused(422, "invalid-codes", message[1].strip())
    if ended.code:
        _log.error("a measurement ended with code %d: %s", ended.code, ended.said.strip())
        detail = (
            f"the measuring process ended with code {ended.code}, maybe for want of memory; "
            "the log of the service has what it said"
        )
        raise Refused(500, "measurement-failed", detail)
