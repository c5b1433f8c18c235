"""Real agents, real children, real training: killed at any time, a run gives the same numbers."""

import os
import signal
import struct
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

from polar.data import catalogue
from polar.spec import MnistSpec
from service.storage.states import RunState
from tests.e2e.twins import INTERVAL, SPEC, assert_same_numbers, checkpoint_of, longer

if TYPE_CHECKING:
    from tests.processes import Stage

MNIST_FILES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte")


async def test_a_run_that_was_killed_gives_the_numbers_of_one_that_was_not(
    stage: "Stage",
) -> None:
    stage.settings = stage.settings.model_copy(update={"lease_s": 5})
    # long enough to be still at work when the database of a slow machine shows its checkpoint
    spec, digest = longer(24), catalogue.digest("digits")
    whole, lost_its_child, lost_its_agent = [await stage.submit(spec, digest) for _ in range(3)]
    agent = stage.start_agent()

    steps = {lost_its_child: await checkpoint_of(stage, lost_its_child)}
    os.kill(stage.child_of(agent), signal.SIGKILL)
    steps[lost_its_agent] = await checkpoint_of(stage, lost_its_agent)
    agent.kill()
    stage.start_agent()

    assert (await stage.end_of(lost_its_agent)).state is RunState.SUCCEEDED
    for run_id, reason in {lost_its_child: "child_killed", lost_its_agent: "lease_lost"}.items():
        assert await stage.history(run_id) == [
            (0, "queued", None),
            (1, "running", None),
            (1, "queued", reason),
            (2, "running", None),
            (2, "succeeded", None),
        ]
        await assert_same_numbers(stage, run_id, whole)
        await assert_less_than_an_interval_was_repeated(stage, run_id, steps[run_id])


async def test_a_run_whose_child_hung_gives_the_numbers_of_one_whose_child_did_not(
    stage: "Stage",
) -> None:
    stage.settings = stage.settings.model_copy(update={"silence_s": 15})
    spec, digest = longer(24), catalogue.digest("digits")
    whole, hung = [await stage.submit(spec, digest) for _ in range(2)]
    agent = stage.start_agent()
    await stage.end_of(whole)
    await stage.run(hung, lambda run: bool(run.checkpoint))
    child = stage.child_of(agent)

    os.kill(child, signal.SIGSTOP)

    assert (await stage.end_of(hung)).state is RunState.SUCCEEDED
    assert [reason for _, _, reason in await stage.history(hung)][2] == "no_progress"
    assert stage.is_gone(child)
    assert agent.poll() is None
    await assert_same_numbers(stage, hung, whole)


async def assert_less_than_an_interval_was_repeated(
    stage: "Stage", run_id: UUID, checkpoint: int
) -> None:
    """The checkpoint is the newest that was seen before the kill; there may have been a newer."""
    run = await stage.end_of(run_id)
    metrics = await stage.metrics_of(run_id)
    reported = max(step for (_, step), metric in metrics.items() if metric.attempt == 1)
    assert run.started is not None
    resumed_at = run.started["step"]
    assert resumed_at % INTERVAL == 0
    assert 0 < checkpoint <= resumed_at <= reported <= resumed_at + INTERVAL


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
