"""What this machine has for runs: queues by its device, and datasets."""

import os
from functools import lru_cache
from pathlib import Path

from polar.data import catalogue
from polar.errors import DatasetError
from polar.spec.datasets import DATASETS

#: NVIDIA's driver lists its devices here.
GPUS = Path("/proc/driver/nvidia/gpus")


def queues_for(device: str) -> list[str]:
    """The queues that an agent of this device serves; `auto` looks for a GPU, without torch."""
    is_cuda = _has_gpu() if device == "auto" else device.startswith("cuda")
    return ["auto", "cuda" if is_cuda else "cpu"]


def available_datasets() -> dict[str, str]:
    """Name and digest of the datasets here; hashed anew only when a file has changed."""
    return _hashed(tuple(_look_of(path) for path in _all_files()))


@lru_cache(maxsize=1)
def _hashed(_looks: tuple[object, ...]) -> dict[str, str]:
    return catalogue.available()


def _has_gpu() -> bool:
    is_hidden = os.environ.get("CUDA_VISIBLE_DEVICES") == ""
    return not is_hidden and GPUS.is_dir() and any(GPUS.iterdir())


def _all_files() -> list[Path]:
    found: list[Path] = []
    for name in DATASETS:
        try:
            found += catalogue.files(name)
        except DatasetError:
            continue
    return found


def _look_of(path: Path) -> tuple[Path, int, int] | None:
    try:
        stat = path.stat()
    except OSError:
        return None
    return path, stat.st_mtime_ns, stat.st_size
