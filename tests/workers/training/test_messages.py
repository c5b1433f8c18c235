"""What agent and child say to each other."""

import errno
import io
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from polar.errors import (
    CheckpointUnusable,
    DatasetCorrupt,
    DeviceMissing,
    Diverged,
    InvalidInput,
    PolarError,
)
from polar.records.events import CheckpointSaved
from polar.spec import ExperimentSpec
from service.storage.texts import MOST_CHARACTERS
from workers.training.messages import Failure, Request, from_line


def test_a_request_arrives_as_it_was_sent() -> None:
    spec = ExperimentSpec.from_yaml("{dataset: {name: digits}, model: {name: beta_vae}}")
    request = Request(
        spec=spec,
        dataset_digest="abc",
        device="cuda:1",
        folder=Path("/artifacts/runs/1/attempt-2"),
        resume_from=None,
        last_states=(Path("/artifacts/runs/0/attempt-1/out/last_state.pt"),),
        may_go_on_until=12.5,
    )

    assert Request.model_validate_json(request.model_dump_json()) == request


def test_events_and_failures_are_told_apart() -> None:
    saved = CheckpointSaved(step=5, path="/a/b")
    failure = Failure(error="diverged", message="why")

    assert from_line(saved.model_dump_json().encode()) == saved
    assert from_line(failure.model_dump_json().encode()) == failure


@pytest.mark.parametrize("line", [b"", b"\xff\n", b"{}", b'{"event": "failure"}', b"[" * 100_000])
def test_other_lines_are_refused(line: bytes) -> None:
    with pytest.raises(ValidationError):
        from_line(line)


@pytest.mark.parametrize(
    ("error", "word"),
    [
        (DatasetCorrupt("short"), "dataset_corrupt"),
        (Diverged("short"), "diverged"),
        (InvalidInput("short"), "invalid_input"),
        (CheckpointUnusable("short"), "checkpoint_unusable"),
        (PolarError("short"), "polar_error"),
    ],
)
def test_a_refusal_is_named_after_its_class_and_says_what_polar_said(
    error: Exception, word: str
) -> None:
    assert Failure.of(error) == Failure(error=word, message="short")


def test_other_errors_bring_their_traceback() -> None:
    class OutOfMemoryError(RuntimeError):
        """As torch's."""

    class AcceleratorError(RuntimeError):
        """As torch's."""

        def __init__(self, code: int) -> None:
            super().__init__("CUDA error")
            self.error_code = code

    words = [
        (KeyError("k"), "bug"),
        (RuntimeError("shapes differ"), "bug"),
        (OSError(errno.ENOSPC, "full"), "machine_fault"),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), "oom"),
        (MemoryError(), "oom"),
        (OutOfMemoryError("CUDA"), "oom"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to"), "oom"),
        (DeviceMissing("device 'cuda' is not here"), "machine_fault"),
        (RuntimeError("Found no NVIDIA driver on your system. Please check"), "machine_fault"),
        (RuntimeError("CUDA unknown error - this may be due to"), "machine_fault"),
        (RuntimeError("No CUDA GPUs are available"), "machine_fault"),
        (AcceleratorError(2), "oom"),  # CUDA's own error, from a GPU that others have filled
        (AcceleratorError(214), "machine_fault"),  # an uncorrectable error of its memory
        (AcceleratorError(710), "bug"),  # an assertion of a kernel
    ]
    for error, word in words:
        try:
            raise error
        except Exception as raised:
            failure = Failure.of(raised)
        assert failure.error == word
        assert failure.message.startswith("Traceback")
        assert re.search(rf"{type(error).__name__}\b.*$", failure.message.strip().splitlines()[-1])


def test_torchs_own_error_of_too_little_memory_is_known() -> None:
    program = """
import torch
from workers.training.messages import Failure
try:
    torch.empty(2**60, dtype=torch.uint8)
except Exception as error:
    print(type(error).__name__, Failure.of(error).error)
"""
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)

    assert said.stdout.decode().split()[-1] == "oom"


def test_torchs_own_error_of_a_lost_gpu_is_known() -> None:
    program = """
import torch
from workers.training.messages import Failure
try:
    torch.ones(2, device="cuda")
except Exception as error:
    print(type(error).__name__, Failure.of(error).error)
"""
    said = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        check=True,
    )

    expected = "machine_fault" if torch.version.cuda else "bug"  # torch for CPUs knows no CUDA
    assert said.stdout.decode().split()[-1] == expected


def test_a_message_has_only_what_json_and_postgres_can_hold() -> None:
    failure = Failure.of(PolarError("NUL \x00, half a character \ud800, and an end"))

    assert "\x00" not in failure.message
    assert failure.message.endswith("and an end")
    assert Failure.model_validate_json(failure.model_dump_json()) == failure


def test_of_a_long_message_the_end_is_kept() -> None:
    failure = Failure.of(PolarError("x" * 100_000 + "the end"))

    assert len(failure.message) == MOST_CHARACTERS
    assert failure.message.endswith("the end")


def test_a_mistake_in_a_users_model_is_not_called_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    users: dict[str, Any] = {"__name__": "lab_models.nets"}
    exec("def losses(images): return images.no_such_attribute", users)

    def trained() -> Failure:
        try:
            users["losses"](1)
        except AttributeError as error:
            return Failure.of(error)
        raise AssertionError

    assert trained().error == "bug"
    monkeypatch.setenv("POLAR_MODEL_PACKAGES", "lab_models")
    failure = trained()
    assert failure.error == "model_failed"
    assert "no_such_attribute" in failure.message
    # where it returns something unusable, the error happens in our code
    assert Failure.of(AttributeError("x"), has_own_model=True).error == "model_failed"
    assert Failure.of(OSError("x"), has_own_model=True).error == "machine_fault"


class SmallDisk(io.BytesIO):
    def write(self, data: Any) -> int:  # noqa: ANN401
        if self.tell() + len(data) > 4096:
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().write(data)


def test_a_checkpoint_on_a_full_disk_is_a_fault_of_the_machine() -> None:
    # torch raises a RuntimeError about the length of the file, which counted as a bug
    with pytest.raises(RuntimeError) as raised:
        torch.save({"weights": torch.zeros(100_000)}, SmallDisk())

    failure = Failure.of(raised.value)
    assert failure.error == "machine_fault"
    assert "No space left on device" in failure.message


def test_an_error_after_one_that_was_dealt_with_is_still_a_bug() -> None:
    def fail() -> None:
        try:
            raise FileNotFoundError(errno.ENOENT, "no such file")
        except FileNotFoundError as error:
            raise KeyError("latents") from error

    with pytest.raises(KeyError) as raised:
        fail()

    assert Failure.of(raised.value).error == "bug"


@pytest.mark.parametrize(
    ("error", "word"),
    [
        (OSError(errno.ENOSPC, "x"), "machine_fault"),
        (OSError(errno.ENOENT, "x"), "model_failed"),
        (OSError("x"), "model_failed"),  # as PIL raises where a file is no picture
        (RuntimeError("x: No CUDA GPUs are available"), "machine_fault"),
    ],
)
def test_a_file_that_a_users_model_lacks_is_no_fault_of_the_machine(
    error: Exception, word: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POLAR_MODEL_PACKAGES", "lab_models")
    users: dict[str, Any] = {"__name__": "lab_models.nets"}
    exec("def losses(error): raise error", users)

    with pytest.raises(type(error), match="x") as raised:
        users["losses"](error)

    assert Failure.of(raised.value, has_own_model=True).error == word
