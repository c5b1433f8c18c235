"""The training process, which knows a request and two pipes.

It is forked by `workers.training.template`, which has imported what it needs. Its stdin delivers
the request and then, line by line, the times until which it may continue. Its stdout carries the
events; everything else that is printed goes to its log, which is its stderr.

A thread reads these times, and it needs the interpreter. A single call that holds the interpreter
for as long as a lease therefore ends this process.
"""

import logging
import os
import signal
import threading
import time
from collections.abc import Iterator
from io import FileIO
from pathlib import Path
from types import FrameType
from typing import BinaryIO

import polar
from polar.errors import CheckpointUnusable
from polar.records.events import Event, Result, Started
from polar.records.record import Record
from polar.spec import OwnModelSpec
from polar.training.allocator import keep_freed_memory
from service.exit_codes import CHILD_FAILED, CHILD_ORPHANED, CHILD_STOPPED
from service.processes import be_nice
from workers.training.messages import Failure, OnGpu, Request
from workers.training.offer import uses_gpu

_log = logging.getLogger(__name__)


class Stopping:
    """Whether this process was asked to stop.

    An Event would not do: it would deadlock if a second signal came while the first sets it.
    """

    def __init__(self) -> None:
        self._is_asked = False

    def ask(self, _number: int, _frame: FrameType | None) -> None:
        """Handle the signal that asks to stop."""
        self._is_asked = True

    def is_asked(self) -> bool:
        return self._is_asked


def main() -> int:
    """Carry out the request; returns the exit code."""
    agent = FileIO(0)
    request = Request.model_validate_json(agent.readline())
    if request.niceness:
        be_nice(request.niceness)
    stopping = Stopping()
    signal.signal(signal.SIGTERM, stopping.ask)
    _go_on_until(request.may_go_on_until)
    threading.Thread(target=_obey, args=(agent,), daemon=True).start()
    with os.fdopen(os.dup(1), "wb") as events:
        os.dup2(2, 1)  # what libraries print must not get between the events
        return _work(request, stopping, events)


def _work(request: Request, stopping: Stopping, events: BinaryIO) -> int:
    keep_freed_memory()
    has_result = False
    try:
        for event in _train(request, stopping):
            if isinstance(event, Started) and (gpu := gpu_of(event.device)):
                _tell(events, gpu)
            _tell(events, event)
            has_result = isinstance(event, Result)
    except Exception as error:
        is_own = isinstance(request.spec.model, OwnModelSpec)
        _tell(events, Failure.of(error, has_own_model=is_own))
        _log.exception("the training ends by an error")  # does not fail where the disk is full
        return CHILD_FAILED
    return CHILD_STOPPED if stopping.is_asked() and not has_result else 0


def _train(request: Request, stopping: Stopping) -> Iterator[Event]:
    """Go on from the newest usable checkpoint, or another run's last state, or start afresh."""
    for state in (*_checkpoints(request.resume_from), *request.last_states, None):
        try:
            yield from polar.run(
                request.spec,
                out=request.folder / "out",
                device=_device(request),
                checkpoints=request.folder / "checkpoints",
                resume_from=state,
                stop=stopping.is_asked,
                expected_digest=request.dataset_digest,
                with_findings=False,  # the slot is for training; `Finder` has them made later
            )
            return
        except CheckpointUnusable as error:
            _log.warning("%s", error)


def _device(request: Request) -> str:
    """The device to train on, which is not the CPU where only the GPU of this machine is lost."""
    if {request.device, request.spec.device} != {"auto"} or not uses_gpu("auto"):
        return request.device
    import torch

    return "cuda" if torch.version.cuda else "auto"  # torch for CPUs cannot use the GPU


def gpu_of(device: str) -> OnGpu | None:
    """The GPU of this name; None if it is none, or does not say its UUID."""
    if not device.startswith("cuda"):
        return None
    import torch

    try:
        return OnGpu(uuid=f"GPU-{torch.cuda.get_device_properties(device).uuid}")
    except Exception as error:  # a training needs no UUID
        _log.info("the UUID of %s is not known: %r", device, error)
        return None


def _checkpoints(newest: Path | None) -> list[Path]:
    """The recorded checkpoint, then earlier ones; later ones contain steps never reported."""
    if newest is None:
        return []
    folder = newest.parent
    return sorted((path for path in folder.glob("*.pt") if path <= newest), reverse=True)


def _go_on_until(deadline: float) -> None:
    """Let the kernel end this process at the deadline, whatever it is doing then."""
    signal.setitimer(signal.ITIMER_REAL, max(deadline - time.monotonic(), 1e-6))


def _obey(agent: FileIO) -> None:
    """Extend the deadline as the agent allows, and exit when the agent has disappeared."""
    for line in agent:
        _go_on_until(float(line))
    os._exit(CHILD_ORPHANED)


def _tell(events: BinaryIO, record: Record) -> None:
    events.write(f"{record.model_dump_json()}\n".encode())
    events.flush()
