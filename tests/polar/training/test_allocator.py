import platform
import subprocess
import sys

import pytest

from polar.training import allocator

PROGRAM = """
import resource
import torch
from polar.spec import ExperimentSpec
from polar.training.allocator import keep_freed_memory
from polar.training.subset import evaluation_subset
from polar.training.inputs import Inputs
from polar.training.loop import train
from polar.training.state import fresh

torch.set_num_threads(1)
assert keep_freed_memory()
spec = ExperimentSpec.model_validate({
    "dataset": {"name": "digits", "images": 64},
    "model": {},
    "training": {"steps": 16, "batch_size": 64, "held_out": 0},
    "diagnostics": {"epochs": [16], "images": 5},
})
images = torch.randint(0, 256, (64, 1, 32, 32), dtype=torch.uint8)
data = Inputs(images, torch.empty(64, 0, dtype=torch.uint8))
state = fresh(spec, "digest", torch.device("cpu"))
faults = {}
def note():
    faults[state.step] = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    return False
for event in train(state, data, evaluation_subset(data, spec), stop=note):
    pass
print((faults[15] - faults[9]) / 6)  # no evaluation is between the two
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="mallopt is glibc's")
def test_a_step_in_steady_state_takes_hardly_any_page_faults() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True
    )

    # 3,000 without the setting; what is left are objects of Python.
    assert float(done.stdout) < 500


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="mallopt is glibc's")
def test_glibc_accepts_every_setting() -> None:
    program = "from polar.training.allocator import keep_freed_memory; print(keep_freed_memory())"

    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    assert done.stdout.strip() == "True"


def test_elsewhere_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")

    assert not allocator.keep_freed_memory()
