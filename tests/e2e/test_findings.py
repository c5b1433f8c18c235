"""Findings with real agents: whoever is killed, they are made, and are those of `polar run`."""

import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

import pytest
import torch

import polar
from polar.data import catalogue
from polar.records.events import LAST_STATE_FILE, Result
from polar.spec import ExperimentSpec
from service.storage import findings, runs
from service.storage.artifacts import artifacts_of
from service.storage.states import FindingsState, RunState

if TYPE_CHECKING:
    from tests.processes import Stage

SPEC = ExperimentSpec.model_validate(
    {
        "dataset": {"name": "digits", "images": 120},
        "model": {"beta": 0.5, "latent_dim": 3, "widths": [4, 4, 4, 4, 4]},
        "training": {"steps": 20, "batch_size": 20},
        "diagnostics": {"images": 50},
    }
)
AT_ONCE = {"diagnostics.parquet", "last_state.pt", "model.safetensors", "result.json"}
#: These tell how long estimators take, and result.json how long the training took.
TIMED = {
    "estimators.parquet",
    "figures/entropy_against_variance.csv",
    "figures/entropy_against_variance.png",
    "last_state.pt",
    "result.json",
}


def findings_children_of(stage: "Stage", agent: "subprocess.Popen[bytes]") -> list[int]:
    """The findings children of an agent so far."""
    return [int(pid) for pid in re.findall(r"started findings child (\d+)", stage.log_of(agent))]


@pytest.fixture
def _one_thread() -> Iterator[None]:
    """As agents have it, because threads change sums."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


async def files_of(stage: "Stage", run_id: UUID) -> dict[str, Path]:
    async with stage.database.transaction() as session:
        files = await artifacts_of(session, run_id)
    return {file.name: stage.settings.artifacts / file.path for file in files}


async def ask(stage: "Stage", run_id: UUID) -> None:
    async with stage.database.transaction() as session:
        await findings.ask(session, run_id)


@pytest.mark.usefixtures("_one_thread")
async def test_findings_survive_the_death_of_their_maker_and_of_its_agent(
    stage: "Stage", tmp_path: Path
) -> None:
    stage.settings = stage.settings.model_copy(update={"lease_s": 5})
    run_id = await stage.submit(SPEC, catalogue.digest("digits"))
    agent = stage.start_agent()

    run = await stage.end_of(run_id)
    assert run.state is RunState.SUCCEEDED
    await ask(stage, run_id)  # else its makers leave the processors to other tests
    at_once = await files_of(stage, run_id)
    assert set(at_once) >= AT_ONCE
    assert all(path.is_file() for path in at_once.values())
    figures = at_once["result.json"].parent / "figures"
    await stage.until(lambda: any(figures.glob("*.png")))
    os.kill(findings_children_of(stage, agent)[0], signal.SIGKILL)
    await stage.until(lambda: len(findings_children_of(stage, agent)) == 2)
    agent.kill()
    await stage.until(lambda: stage.is_gone(findings_children_of(stage, agent)[1]))
    stage.start_agent()

    row = await stage.findings_of(run_id)
    assert (row.state, row.attempt) == (FindingsState.MADE, 3)
    *_, whole = polar.run(SPEC, out=tmp_path / "whole")
    run = await stage.end_of(run_id)
    assert Result.model_validate(run.result) == whole
    files = await files_of(stage, run_id)
    assert set(files) == {
        path.relative_to(tmp_path / "whole").as_posix()
        for path in (tmp_path / "whole").rglob("*")
        if path.is_file()
    }
    for name in set(files) - TIMED:
        assert files[name].read_bytes() == (tmp_path / "whole" / name).read_bytes(), name


async def test_findings_without_a_last_state_fail_with_their_reason_and_the_run_stands(
    stage: "Stage",
) -> None:
    run_id = await stage.submit(SPEC, catalogue.digest("digits"))
    stage.start_agent()
    await stage.end_of(run_id)
    files = await files_of(stage, run_id)
    files[LAST_STATE_FILE].unlink()
    await ask(stage, run_id)

    row = await stage.findings_of(run_id)

    assert (row.state, row.reason) == (FindingsState.FAILED, "checkpoint_unusable")
    assert re.search(r"last_state.pt is damaged: .*No such file", row.message or "")
    async with stage.database.transaction() as session:
        run = await runs.get(session, run_id)
    assert run.state is RunState.SUCCEEDED
    assert run.result is not None
    assert set(await files_of(stage, run_id)) == set(files)
