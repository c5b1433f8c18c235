"""What this machine can do at most, as torch reaches it: `python -m benchmarks.machine --out DIR`.

Each number is the best of several repetitions, because a peak is asked for, and by the wall clock.
It takes 20 s, or a minute on a processor that has to imitate bfloat16.
"""

import os
import platform
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch.nn.functional import conv2d

from benchmarks.results import Cell, Measured, Options, Table, run

#: Seconds after which the same work is not repeated again.
LONG_S = 3.0


def main() -> None:
    run("machine", measured, __doc__ or "")


def measured(options: Options) -> Measured:
    size, repetitions = (512, 3) if options.quick else (2048, 10)
    threads = sorted({1, len(os.sched_getaffinity(0))})
    work: dict[str, Callable[[], tuple[Callable[[], object], float]]] = {
        "matmul float32, GFLOP/s": lambda: _matmul(size, torch.float32),
        "matmul float64, GFLOP/s": lambda: _matmul(size, torch.float64),
        "matmul bfloat16, GFLOP/s": lambda: _matmul(size, torch.bfloat16),
        "convolution 3x3, 64 to 64 channels, 128 images of 32x32, GFLOP/s": _convolution,
        "reading float32 once, GB/s": lambda: _reading(size),
    }
    rows: list[list[Cell]] = []
    for name, prepare in work.items():
        best = []
        for count in threads:
            torch.set_num_threads(count)
            best.append(_best(*prepare(), repetitions))
        rows.append([name, *best])
    head = ["peak", *(f"{count} thread{'s' * (count > 1)}" for count in threads)]
    return Measured(
        [Table("The machine", ["what", "value"], _about()), Table("Peaks", head, rows)]
    )


def _about() -> list[list[Cell]]:
    memory = Path("/proc/meminfo").read_text().split()[1]
    return [
        ["processor", _processor()],
        ["cores", f"{len(os.sched_getaffinity(0))}"],
        ["memory", f"{int(memory) / 2**20:.0f} GiB"],
        ["system", platform.platform()],
        ["Python", platform.python_version()],
        ["torch", torch.__version__],
        ["GPU", torch.cuda.get_device_name() if torch.cuda.is_available() else "none"],
    ]


def has_bfloat16() -> bool:
    """Whether the processor multiplies numbers in bfloat16, which torch else imitates slowly."""
    return not {"avx512_bf16", "amx_bf16", "bf16"}.isdisjoint(_flags(_fields()))


def _fields() -> dict[str, str]:
    """What the system says of the processor."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    parts = (line.partition(":") for line in lines)
    return {name.strip(): value.strip() for name, _, value in parts}


def _flags(fields: dict[str, str]) -> list[str]:
    return (fields.get("flags") or fields.get("Features", "")).split()


def _processor() -> str:
    fields = _fields()
    flags = _flags(fields)
    known = [flag for flag in ("avx2", "avx512f", "avx512_vnni", "avx512_bf16") if flag in flags]
    name = fields.get("model name", platform.machine())
    numbers = f"family {fields.get('cpu family', '?')}, model {fields.get('model', '?')}"
    return f"{name} ({numbers}; {', '.join(known)})"


def _matmul(size: int, dtype: torch.dtype) -> tuple[Callable[[], object], float]:
    a, b = (torch.randn(size, size).to(dtype) for _ in range(2))
    return lambda: a @ b, 2.0 * size**3


def _convolution() -> tuple[Callable[[], object], float]:
    images = torch.randn(128, 64, 32, 32).contiguous(memory_format=torch.channels_last)
    kernel = torch.randn(64, 64, 3, 3).contiguous(memory_format=torch.channels_last)
    return lambda: conv2d(images, kernel, padding=1), 2.0 * 128 * 32**2 * 64**2 * 9


def _reading(size: int) -> tuple[Callable[[], object], float]:
    numbers = torch.ones(size**2 * 32)
    return numbers.sum, 4.0 * len(numbers)


def _best(work: Callable[[], object], amount: float, repetitions: int) -> float:
    """The largest amount per nanosecond, of fewer repetitions where each takes long."""
    seconds: list[float] = []
    while len(seconds) < repetitions and sum(seconds) < LONG_S:
        begin = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - begin)
    return amount / min(seconds) / 1e9


if __name__ == "__main__":
    main()
