"""What this machine offers to runs: queues, according to its device, and datasets."""

import os
from functools import lru_cache
from pathlib import Path

from polar.data import catalogue
from polar.errors import DatasetError, InvalidInput

#: Folder in which NVIDIA's driver lists its devices.
GPUS = Path("/proc/driver/nvidia/gpus")


def queues_for(device: str) -> list[str]:
    """The queues that an agent on this device serves; `auto` looks for a GPU, without torch."""
    return ["auto", "cuda" if uses_gpu(device) else "cpu"]


def uses_gpu(device: str) -> bool:
    """Whether an agent on this device has a GPU, or had one when its driver was last well."""
    return _has_gpu() if device == "auto" else device.startswith("cuda")


def available_datasets() -> dict[str, str]:
    """Digests of this machine's datasets by name; they are computed again if a file changes."""
    return _hashed(tuple(_look_of(path) for path in _all_files()))


@lru_cache(maxsize=1)
def _hashed(_looks: tuple[object, ...]) -> dict[str, str]:
    return catalogue.available()


def _has_gpu() -> bool:
    is_hidden = os.environ.get("CUDA_VISIBLE_DEVICES") == ""
    return not is_hidden and GPUS.is_dir() and any(GPUS.iterdir())


def _all_files() -> list[Path]:
    files: list[Path] = []
    for name in catalogue.names():
        try:
            files += catalogue.files(name)
        except (DatasetError, InvalidInput):  # InvalidInput if it was removed meanwhile
            continue
    return files


def _look_of(path: Path) -> tuple[Path, int, int] | None:
    try:
        stat = path.stat()
    except OSError:
        return None
    return path, stat.st_mtime_ns, stat.st_size
