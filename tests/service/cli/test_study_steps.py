"""Studies whose budget is in steps, and studies that go on to more steps; no broker is there."""

import asyncio
import json
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

if TYPE_CHECKING:
    from tests.service.cli.conftest import Polar, Process, Write
    from tests.service.conftest import Trials, Worker

SPEC = """
name: mine
base: {dataset: {name: digits}, model: {}, training: {steps: 1000}}
search: {model.beta: {log_uniform: [1e-2, 100]}}
"""
BY_STEPS = f"{SPEC}budget: {{steps: 8000}}\n"
BY_TRIALS = f"{SPEC}budget: {{trials: 2}}\n"


@pytest.fixture(autouse=True)
async def _an_agent_is_there(worker: "Worker") -> None:
    await worker.announce()


async def answer(polar: "Polar", *arguments: object) -> Any:  # noqa: ANN401
    result = await polar(*arguments, "-o", "json")
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


async def created(polar: "Polar", write: "Write", spec: str) -> UUID:
    return UUID((await answer(polar, "study", "create", write(spec)))["id"])


async def train(trials: "Trials", study_id: UUID, beta: float) -> None:
    point = {"beta": beta, "seed": 0, "training.steps": 1000}
    await trials.end(await trials.begin(study_id, **point), 0.5)


async def test_a_budget_of_steps_says_how_many_are_spent(
    polar: "Polar", write: "Write", trials: "Trials"
) -> None:
    study_id = await created(polar, write, BY_STEPS)
    await train(trials, study_id, 1.0)
    await trials.begin(study_id, beta=1.0, seed=0, **{"training.steps": 4000})

    study = await answer(polar, "study", "show", study_id)
    shown = await polar("study", "show", study_id)
    (listed,) = await answer(polar, "study", "list")

    assert (study["steps_spent"], study["steps_wanted"]) == (4000, 8000)
    assert "4,000 of 8,000 training steps spent" in shown.stdout
    assert "of 8 completed" not in shown.stdout
    assert listed["steps_wanted"] == 8000


async def test_watching_a_budget_of_steps_shows_steps(
    polar: "Polar", polar_process: "Process", write: "Write", trials: "Trials"
) -> None:
    study_id = await created(polar, write, BY_STEPS)
    for beta in (1.0, 2.0, 3.0):
        await train(trials, study_id, beta)
    await trials.end_study(study_id)

    watched = await asyncio.wait_for(polar_process("study", "watch", study_id), 180)

    assert watched.exit_code == 0, watched.stderr
    assert "mine (steps)" in watched.stderr
    assert "3,000/8,000" in watched.stderr


async def test_a_study_without_such_a_budget_counts_trials(
    polar: "Polar", write: "Write", trials: "Trials"
) -> None:
    study_id = await created(polar, write, BY_TRIALS)
    await train(trials, study_id, 1.0)

    study = await answer(polar, "study", "show", study_id)
    shown = await polar("study", "show", study_id)

    assert study["steps_spent"] is study["steps_wanted"] is None
    assert "1 of 2 completed" in shown.stdout
    assert "training steps spent" not in shown.stdout


async def test_a_budget_of_steps_is_extended(polar: "Polar", write: "Write") -> None:
    by_steps = await created(polar, write, BY_STEPS)
    by_trials = await created(polar, write, BY_TRIALS)

    extended = await answer(polar, "study", "extend", by_steps, "--budget-steps", 2000)
    refused = await polar("study", "extend", by_trials, "--budget-steps", 2000)

    assert (extended["steps_wanted"], extended["trials_wanted"]) == (10_000, 10)
    assert refused.exit_code == 2
    assert "budget_steps is 2000" in refused.stderr
    assert "allowed: trials" in refused.stderr


async def test_the_trainings_of_a_study_are_extended(
    polar: "Polar", write: "Write", trials: "Trials"
) -> None:
    study_id = await created(polar, write, BY_TRIALS)
    for beta in (1.0, 2.0):
        await train(trials, study_id, beta)
    await trials.end_study(study_id)

    refused = await polar("study", "extend", study_id, "--training-steps", 1000)
    extended = await answer(polar, "study", "extend", study_id, "--training-steps", 2000)

    assert refused.exit_code == 2
    assert "training_steps is 1000; allowed: more than 1000" in refused.stderr
    assert (extended["state"], extended["trials_wanted"]) == ("running", 4)
    assert extended["training_steps_wanted"] == 2000
    assert extended["spec"]["base"]["training"]["steps"] == 1000  # as it was submitted


async def test_extending_a_study_like_a_run_extends_its_trainings(
    polar: "Polar", write: "Write", trials: "Trials"
) -> None:
    study_id = await created(polar, write, f"{BY_TRIALS}sampler: tpe\n")
    await trials.end(await trials.begin(study_id, beta=1.0), 0.5)
    await trials.end_study(study_id)

    extended = await polar("extend", study_id, "--steps", 8000)
    again = await answer(polar, "extend", study_id, "--steps", 9000)

    assert extended.exit_code == 0, extended.stderr
    assert f"polar study watch {study_id}" in extended.stderr
    assert f"study {study_id} 'mine': running" in extended.stdout
    assert again["training_steps_wanted"] == 9000
