from pathlib import Path

import pytest

from service.embedded import devices
from service.embedded.devices import count_cores, count_gpus, slots
from service.embedded.errors import EmbeddedError


@pytest.fixture
def two_gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for address in ("0000:01:00.0", "0000:02:00.0"):
        (tmp_path / address).mkdir()
    monkeypatch.setattr(devices, "DRIVER", tmp_path)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return tmp_path


@pytest.fixture
def no_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "DRIVER", tmp_path / "none")
    monkeypatch.setenv("PATH", str(tmp_path))  # so that there is no nvidia-smi either


@pytest.mark.usefixtures("two_gpus")
def test_every_gpu_has_an_agent() -> None:
    assert slots() == ["cuda:0", "cuda:1"]


@pytest.mark.usefixtures("two_gpus")
def test_more_agents_share_the_gpus_in_turn() -> None:
    assert slots(agents=3) == ["cuda:0", "cuda:1", "cuda:0"]


@pytest.mark.usefixtures("two_gpus")
def test_one_gpu_can_be_named() -> None:
    assert slots(device="cuda:1") == ["cuda:1"]


@pytest.mark.usefixtures("two_gpus")
def test_the_cpu_can_be_asked_for_although_there_are_gpus() -> None:
    assert slots(agents=2, device="cpu") == ["cpu", "cpu"]


@pytest.mark.usefixtures("no_gpu")
def test_without_gpu_every_core_has_an_agent() -> None:
    assert slots() == ["cpu"] * count_cores()


@pytest.mark.usefixtures("two_gpus")
@pytest.mark.parametrize(("visible", "expected"), [("", 0), ("-1", 0), ("1", 1), ("0,1,2", 2)])
def test_hidden_gpus_do_not_count(
    monkeypatch: pytest.MonkeyPatch, visible: str, expected: int
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)

    assert count_gpus() == expected


@pytest.mark.usefixtures("no_gpu")
@pytest.mark.parametrize("device", ["cuda", "cuda:0", "tpu", "", "cpu:0"])
def test_a_device_that_is_not_there_is_named_with_those_that_are(device: str) -> None:
    refusal = f"device '{device}' is not on this machine; allowed: cpu$"
    with pytest.raises(EmbeddedError, match=refusal):
        slots(device=device)


def test_no_agents_are_no_stack() -> None:
    with pytest.raises(EmbeddedError, match="the number of agents is 0; allowed: at least 1"):
        slots(agents=0, device="cpu")
