"""What it costs an agent to watch a run: processor time of a sample and of a look around.

The watched process has imported torch, as a training has. The numbers of a GPU are read besides
where `--device cuda` is given.
"""

import argparse
import subprocess
import sys
import time
from collections.abc import Callable

import psutil

from workers.training import system_metrics

WATCHED = "import torch, sys; print(flush=True); sys.stdin.read()"


def mean_s(work: Callable[[], object], times: int) -> float:
    """Processor seconds of this thread for each of so many calls."""
    began_at = time.thread_time()
    for _ in range(times):
        work()
    return (time.thread_time() - began_at) / times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cpu")
    device = parser.parse_args().device
    with subprocess.Popen(
        [sys.executable, "-c", WATCHED], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as watched:
        assert watched.stdout
        watched.stdout.readline()
        sources = system_metrics.sources(watched.pid, device)
        sample_s = mean_s(lambda: [source() for source in sources], 2000)
        root = psutil.Process(watched.pid)
        look_s = mean_s(lambda: root.children(recursive=True), 100)
        watched.kill()
    share = sample_s / system_metrics.SAMPLE_S + look_s / system_metrics.LOOK_AROUND_S
    print(
        f"a sample {1e3 * sample_s:.3f} ms, a look around {1e3 * look_s:.2f} ms among "
        f"{len(psutil.pids())} processes; {100 * share:.4f} % of a core for each run"
    )


if __name__ == "__main__":
    main()
