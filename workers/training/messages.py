"""Messages of an agent besides events: to and from its children, and its questions to a template.

Those of children are records of one JSON line each.
"""

import errno
import re
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, TypeAdapter

from polar.errors import DeviceMissing, PolarError
from polar.records.events import Event
from polar.records.record import Record
from polar.spec import ExperimentSpec
from polar.spec.own_models import allowed_packages, is_of
from service.storage.texts import printable

#: Questions to the template (see `workers.training.template`).
READY, FORK = b"ready", b"fork"
#: Names of failures that are none of Polar's own errors: a mistake in our code, a fault of folder,
#: disk or device, too little memory, and a mistake in the code of a user's model.
BUG, MACHINE_FAULT, OOM, MODEL_FAILED = "bug", "machine_fault", "oom", "model_failed"
#: System errors that are faults of the machine in a user's code, too; others are the code's.
OF_MACHINE = {
    errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO, errno.ENODEV, errno.ENXIO,
    errno.ESTALE, errno.EMFILE, errno.ENFILE, errno.EAGAIN,
}  # fmt: skip
#: CUDA's errors that are faults of the machine: devices unavailable, none or not this one, memory
#: or link damaged, launch timed out or failed, system not ready, unknown. Others are bugs.
OF_DEVICE = {46, 100, 101, 214, 220, 702, 719, 802, 999}
#: CUDA's error of a GPU that has too little memory left.
CUDA_NO_MEMORY = 2
#: What torch says, in RuntimeErrors of no class of their own, where there is too little memory.
NO_MEMORY = ("DefaultCPUAllocator:", "CUBLAS_STATUS_ALLOC_FAILED", "CUDNN_STATUS_ALLOC_FAILED")
#: What torch says, in such errors, where CUDA cannot begin.
NO_DEVICE = (
    "Found no NVIDIA driver",
    "NVIDIA driver on your system is too old",
    "CUDA driver initialization failed",
    "CUDA unknown error",
    "Unexpected error from cudaGetDeviceCount",
    "No CUDA GPUs are available",
)


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
    #: The nice value of the child.
    niceness: int = 0


class OnGpu(Record):
    """On which GPU a child trains; it comes before `Started`, for the system metrics alone."""

    event: Literal["gpu"] = "gpu"
    #: As NVML knows it, such as `GPU-5c8d...`.
    uuid: str


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
        if isinstance(error, PolarError) and not isinstance(error, DeviceMissing):
            return cls(error=_snake_case(type(error).__name__), message=printable(str(error)))
        text = printable("".join(traceback.format_exception(error)))
        if _is_out_of_memory(error):
            return cls(error=OOM, message=text)
        in_users_code = _is_in_users_code(error)
        if _is_of_machine(error, in_users_code=in_users_code):
            return cls(error=MACHINE_FAULT, message=text)
        is_users = in_users_code or (has_own_model and not isinstance(error, OSError))
        return cls(error=MODEL_FAILED if is_users else BUG, message=text)


# The classes of torch are compared by name, because agents must not load torch.


def _is_out_of_memory(error: Exception) -> bool:
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    # where others fill a GPU, CUDA may fail before torch's allocator asks for anything
    is_of_cuda = type(error).__name__ == "AcceleratorError"
    is_full = is_of_cuda and getattr(error, "error_code", None) == CUDA_NO_MEMORY
    return is_full or _says(error, NO_MEMORY)


def _is_of_machine(error: BaseException, *, in_users_code: bool) -> bool:
    if isinstance(error, OSError):
        return not in_users_code or error.errno in OF_MACHINE
    # where the disk is full, torch ends its file nevertheless, and raises what comes of that
    before = error.__context__
    if isinstance(before, OSError) and before.errno in OF_MACHINE:
        return True
    is_of_device = getattr(error, "error_code", None) in OF_DEVICE
    return (
        isinstance(error, DeviceMissing)
        or (type(error).__name__ == "AcceleratorError" and is_of_device)
        or _says(error, NO_DEVICE)
    )


def _says(error: BaseException, words: Sequence[str]) -> bool:
    return isinstance(error, RuntimeError) and any(each in str(error) for each in words)


def _is_in_users_code(error: Exception) -> bool:
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    modules = {frame.f_globals.get("__name__", "") for frame in frames}
    return any(is_of(each, allowed_packages()) for each in modules)


_MESSAGE: TypeAdapter[Event | OnGpu | Failure] = TypeAdapter(
    Annotated[Event | OnGpu | Failure, Field(discriminator="event")]
)


def from_line(line: bytes) -> Event | OnGpu | Failure:
    """The message in a line of a child's output.

    Raises:
        pydantic.ValidationError: the line is none.
    """
    return _MESSAGE.validate_json(line)


def _snake_case(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()
