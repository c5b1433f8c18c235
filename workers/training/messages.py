"""What agent and child say to each other besides events: records that are one JSON line each."""

import re
import traceback
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, TypeAdapter

from polar.errors import PolarError
from polar.records.events import Event
from polar.records.record import Record
from polar.spec import ExperimentSpec
from service.storage.texts import printable

#: Errors that are not polar's: our own mistakes, and those of memory and disk.
BUG, MACHINE_FAULT = "bug", "machine_fault"


class Request(Record):
    """What the child is to do: the first line of its stdin.

    Every further line is a time: so long may the child go on. At the end of stdin it leaves.
    """

    #: It has one seed.
    spec: ExperimentSpec
    dataset_digest: str
    device: str
    #: Where all files of this attempt go.
    folder: Path
    #: The checkpoint to go on from.
    resume_from: Path | None
    #: By `time.monotonic()`, which all processes of a machine share.
    may_go_on_until: float


class Failure(Record):
    """Why an attempt failed; the last that a child says."""

    event: Literal["failure"] = "failure"
    #: A stable word, such as `dataset_corrupt`.
    error: str
    #: For people; the traceback of what is no `PolarError`.
    message: str

    @classmethod
    def of(cls, error: Exception) -> Self:
        """What this error means for a run."""
        if isinstance(error, PolarError):
            return cls(error=_snake_case(type(error).__name__), message=printable(str(error)))
        text = printable("".join(traceback.format_exception(error)))
        # By name, since an agent must not load torch: torch's is a RuntimeError.
        no_memory = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
        if no_memory or isinstance(error, OSError):
            return cls(error=MACHINE_FAULT, message=text)
        return cls(error=BUG, message=text)


_MESSAGE: TypeAdapter[Event | Failure] = TypeAdapter(
    Annotated[Event | Failure, Field(discriminator="event")]
)


def from_line(line: bytes) -> Event | Failure:
    """What a child said with this line.

    Raises:
        pydantic.ValidationError: it is neither an event nor a failure.
    """
    return _MESSAGE.validate_json(line)


def _snake_case(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()
