"""Measures uploaded codes, each upload in a process of its own.

In the artifact folder, `measurements/ID.part` holds an upload while it is being measured, and its
subfolder `out` holds what the process writes. At the end `out` becomes `measurements/ID`, and the
upload is deleted.
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
from service.exit_codes import REFUSED
from service.ids import digits_of, is_whole
from service.programs import Program, python
from service.settings import Settings
from service.short_processes import Ended, ShortProcesses

_log = logging.getLogger(__name__)

FOLDER = "measurements"
PART = ".part"
#: The message of `polar measure` about codes that it cannot measure.
MESSAGE = re.compile(r"^error: (.*)", re.MULTILINE | re.DOTALL)
#: A measurement that is unfinished and has not changed for so long was abandoned.
ABANDONED_S = 24 * 3600


class Measuring:
    """Measures a few uploads at a time; others wait for their turn."""

    def __init__(self, settings: Settings) -> None:
        self.folder = settings.artifacts / FOLDER
        self._processes = ShortProcesses(settings.measure_at_once, settings.measure_s)

    def clear(self) -> None:
        """Delete what a killed API left unfinished, unless recent: that may be another API's."""
        for unfinished in self.folder.glob(f"*{PART}"):
            with suppress(FileNotFoundError):  # another API has just finished it
                if time.time() - unfinished.stat().st_mtime > ABANDONED_S:
                    shutil.rmtree(unfinished, ignore_errors=True)

    def ids_that_begin(self, digits: str) -> list[UUID]:
        """The ids of the finished measurements that begin with these digits, in order."""
        found = (digits_of(path.name) for path in self.folder.glob(f"{digits[:8]}*"))
        return sorted(UUID(id) for id in found if id and is_whole(id) and id.startswith(digits))

    async def measure(
        self, files: Mapping[str, UploadFile], options: Mapping[str, object]
    ) -> UUID:
        """Measure an upload; when this returns, the results are in the folder named by the id.

        Args:
            files: Files by the options of `polar measure` that take them; `mean` is its argument.
            options: Values of the other options of `polar measure`, by name.

        Raises:
            Refused: the upload cannot be measured, or measuring takes too long.
        """
        id = uuid4()
        unfinished = self.folder / f"{id}{PART}"
        try:
            await asyncio.to_thread(_store, files, unfinished)
            await self._run(_command(files, options), unfinished)
            result = self.folder / str(id)
            await asyncio.to_thread(put_in_place, unfinished / "out", result, is_durable=True)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
        return id

    async def _run(self, command: list[str], folder: Path) -> None:
        try:
            ended = await self._processes.run(command, folder=folder)
        except TimeoutError:
            detail = (
                f"measuring took longer than {self._processes.limit_s:g} s and was stopped; send "
                "fewer images or latents, or use `polar measure`, which has no such limit"
            )
            raise Refused(500, "measurement-too-long", detail) from None
        _refuse_failure(ended)


def _store(files: Mapping[str, UploadFile], folder: Path) -> None:
    folder.mkdir(parents=True)
    for name, upload in files.items():
        with (folder / name).open("wb") as file:
            shutil.copyfileobj(upload.file, file)


def _command(files: Mapping[str, UploadFile], options: Mapping[str, object]) -> list[str]:
    values = {**options, **{name: name for name in files if name != "mean"}, "out": "out"}
    arguments = [f"--{name.replace('_', '-')}={value}" for name, value in values.items()]
    return python(Program.COMMANDS, "measure", "mean", *arguments)


def _refuse_failure(ended: Ended) -> None:
    message = MESSAGE.search(ended.said)
    if ended.code == REFUSED and message:
        raise Refused(422, "invalid-codes", message[1].strip())
    if ended.code:
        _log.error("a measurement ended with code %d: %s", ended.code, ended.said.strip())
        detail = (
            f"the measuring process ended with code {ended.code}, perhaps because memory ran out; "
            "the log of the service has its messages"
        )
        raise Refused(500, "measurement-failed", detail)
