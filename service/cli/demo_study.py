"""The study of the demo: post it, show it, and report what it found."""

import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import RenderableType
from rich.live import Live

from polar.records.phases import StudyFigure
from polar.records.words import SETTLED
from service.api.experiments.schemas import RunOfExperiment
from service.api.studies.schemas import StudyView, TrialView
from service.cli import verdicts
from service.cli.bars import time_left
from service.cli.connection import spec_of
from service.cli.output import console_on, say, write, write_table
from service.cli.range_tables import in_words
from service.cli.rows import Rows
from service.cli.study_figure import save_figure
from service.client import Client

POLL_S = 1.0
#: Longest wait for MLflow, which usually lags behind by a second or two.
MLFLOW_S = 30.0

#: Trials, each with its only run.
Trained = Sequence[tuple[TrialView, RunOfExperiment]]


def search(client: Client, spec: Mapping[str, Any]) -> StudyView:
    """Post the study and show its trials until it has ended."""
    study = client.create_study(spec)
    console = console_on(sys.stderr)
    with Live(console=console, auto_refresh=False, transient=True) as live:
        announced: dict[int, str] = {}
        while study.finished_at is None:
            time.sleep(POLL_S)
            study = client.study(study.id)
            if console.is_terminal:
                live.update(_of_progress(_rows(client, study)), refresh=True)
            else:
                announced = _announce_changes(client.trials(study.id), announced)
    return study


def _rows(client: Client, study: StudyView) -> Trained:
    """The trials with their runs, by ascending beta."""
    trials = sorted(client.trials(study.id), key=_beta)
    return [(trial, client.experiment(trial.experiment_id).runs[0]) for trial in trials]


def _announce_changes(trials: Iterable[TrialView], announced: Mapping[int, str]) -> dict[int, str]:
    states = {}
    for trial in trials:
        states[trial.number] = str(trial.state)
        if announced.get(trial.number) != trial.state:
            say(f"beta {_beta(trial):.4g}: {trial.state}")
    return states


def show_findings(client: Client, study: StudyView, picture: Path) -> None:
    """Print the table and the range, and draw the figure."""
    rows = _with_mlflow_links(client, study)
    latents = spec_of(study).base.model.latent_dim
    write_table(_of_results(rows, latents, has_links=not sys.stdout.isatty()))
    write(f"MLflow: {client.study(study.id).links['mlflow'] or 'not there yet'}")
    if study.range is not None:
        write("")
        write_table(f"beta: {in_words(study.range)}")
        drawn = save_figure(client, study.id, StudyFigure.PHASE_DIAGRAM, picture)
        write(f"drawn in {drawn[0]}")


def _with_mlflow_links(client: Client, study: StudyView) -> Trained:
    deadline = time.monotonic() + MLFLOW_S
    while True:
        rows = _rows(client, study)
        if all(run.links["mlflow"] for _, run in rows) or time.monotonic() > deadline:
            return rows
        time.sleep(POLL_S)


def _of_progress(rows: Trained) -> RenderableType:
    table = Rows("beta", "state", "step", "time", "active", "P")
    for trial, run in rows:
        step, left, active, polarisation = "", "", "", ""
        if run.progress:
            step = f"{run.progress.step:,} / {run.progress.steps:,}"
            left = "" if run.state.is_final else time_left(run.progress)
        if run.verdict:
            active = f"{run.verdict.n_active}"
            polarisation = f"{run.verdict.polarisation:.2f}"
        table.add(f"{_beta(trial):.4g}", run.state, step, left, active, polarisation)
    return table


def _of_results(trained: Trained, latents: int, has_links: bool) -> RenderableType:
    """Table of the results, with a column of links, or with weights that are links."""
    links = ["MLflow"] if has_links else []
    verdict = ("active latents", "P", "explained", "verdict", "settled")
    table = Rows("beta", *verdict, *links, "note")
    for trial, run in trained:
        link = run.links["mlflow"]
        cells = ["", "", "", run.state, ""]
        note = run.message
        if trial.state == "completed" and run.verdict is not None:
            cells = [
                verdicts.active(run.verdict, latents),
                f"{run.verdict.polarisation:.2f}",
                verdicts.explained(run.verdict),
                verdicts.regime(run.verdict),
                SETTLED[run.settled],
            ]
            note = None
        shown = [link or "not there yet"] if has_links else []
        table.add(f"{_beta(trial):.4g}", *cells, *shown, note, link=link)
    return table


def _beta(trial: TrialView) -> float:
    return float(trial.point["model.beta"])
