"""What becomes of runs in the hands of an agent, whatever their child does."""

import json
import signal
from typing import TYPE_CHECKING

import pytest

from service.storage import runs
from service.storage.artifacts import artifacts_of
from service.storage.evaluations import evaluations_of
from service.storage.states import RunState
from workers.training.attempt import BATCH, GATHER_S

if TYPE_CHECKING:
    from tests.processes import Stage
    from tests.workers.conftest import SpecFor


async def test_a_run_that_succeeds_is_stored_whole(stage: "Stage", spec_of: "SpecFor") -> None:
    run_id = await stage.submit(spec_of(steps=20, checkpoint_every=5), digest="of these images")
    agent = stage.start_agent()

    run = await stage.end_of(run_id)

    folder = f"runs/{run_id}/attempt-1"
    assert await stage.history(run_id) == [
        (0, "queued", None),
        (1, "running", None),
        (1, "succeeded", None),
    ]
    assert run.started is not None
    assert (run.started["device"], run.started["dataset_digest"]) == ("cpu", "of these images")
    assert (run.checkpoint_step, run.checkpoint) == (20, f"{folder}/checkpoints/step-00000020.pt")
    assert run.result is not None
    metrics = await stage.metrics_of(run_id)
    async with stage.database.transaction() as session:
        evaluations = await evaluations_of(session, run_id)
        (artifact,) = await artifacts_of(session, run_id)
    assert [metrics["train/loss", step].value for step in (1, 20)] == [1, 1 / 20]
    assert len([key for key, _ in metrics if key == "train/loss"]) == 20
    assert [evaluation["step"] for evaluation in evaluations] == [5, 10, 15, 20]
    assert (artifact.name, artifact.path) == ("result.json", f"{folder}/out/result.json")
    assert (stage.settings.artifacts / artifact.path).read_text() == "{}"
    log = stage.settings.artifacts / folder / "log.txt"
    assert log.read_text() == "what a library prints: None\n"  # not the database's address
    assert f"run={run_id} attempt=1" in stage.log_of(agent)


async def test_numbers_that_follow_one_another_are_stored_together(
    stage: "Stage", spec_of: "SpecFor"
) -> None:
    run_id = await stage.submit(spec_of(steps=60, checkpoint_every=60))
    stage.start_agent()

    await stage.end_of(run_id)

    metrics = await stage.metrics_of(run_id)
    stored_at = {metrics["train/loss", step].at for step in range(1, 61)}
    seconds = (max(stored_at) - min(stored_at)).total_seconds()
    # a full batch is followed at once by the next; the first, and what the end has stored
    assert len(stored_at) <= seconds / GATHER_S + 60 / BATCH + 4


async def test_a_run_that_needs_its_checkpoints_no_more_leaves_none(
    stage: "Stage", spec_of: "SpecFor"
) -> None:
    lost_once = await stage.submit(spec_of("killed", steps=8, checkpoint_every=5))
    unwanted = await stage.submit(spec_of("silent", steps=6, checkpoint_every=5))
    refused = await stage.submit(spec_of("refused", steps=6, checkpoint_every=5))
    stage.start_agent()
    await stage.run(unwanted, lambda run: run.checkpoint is not None)
    (partial := stage.checkpoints_of(unwanted)[0].with_name(".step-00000006.pt.1")).touch()
    await stage.cancel(unwanted)
    assert (await stage.end_of(lost_once)).attempt == 2
    await stage.end_of(await stage.submit(spec_of()))  # the agent has done with all the others

    kept = {run_id: stage.checkpoints_of(run_id) for run_id in (lost_once, unwanted, refused)}

    assert kept[lost_once] == kept[unwanted] == []
    assert [path.name for path in kept[refused]] == ["step-00000005.pt"]
    assert not partial.exists()


async def test_an_evaluation_of_the_most_latents_passes_the_pipe(
    stage: "Stage", spec_of: "SpecFor"
) -> None:
    run_id = await stage.submit(spec_of(steps=5, latents=1024))
    stage.start_agent()

    run = await stage.end_of(run_id)

    assert run.state is RunState.SUCCEEDED, run.status_message
    assert run.result is not None
    assert len(run.result["final"]["latents"]) == 1024


async def test_each_failure_gets_its_reason_and_the_agent_goes_on(
    stage: "Stage", spec_of: "SpecFor"
) -> None:
    fates = {
        "refused": ("dataset_corrupt", "the file ends after 16 bytes"),
        "bug": ("bug", "KeyError: 'latents'"),
        "unprintable": ("bug", "xxx"),
        "leaves without a word": ("bug", "nobody knows why"),
        "leaves a process behind": ("bug", "exited with code 3"),
    }
    ids = {fate: await stage.submit(spec_of(fate)) for fate in fates}
    last = await stage.submit(spec_of())
    stage.start_agent()

    assert (await stage.end_of(last)).state is RunState.SUCCEEDED

    for fate, (reason, message) in fates.items():
        run = await stage.end_of(ids[fate])
        assert (run.state, run.status_reason, run.attempt) == (RunState.FAILED, reason, 1)
        assert run.status_message is not None
        assert message in run.status_message
        assert len(run.status_message) < 10_000


async def test_a_killed_child_goes_on_from_its_newest_checkpoint(
    stage: "Stage", spec_of: "SpecFor"
) -> None:
    run_id = await stage.submit(spec_of("killed", steps=12, checkpoint_every=5))
    stage.start_agent()

    run = await stage.end_of(run_id)

    assert await stage.history(run_id) == [
        (0, "queued", None),
        (1, "running", None),
        (1, "queued", "child_killed"),
        (2, "running", None),
        (2, "queued", "child_killed"),
        (3, "running", None),
        (3, "succeeded", None),
    ]
    assert run.losses == 2
    assert run.started is not None
    assert run.started["step"] == 10
    metrics = await stage.metrics_of(run_id)
    attempts = [metrics["train/loss", step].attempt for step in range(1, 13)]
    assert attempts == [1] * 5 + [2] * 5 + [3] * 2


@pytest.mark.parametrize(("fate", "word"), [("killed", "SIGKILL"), ("no memory", "MemoryError")])
async def test_a_run_that_is_lost_too_often_fails(
    fate: str, word: str, stage: "Stage", spec_of: "SpecFor"
) -> None:
    stage.settings = stage.settings.model_copy(update={"max_attempts": 2, "fault_pause_s": 0.1})
    run_id = await stage.submit(spec_of(fate))
    stage.start_agent()

    run = await stage.end_of(run_id)

    assert (run.state, run.status_reason) == (RunState.FAILED, "attempts_exhausted")
    assert run.attempt == 2
    assert run.status_message is not None
    assert word in run.status_message


async def test_a_damaged_checkpoint_gives_way_to_the_one_before(
    stage: "Stage", spec_of: "SpecFor"
) -> None:
    run_id = await stage.submit(spec_of(steps=1000, checkpoint_every=5))
    agent = stage.start_agent()
    await stage.run(run_id, lambda run: (run.checkpoint_step or 0) >= 10)
    agent.send_signal(signal.SIGTERM)
    run = await stage.run(run_id, lambda run: run.state is RunState.QUEUED)
    assert run.checkpoint
    assert run.checkpoint_step
    (stage.settings.artifacts / run.checkpoint).write_text("damaged")

    stage.start_agent()

    # The last before the agent was stopped was written at once, not at the end of an interval.
    before = (run.checkpoint_step - 1) // 5 * 5
    await stage.run(run_id, lambda run: bool(run.started and run.started["step"] == before))


async def test_a_queued_run_is_cancelled_at_once_and_never_begins(
    stage: "Stage", spec_of: "SpecFor"
) -> None:
    run_id = await stage.submit(spec_of())
    await stage.cancel(run_id)
    later = await stage.submit(spec_of())
    stage.start_agent()

    await stage.end_of(later)

    assert await stage.history(run_id) == [(0, "queued", None), (0, "cancelled", "user")]


async def test_a_running_run_is_cancelled_without_waiting_for_a_renewal(
    stage: "Stage", spec_of: "SpecFor"
) -> None:
    stage.settings = stage.settings.model_copy(update={"lease_s": 4000, "renew_s": 1000})
    run_id = await stage.submit(spec_of("silent", steps=6, checkpoint_every=5))
    agent = stage.start_agent()
    await stage.run(run_id, lambda run: run.checkpoint is not None)

    await stage.cancel(run_id)

    run = await stage.end_of(run_id)
    assert await stage.history(run_id) == [
        (0, "queued", None),
        (1, "running", None),
        (1, "cancelled", "user"),
    ]
    assert run.checkpoint_step == 5
    assert stage.is_gone(stage.child_of(agent))


async def test_a_run_whose_child_is_still_starting_is_cancelled(
    stage: "Stage", spec_of: "SpecFor"
) -> None:
    run_id = await stage.submit(spec_of("starts slowly"))
    stage.start_agent()
    await stage.run(run_id, lambda run: run.state is RunState.RUNNING)

    await stage.cancel(run_id)

    run = await stage.end_of(run_id)
    assert (run.state, run.status_reason) == (RunState.CANCELLED, "user")
    assert run.progress is None


async def test_a_cancel_that_no_notification_told_is_seen_at_the_next_renewal(
    stage: "Stage", spec_of: "SpecFor"
) -> None:
    run_id = await stage.submit(spec_of("silent", steps=6))
    stage.start_agent()
    await stage.run(run_id, lambda run: run.checkpoint is not None)
    async with stage.database.transaction() as session:
        await runs.request_cancel(session, run_id)

    run = await stage.end_of(run_id)

    assert run.state is RunState.CANCELLED


@pytest.mark.parametrize("fate", ["hangs", "holds the interpreter"])
async def test_a_child_that_does_not_stop_is_killed(
    fate: str, stage: "Stage", spec_of: "SpecFor"
) -> None:
    stage.settings = stage.settings.model_copy(update={"grace_s": 0.5})
    run_id = await stage.submit(spec_of(fate))
    agent = stage.start_agent()
    await stage.run(run_id, lambda run: run.checkpoint is not None)
    await stage.cancel(run_id)

    run = await stage.end_of(run_id)

    assert run.state is RunState.CANCELLED
    assert stage.is_gone(stage.child_of(agent))


async def test_sigterm_gives_the_run_back_and_ends_the_agent_with_success(
    stage: "Stage", spec_of: "SpecFor"
) -> None:
    run_id = await stage.submit(spec_of(steps=100, checkpoint_every=1000))
    agent = stage.start_agent()
    await stage.run(run_id, lambda run: bool(run.progress and run.progress["step"] >= 10))

    agent.send_signal(signal.SIGTERM)

    assert agent.wait(20) == 0, stage.log_of(agent)
    run = await stage.run(run_id, lambda run: run.state is RunState.QUEUED)
    assert (run.status_reason, run.losses) == ("agent_stopped", 0)
    saved = run.checkpoint_step
    assert saved
    stage.start_agent()
    run = await stage.end_of(run_id)
    assert run.state is RunState.SUCCEEDED
    assert run.started is not None
    assert run.started["step"] == saved


async def test_an_agent_that_is_stopped_while_its_template_starts_gives_the_run_back(
    stage: "Stage", spec_of: "SpecFor"
) -> None:
    stage.environment["CHILD"] = json.dumps(["sleep", "600"])
    run_id = await stage.submit(spec_of())
    agent = stage.start_agent()
    await stage.until(lambda: "started template" in stage.log_of(agent))

    agent.send_signal(signal.SIGTERM)

    assert agent.wait(60) == 0, stage.log_of(agent)
    run = await stage.run(run_id, lambda run: run.state is RunState.QUEUED)
    assert (run.status_reason, run.losses) == ("agent_stopped", 0)
    assert "started child" not in stage.log_of(agent)
