"""What becomes of a child of the template on a GPU, and on one that has no room."""

import asyncio
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from polar.data import catalogue
from polar.records.events import Event, Result, Started
from polar.spec import ExperimentSpec
from workers.training.machine import fault_of_gpu
from workers.training.messages import Failure, OnGpu, Request, from_line
from workers.training.process import Child, Template


async def told_by_a_child(folder: Path) -> list[Event | OnGpu | Failure]:
    spec = ExperimentSpec.model_validate(
        {
            "dataset": {"name": "digits", "images": 128},
            "model": {"latent_dim": 2, "widths": [4, 4, 4, 4, 4]},
            "training": {"steps": 8, "batch_size": 16},
        }
    )
    request = Request(
        spec=spec,
        dataset_digest=catalogue.digest("digits"),
        device="cuda",
        folder=folder,
        resume_from=None,
        last_states=(),
        may_go_on_until=time.monotonic() + 300,
    )
    template = Template([sys.executable, "-m", "workers.training.template"])
    try:
        child = await Child.start(template, folder / "log.txt")
        child.say(request.model_dump_json())
        events = [from_line(line) async for line in child.lines()]
        child.kill()
        await child.exit_code()
    finally:
        template.end()
    return events


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
def test_a_forked_child_trains_on_the_gpu(tmp_path: Path) -> None:
    events = asyncio.run(told_by_a_child(tmp_path))

    gpu, started, result = events[0], events[1], events[-1]
    assert isinstance(gpu, OnGpu), (tmp_path / "log.txt").read_text()
    assert gpu.uuid == f"GPU-{torch.cuda.get_device_properties('cuda').uuid}"
    assert isinstance(started, Started)
    assert started.device == "cuda"
    assert isinstance(result, Result)


#: Takes whatever memory the GPU has left, says so, and keeps it until stdin ends.
FILL = """
import sys, torch
held = []
for size in (2**30, 2**26, 2**22, 2**20):
    while True:
        try:
            held.append(torch.empty(size, dtype=torch.uint8, device="cuda"))
        except torch.OutOfMemoryError:
            break
print("full", flush=True)
sys.stdin.read()
"""


@contextmanager
def full_gpu() -> Iterator[None]:
    with subprocess.Popen(
        [sys.executable, "-c", FILL], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"full\n"
        yield
        process.communicate()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
def test_a_gpu_that_others_have_filled_is_too_little_memory(tmp_path: Path) -> None:
    with full_gpu():
        events = asyncio.run(told_by_a_child(tmp_path))
        fault = asyncio.run(fault_of_gpu("cuda"))

    failure = events[-1]
    assert isinstance(failure, Failure)
    assert failure.error == "oom"
    assert fault is not None
    assert "out of memory" in fault
