"""`polar demo`: the whole main job on this machine, from nothing to a table."""

import sys
import time
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.live import Live
from rich.table import Table

from polar.spec import read_yaml

if TYPE_CHECKING:
    from service.api.views import RunView
    from service.client import Client

#: From hardly regularised to total collapse, on the demo's networks and budget.
BETAS = (0.05, 1.0, 4.0, 10.0, 40.0)
POLL_S = 0.5
#: MLflow lags behind by a second or two; after so long it is not coming.
MLFLOW_S = 30.0
#: Columns of a table that no terminal shows: wide enough for the links.
PIPE_WIDTH = 200


def demo(
    dataset: Annotated[
        str,
        typer.Option(help="digits and sprites need no download; others are in POLAR_DATA_DIR."),
    ] = "digits",
    home: Annotated[
        Path, typer.Option(envvar="POLAR_HOME", help="Where the stack keeps its state.")
    ] = Path("~/.polar"),
) -> None:
    """Start everything, train beta-VAEs from under-regularised to collapsed, show the table."""
    from service.client import Client, ClientError
    from service.embedded.errors import EmbeddedError
    from service.embedded.running import running_stack

    try:
        spec = _example(dataset)
        typer.echo("starting Postgres, MLflow, the API and the agents ...", err=True)
        with running_stack(home) as stack, Client(stack.api_url) as client:
            typer.echo(f"API {stack.api_url}  MLflow {stack.mlflow_url}", err=True)
            runs = _train(client, spec)
            Console(width=None if sys.stdout.isatty() else PIPE_WIDTH).print(_results(runs))
            if sys.stdout.isatty():
                _keep_open(stack.mlflow_url)
    except (EmbeddedError, ClientError) as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1) from error
    if any(run.state != "succeeded" for run in runs.values()):
        raise typer.Exit(1)


def _example(dataset: str) -> dict[str, Any]:
    """The example spec of a beta-VAE on this dataset, as it travels with the package."""
    paths = [path for path in files("polar.examples").iterdir() if path.name.endswith(".yaml")]
    specs: list[dict[str, Any]] = [read_yaml(path.read_text()) for path in paths]
    demos = {
        spec["dataset"]["name"]: spec for spec in specs if spec["model"]["name"] == "beta_vae"
    }
    if dataset not in demos:
        allowed = ", ".join(sorted(demos))
        typer.echo(f"error: no demo on {dataset!r}; allowed: {allowed}", err=True)
        raise typer.Exit(2)
    return demos[dataset]


def _train(client: "Client", spec: Mapping[str, Any]) -> "dict[float, RunView]":
    """Post one experiment for each beta and show them until all have ended."""
    submitted = {}
    for beta in BETAS:
        name = f"demo {spec['dataset']['name']} beta {beta:g}"
        one = {**spec, "name": name, "model": {**spec["model"], "beta": beta}}
        submitted[beta] = client.submit(one).runs[0].id
    console = Console(stderr=True)
    with Live(console=console, auto_refresh=False, transient=True) as live:
        announced: dict[float, str] = {}
        while True:
            runs = {beta: client.run(run_id) for beta, run_id in submitted.items()}
            live.update(_progress(runs), refresh=True)
            if not console.is_terminal:
                announced = _announce_changes(runs, announced)
            if all(run.state.is_final for run in runs.values()):
                break
            time.sleep(POLL_S)
    return _with_mlflow_links(client, runs)


def _with_mlflow_links(
    client: "Client", runs: "Mapping[float, RunView]"
) -> "dict[float, RunView]":
    deadline = time.monotonic() + MLFLOW_S
    while True:
        linked = {beta: client.run(run.id) for beta, run in runs.items()}
        if all(run.links["mlflow"] for run in linked.values()) or time.monotonic() > deadline:
            return linked
        time.sleep(POLL_S)


def _announce_changes(
    runs: "Mapping[float, RunView]", announced: Mapping[float, str]
) -> dict[float, str]:
    states = {beta: str(run.state) for beta, run in runs.items()}
    for beta, state in states.items():
        if announced.get(beta) != state:
            typer.echo(f"beta {beta:g}: {state}", err=True)
    return states


def _progress(runs: "Mapping[float, RunView]") -> Table:
    table = _table("beta", "state", "step", "left", "active", "P")
    for beta, run in runs.items():
        step, left, active, polarisation = "", "", "", ""
        if run.progress:
            step = f"{run.progress.step:,} / {run.progress.steps:,}"
            left = "" if run.state.is_final else f"{run.progress.eta_s:.0f} s"
        if run.verdict:
            active = f"{run.verdict.n_active} of {_latents(run)}"
            polarisation = f"{run.verdict.polarisation:.2f}"
        table.add_row(f"{beta:g}", run.state, step, left, active, polarisation)
    return table


def _results(runs: "Mapping[float, RunView]") -> Table:
    table = _table("beta", "active latents", "P", "explained", "verdict", "converged", "MLflow")
    for beta, run in runs.items():
        if run.result is None:
            table.add_row(f"{beta:g}", "", "", "", run.state, run.message or "", "")
            continue
        verdict = run.result.final.verdict
        table.add_row(
            f"{beta:g}",
            f"{verdict.n_active} of {_latents(run)}",
            f"{verdict.polarisation:.2f}",
            f"{verdict.explained:.2f}",
            verdict.regime,
            "yes" if run.result.converged else "no",
            run.links["mlflow"] or "not there yet",
        )
    return table


def _latents(run: "RunView") -> int:
    return int(run.spec["model"]["latent_dim"])


def _table(*columns: str) -> Table:
    table = Table(box=None, padding=(0, 1))
    for column in columns:
        table.add_column(column, no_wrap=True)
    return table


def _keep_open(mlflow_url: str) -> None:
    typer.echo(f"\nCompare the runs in MLflow: {mlflow_url}  (Ctrl-C stops everything)", err=True)
    try:
        while True:
            time.sleep(3600)
    except KeyboardInterrupt:
        typer.echo("stopping ...", err=True)
