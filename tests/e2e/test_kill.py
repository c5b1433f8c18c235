"""Real agents, real children, real training: killed at any time, a run gives the same numbers."""

import os
import signal
import struct
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from polar.data import catalogue
from polar.spec import ExperimentSpec, MnistSpec
from service.storage import runs
from service.storage.tables import RunState

if TYPE_CHECKING:
    from tests.conftest import Stage

INTERVAL = 40
SPEC = ExperimentSpec.model_validate(
    {
        "dataset": {"name": "digits", "images": 256},
        "model": {"latent_dim": 4, "widths": [4, 4, 4, 4, 4]},
        "training": {"steps": 10 * INTERVAL, "batch_size": 16, "checkpoint_every": INTERVAL},
        "diagnostics": {"evaluations": 8, "images": 64},
    }
)
MNIST_FILES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte")


@pytest.mark.parametrize("victim", ["child", "agent"])
async def test_a_run_that_was_killed_gives_the_numbers_of_one_that_was_not(
    victim: str, stage: "Stage"
) -> None:
    stage.settings = stage.settings.model_copy(update={"lease_s": 5})
    digest = catalogue.digest("digits")
    whole, killed = await stage.submit(SPEC, digest), await stage.submit(SPEC, digest)
    agent = stage.start_agent()
    seen = await stage.run(killed, lambda run: (run.checkpoint_step or 0) >= INTERVAL)
    if victim == "agent":
        stage.start_agent()

    os.kill(stage.child_of(agent) if victim == "child" else agent.pid, signal.SIGKILL)

    run = await stage.end_of(killed)
    assert await stage.history(killed) == [
        (0, "queued", None),
        (1, "running", None),
        (1, "queued", "child_killed" if victim == "child" else "lease_lost"),
        (2, "running", None),
        (2, "succeeded", None),
    ]
    metrics, expected = await stage.metrics_of(killed), await stage.metrics_of(whole)
    assert {at: metric.value for at, metric in metrics.items()} == {
        at: metric.value for at, metric in expected.items()
    }
    async with stage.database.transaction() as session:
        evaluations = await runs.evaluations_of(session, killed)
        assert evaluations == await runs.evaluations_of(session, whole)
        result = (await runs.get(session, whole)).result
    assert len(evaluations) >= 8
    assert run.result == result
    # It went on from the newest checkpoint, so it repeated less than an interval.
    assert run.started is not None
    assert seen.checkpoint_step is not None
    resumed_at = run.started["step"]
    reported = max(step for (_, step), metric in metrics.items() if metric.attempt == 1)
    assert resumed_at % INTERVAL == 0
    assert seen.checkpoint_step <= resumed_at <= reported <= resumed_at + INTERVAL


async def test_a_dataset_that_cannot_be_used_fails_its_run_and_no_other(
    stage: "Stage", tmp_path: Path
) -> None:
    images, labels = (tmp_path / "MNIST" / "raw" / name for name in MNIST_FILES)
    images.parent.mkdir(parents=True)
    labels.write_bytes(struct.pack(">II", 2049, 0))
    stage.environment["POLAR_DATA_DIR"] = str(tmp_path)
    spec = SPEC.model_copy(update={"dataset": MnistSpec(images=256)})
    faults = {
        struct.pack(">IIII", 2051, 60_000, 28, 28) + b"\0" * 1000: "expected 47040016 bytes",
        b"\x1f\x8b" + b"\0" * 1000: "magic number",
    }
    agent = stage.start_agent()

    for content, fault in faults.items():
        images.write_bytes(content)
        failed = await stage.end_of(await stage.submit(spec, catalogue.digest("mnist", tmp_path)))
        assert (failed.state, failed.status_reason) == (RunState.FAILED, "dataset_corrupt")
        assert fault in (failed.status_message or "")
    healthy = await stage.end_of(await stage.submit(SPEC, catalogue.digest("digits")))

    assert healthy.state is RunState.SUCCEEDED
    assert agent.poll() is None
