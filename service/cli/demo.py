"""`polar demo`: the whole main job on this machine, from nothing to a range and its figure."""

import sys
import time
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any

import typer

from polar.errors import InvalidInput
from polar.spec import read_yaml
from service.cli.output import fail, say
from service.exit_codes import FAILED, REFUSED
from service.homes import DEFAULT_HOME

#: Betas among which the band is searched: from hardly regularised to totally collapsed.
BETAS = (0.01, 100.0)
#: A constant large beta ends in total collapse where better solutions exist (decision 0018).
RISE = {"weight_warm_up": {"fraction": 0.5, "scale": "linear"}}


def demo(
    dataset: Annotated[
        str,
        typer.Option(
            help="digits and sprites need no download; others must be in POLAR_DATA_DIR."
        ),
    ] = "digits",
    trials: Annotated[
        int, typer.Option(min=1, max=1000, help="More trials locate the edges more closely.")
    ] = 8,
    home: Annotated[
        Path, typer.Option(envvar="POLAR_HOME", help="Folder in which the stack keeps its state.")
    ] = DEFAULT_HOME,
) -> None:
    """Start everything and draw the betas at which the latent space of a beta-VAE is clean."""
    from service.cli import demo_study
    from service.client import Client, ClientError
    from service.embedded.errors import EmbeddedError
    from service.embedded.running import running_stack
    from service.homes import resolved_home

    spec = _study_of(_example(dataset), trials)
    try:
        say("starting Postgres, MLflow, the API and the agents ...")
        with running_stack(home) as stack, Client(stack.api_url, home=home) as client:
            say(f"API {stack.api_url}  MLflow {stack.mlflow_url}")
            study = demo_study.search(client, spec)
            picture = resolved_home(home) / "demo" / f"{dataset}.png"
            demo_study.show_findings(client, study, picture)
            if sys.stdout.isatty():
                _keep_open(stack.mlflow_url)
    except (EmbeddedError, ClientError, InvalidInput) as error:
        fail(error, FAILED)
    if study.state != "completed":
        raise typer.Exit(FAILED)


def _example(dataset: str) -> dict[str, Any]:
    """The example spec of a beta-VAE on this dataset, which the package contains.

    It stays raw, as does every spec that a client sends: the service completes and checks it.
    """
    paths = [path for path in files("polar.examples").iterdir() if path.name.endswith(".yaml")]
    specs: list[dict[str, Any]] = [read_yaml(path.read_text()) for path in paths]
    demos = {
        spec["dataset"]["name"]: spec for spec in specs if spec["model"]["name"] == "beta_vae"
    }
    if dataset not in demos:
        allowed = ", ".join(sorted(demos))
        fail(f"there is no demo on {dataset!r}; allowed: {allowed}", REFUSED)
    return demos[dataset]


def _study_of(example: Mapping[str, Any], trials: int) -> Mapping[str, object]:
    return {
        "name": f"demo {example['dataset']['name']}",
        "base": {**example, "training": {**example["training"], **RISE}, "seeds": [0]},
        "search": {"model.beta": {"log_uniform": BETAS}},
        "sampler": "range",
        "budget": {"trials": trials},
        "concurrency": 2,
    }


def _keep_open(mlflow_url: str) -> None:
    say("", f"Compare the runs in MLflow: {mlflow_url}  (Ctrl-C stops everything)")
    say("`polar login --open`, in another terminal, lets your browser in first")
    try:
        while True:
            time.sleep(3600)
    except KeyboardInterrupt:
        say("stopping ...")
