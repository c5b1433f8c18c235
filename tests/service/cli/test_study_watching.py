"""What `polar study watch` shows of trials in flight, and how it says that they have ended."""

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast
from uuid import uuid4

import pytest

from service.api.experiments.schemas import ExperimentView
from service.cli import notifying, study_watching
from service.cli.bars import Bars
from service.storage.states import RunState, TrialState

if TYPE_CHECKING:
    from service.client import Client
    from tests.conftest import Reports


def experiment_of(*runs: Any, state: RunState = RunState.RUNNING) -> ExperimentView:  # noqa: ANN401
    return cast(ExperimentView, SimpleNamespace(state=state, runs=runs))


def run_in(state: RunState, progress: object = None, verdict: object = None) -> SimpleNamespace:
    return SimpleNamespace(state=state, progress=progress, verdict=verdict)


def test_a_trial_counts_the_steps_of_all_its_seeds(reports: "Reports") -> None:
    ten, forty = reports.progress(10), reports.progress(40)
    running, ended = RunState.RUNNING, RunState.SUCCEEDED

    both = experiment_of(run_in(running, ten), run_in(ended, forty))
    waits = experiment_of(run_in(running, ten), run_in(RunState.QUEUED))

    assert study_watching.steps_of(both) == (10 + forty.steps, ten.steps + forty.steps)
    assert study_watching.steps_of(waits) == (10, None)


def test_a_trial_takes_as_long_as_its_slowest_seed(reports: "Reports") -> None:
    quick = reports.progress(10).model_copy(update={"eta_s": 5.0})
    slow = reports.progress(10).model_copy(update={"eta_s": 90.0})

    both = experiment_of(run_in(RunState.RUNNING, quick), run_in(RunState.RUNNING, slow))

    assert study_watching.status_of(both) == "0:01:30 left"
    waits, starts = run_in(RunState.QUEUED), run_in(RunState.RUNNING)
    one = experiment_of(waits, state=RunState.QUEUED)
    assert study_watching.status_of(one) == "waits for an agent"
    assert study_watching.status_of(experiment_of(starts)) == "is starting"
    assert (
        study_watching.status_of(experiment_of(waits, run_in(RunState.SUCCEEDED, quick)))
        == "running"
    )


def test_each_verdict_is_said_once(reports: "Reports") -> None:
    verdict = reports.evaluation(10).verdict
    seeds = [run_in(RunState.RUNNING, verdict=verdict) for _ in range(2)]

    said = study_watching.verdict_of(experiment_of(*seeds, run_in(RunState.QUEUED)))

    assert said == f"{verdict.regime}, P {verdict.polarisation:.2f}"


def test_different_verdicts_of_a_trial_are_all_said(reports: "Reports") -> None:
    verdict = reports.evaluation(10).verdict
    other = verdict.model_copy(update={"polarisation": 0.125})
    seeds = [run_in(RunState.RUNNING, verdict=each) for each in (verdict, other)]

    said = study_watching.verdict_of(experiment_of(*seeds))

    assert said == f"clean, P {verdict.polarisation:.2f}; clean, P 0.12"


def test_a_bar_is_there_for_each_trial_in_flight_and_gone_with_it(reports: "Reports") -> None:
    shown = run_in(RunState.RUNNING, reports.progress(10), reports.evaluation(10).verdict)
    client = SimpleNamespace(experiment=lambda _: experiment_of(shown))
    bars = Bars()
    trials = study_watching.TrialsInFlight(cast("Client", client), bars)
    study_id = uuid4()
    in_flight = [
        SimpleNamespace(number=number, point={"model.beta": 2.0}, experiment_id=uuid4())
        for number in (3, 4)
    ]

    def after(count: int) -> list[str]:
        trials._trials = {study_id: cast(Any, in_flight[:count])}
        trials._show()
        return [task.description for task in bars.tasks]

    assert after(2) == ["trial 3 model.beta=2", "trial 4 model.beta=2"]
    bar = bars.tasks[0]
    assert (bar.completed, bar.total) == (10, reports.progress(10).steps)
    assert bar.fields["verdict"].startswith("clean, P ")
    assert after(1) == ["trial 3 model.beta=2"]
    assert after(0) == []


def test_trials_are_listed_only_where_some_are_in_flight() -> None:
    running, ended = (SimpleNamespace(state=state) for state in (TrialState.RUNNING, "completed"))
    asked = []

    def listed(id: object) -> list[SimpleNamespace]:
        asked.append(id)
        return [ended, running]

    client = cast("Client", SimpleNamespace(trials=listed))
    trials = study_watching.TrialsInFlight(client, Bars())

    busy = SimpleNamespace(id=1, trials={TrialState.RUNNING: 1, TrialState.COMPLETED: 1})
    idle = SimpleNamespace(id=2, trials={TrialState.COMPLETED: 1})
    assert trials._in_flight(cast(Any, busy)) == [running]
    assert trials._in_flight(cast(Any, idle)) == []
    assert asked == [1]


@pytest.mark.parametrize("program", ["notify-send", "osascript"])
def test_a_notification_passes_its_message_as_it_is(
    program: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / program
    script.write_text(f'#!/bin/sh\nfor word; do echo "$word"; done > {tmp_path}/said\n')
    script.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    message = 'study --"$(touch x)": completed'

    notifying.notify(message)

    assert (tmp_path / "said").read_text().splitlines()[-1] == message


def test_without_a_desktop_and_a_terminal_nothing_is_notified(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    notifying.notify("ended")

    assert capsys.readouterr() == ("", "")


def test_a_terminal_rings_its_bell() -> None:
    program = "from service.cli.notifying import notify; notify('ended')"
    ours, theirs = os.openpty()
    subprocess.run(
        [sys.executable, "-c", program], stderr=theirs, env={**os.environ, "PATH": ""}, check=True
    )
    os.close(theirs)

    assert os.read(ours, 10) == b"\a"
    os.close(ours)
