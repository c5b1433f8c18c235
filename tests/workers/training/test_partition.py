"""The network between agents and their database is cut, without a word or with a reset."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

from service.storage.states import RunState
from tests.network import Network

if TYPE_CHECKING:
    from tests.processes import Stage
    from tests.workers.conftest import SpecFor

Fault = Callable[[Network], None]


@pytest.fixture
def network(agents_url: str) -> Iterator[Network]:
    with Network(agents_url) as network:
        yield network


@pytest.fixture
def stage(stage: "Stage", network: Network) -> "Stage":
    """Agents that reach their database by the network; the test itself has it at hand."""
    stage.agents_url = network.url
    stage.settings = stage.settings.model_copy(update={"lease_s": 4})
    return stage


def mend(network: Network) -> None:
    network.mend()


def mend_with_a_reset(network: Network) -> None:
    """The server has forgotten its connections meanwhile."""
    network.reset()
    network.mend()


@pytest.mark.parametrize("end", [mend, mend_with_a_reset])
async def test_a_run_outlasts_a_partition_and_its_agent_goes_on(
    end: Fault, stage: "Stage", spec_of: "SpecFor", network: Network
) -> None:
    run_id = await stage.submit(spec_of(steps=150, checkpoint_every=1000))
    agent = stage.start_agent()
    await stage.run(run_id, lambda run: run.progress is not None)

    network.cut()
    await stage.until(lambda: stage.is_gone(stage.child_of(agent)))
    end(network)

    run = await stage.end_of(run_id)
    assert (run.state, run.losses) == (RunState.SUCCEEDED, 0)
    assert [reason for _, _, reason in await stage.history(run_id)] == [
        *(None, None, "lease_at_risk"),
        *(None, None),
    ]
    metrics = await stage.metrics_of(run_id)
    assert len([key for key, _ in metrics if key == "train/loss"]) == 150
    assert agent.poll() is None, stage.log_of(agent)
    assert (await stage.end_of(await stage.submit(spec_of()))).state is RunState.SUCCEEDED
    assert agent.poll() is None, stage.log_of(agent)


async def test_a_short_partition_interrupts_no_training(
    stage: "Stage", spec_of: "SpecFor", network: Network
) -> None:
    stage.settings = stage.settings.model_copy(update={"lease_s": 60})
    run_id = await stage.submit(spec_of(steps=150, checkpoint_every=5))
    agent = stage.start_agent()
    await stage.run(run_id, lambda run: run.checkpoint is not None)

    network.reset()
    network.cut()
    await stage.until(lambda: "the database is away" in stage.log_of(agent))
    mend_with_a_reset(network)

    run = await stage.end_of(run_id)
    assert (run.state, run.attempt) == (RunState.SUCCEEDED, 1)
    metrics = await stage.metrics_of(run_id)
    assert len([key for key, _ in metrics if key == "train/loss"]) == 150
    assert agent.poll() is None, stage.log_of(agent)


@pytest.mark.parametrize("end", [mend, mend_with_a_reset])
async def test_an_idle_agent_goes_on_after_a_partition_that_others_took_for_its_end(
    end: Fault, stage: "Stage", spec_of: "SpecFor", network: Network, agents_url: str
) -> None:
    """Procrastinate strikes off a worker that was silent; it can fetch no job any more."""
    agent = stage.start_agent()
    await stage.announcement()
    network.cut()
    await stage.until(lambda: "the database is away" in stage.log_of(agent))
    stage.agents_url = agents_url
    other = stage.start_agent()
    assert (await stage.end_of(await stage.submit(spec_of()))).state is RunState.SUCCEEDED
    other.terminate()
    assert other.wait(30) == 0, stage.log_of(other)

    run_id = await stage.submit(spec_of())
    end(network)

    assert (await stage.end_of(run_id)).state is RunState.SUCCEEDED
    assert agent.poll() is None, stage.log_of(agent)
