"""Messages of an agent besides events: to and from its children, and its questions to a template.

Those of children are records of one JSON line each.
"""

import re
import traceback
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, TypeAdapter

from polar.errors import PolarError
from polar.records.events import Event
from polar.records.record import Record
from polar.spec import ExperimentSpec
from polar.spec.own_models import allowed_packages, is_of
from service.storage.texts import printable

#: Questions to the template (see `workers.training.template`).
READY, FORK = b"ready", b"fork"
#: Names of errors that are not a PolarError: mistakes in our code, faults of memory or disk, and
#: mistakes in the code of a user's model.
BUG, MACHINE_FAULT, MODEL_FAILED = "bug", "machine_fault", "model_failed"


class Request(Record):
    """What the child is to do: the first line of its stdin.

    Every further line is the time until which the child may continue. It exits when stdin ends.
    """

    #: A spec with one seed.
    spec: ExperimentSpec
    dataset_digest: str
    device: str
    #: Folder for all files of this attempt.
    folder: Path
    #: The checkpoint to resume from.
    resume_from: Path | None
    #: Last states of other runs to go on from where there is no usable checkpoint; the first that
    #: can be used is taken.
    last_states: tuple[Path, ...]
    #: Time of `time.monotonic()`, which all processes of a machine share.
    may_go_on_until: float


class Failure(Record):
    """Why an attempt failed; the last message of a child."""

    event: Literal["failure"] = "failure"
    #: A stable word, such as `dataset_corrupt`.
    error: str
    #: Text for people; the traceback if the error is not a `PolarError`.
    message: str

    @classmethod
    def of(cls, error: Exception, *, has_own_model: bool = False) -> Self:
        """The failure that an error means for a run.

        Args:
            error: The error.
            has_own_model: Whether the run trains a model of a user's own. Where such a model
                returns something unusable, the error happens in our code, and is the model's.
        """
        if isinstance(error, PolarError):
            return cls(error=_snake_case(type(error).__name__), message=printable(str(error)))
        text = printable("".join(traceback.format_exception(error)))
        # torch's error, a RuntimeError, is compared by name because agents must not load torch.
        no_memory = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
        if no_memory or isinstance(error, OSError):
            return cls(error=MACHINE_FAULT, message=text)
        frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
        modules = {frame.f_globals.get("__name__", "") for frame in frames}
        is_users = has_own_model or any(is_of(each, allowed_packages()) for each in modules)
        return cls(error=MODEL_FAILED if is_users else BUG, message=text)


_MESSAGE: TypeAdapter[Event | Failure] = TypeAdapter(
    Annotated[Event | Failure, Field(discriminator="event")]
)


def from_line(line: bytes) -> Event | Failure:
    """The message in a line of a child's output.

    Raises:
        pydantic.ValidationError: the line is neither an event nor a failure.
    """
    return _MESSAGE.validate_json(line)


def _snake_case(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()
