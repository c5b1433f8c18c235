"""The devices of this machine, detected without torch, and how agents share them."""

import os
import subprocess
from pathlib import Path

from service.embedded.errors import EmbeddedError

DRIVER = Path("/proc/driver/nvidia/gpus")


def slots(agents: int | None = None, device: str | None = None) -> list[str]:
    """The device of each agent: by default one agent per GPU, or one per core without a GPU.

    Args:
        agents: How many agents, at least 1; if there are more agents than GPUs, they share them.
        device: `cpu`, `cuda` (all GPUs) or `cuda:N`.

    Raises:
        EmbeddedError: there is no such device, or the number of agents is not allowed.
    """
    if agents is not None and agents < 1:
        raise EmbeddedError(f"the number of agents is {agents}; allowed: at least 1")
    devices = _devices(device)
    number = agents or (count_cores() if devices == ["cpu"] else len(devices))
    return [devices[n % len(devices)] for n in range(number)]


def count_gpus() -> int:
    """The number of CUDA devices that a child of this process may use."""
    present = _present_gpus()
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return present
    return min(present, sum(name.strip() not in ("", "-1") for name in visible.split(",")))


def count_cores() -> int:
    """The number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _devices(wanted: str | None) -> list[str]:
    gpus = [f"cuda:{n}" for n in range(count_gpus())]
    if wanted is None:
        return gpus or ["cpu"]
    if wanted == "cuda" and gpus:
        return gpus
    if wanted in ("cpu", *gpus):
        return [wanted]
    there = ["cpu", *(["cuda"] if gpus else []), *gpus]
    raise EmbeddedError(f"device {wanted!r} is not on this machine; allowed: {', '.join(there)}")


def _present_gpus() -> int:
    if DRIVER.is_dir():
        return len(list(DRIVER.iterdir()))
    try:
        answer = subprocess.run(
            ["nvidia-smi", "-L"], capture_output=True, text=True, check=False, timeout=30
        )
    except (OSError, subprocess.TimeoutExpired):
        return 0
    return sum(line.startswith("GPU ") for line in answer.stdout.splitlines())
