"""An agent whose GPU is lost does not train on the CPU in its place."""

import time
from pathlib import Path

import pytest
import torch

from polar.data import catalogue
from polar.errors import DeviceMissing
from polar.records.events import Started
from polar.spec import ExperimentSpec
from workers.training import offer
from workers.training.child import Stopping, _train
from workers.training.messages import Failure, Request


def begin(folder: Path, **spec: str) -> Started:
    """What a child of an agent on the device `auto` says first."""
    request = Request(
        spec=ExperimentSpec.model_validate(
            {"dataset": {"name": "digits"}, "model": {}, "training": {"steps": 1}, **spec}
        ),
        dataset_digest=catalogue.digest("digits"),
        device="auto",
        folder=folder,
        resume_from=None,
        last_states=(),
        may_go_on_until=time.monotonic() + 300,
    )
    started = next(_train(request, Stopping()))
    assert isinstance(started, Started)
    return started


@pytest.fixture(autouse=True)
def lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A GPU that the driver lists and CUDA cannot use."""
    (tmp_path / "gpus" / "0000:01:00.0").mkdir(parents=True)
    monkeypatch.setattr(offer, "GPUS", tmp_path / "gpus")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(torch.version, "cuda", "12.8")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)


def test_a_lost_gpu_is_a_fault_of_the_machine(tmp_path: Path) -> None:
    with pytest.raises(DeviceMissing, match="device 'cuda' is not here") as raised:
        begin(tmp_path)

    assert Failure.of(raised.value).error == "machine_fault"


def test_a_spec_that_wants_the_cpu_needs_no_gpu(tmp_path: Path) -> None:
    assert begin(tmp_path, device="cpu").device == "cpu"


def test_torch_for_cpus_trains_on_the_cpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.version, "cuda", None)

    assert begin(tmp_path).device == "cpu"
