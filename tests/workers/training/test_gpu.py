"""A child of the template can train on a GPU, which a process that has used CUDA cannot fork."""

import asyncio
import sys
import time
from pathlib import Path

import pytest
import torch

from polar.data import catalogue
from polar.records.events import Event, Result, Started
from polar.spec import ExperimentSpec
from workers.training.messages import Failure, Request, from_line
from workers.training.process import Child, Template


async def told_by_a_child(folder: Path) -> list[Event | Failure]:
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

    started, result = events[0], events[-1]
    assert isinstance(started, Started), (tmp_path / "log.txt").read_text()
    assert started.device == "cuda"
    assert isinstance(result, Result)
