"""The commands that speak with the service: submit, list, get, watch, cancel, validate.

Exit codes: 1 a run did not succeed, 2 the service refused or the spec cannot be read, 3 nobody
answers. Imports of the client are inside, so that `polar --help` is quick.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer
from pydantic import RootModel
from rich.console import Console, RenderableType

from polar.errors import InvalidInput
from polar.spec import read_spec_file, read_yaml

if TYPE_CHECKING:
    from service.api.views import ExperimentView, RunView
    from service.cli.tables import Answer
    from service.client import Client

T = TypeVar("T")

NOT_SUCCEEDED, REFUSED, UNREACHABLE = 1, 2, 3
#: Columns of a table that no terminal shows: wide enough for ids, whole for `grep`.
PIPE_WIDTH = 200


class Format(StrEnum):
    TABLE = "table"
    JSON = "json"


SpecFile = Annotated[Path, typer.Argument(help="YAML or JSON file of an experiment.")]
Id = Annotated[str, typer.Argument(help="Id of an experiment or of a run.")]
Url = Annotated[
    str | None,
    typer.Option(
        envvar="POLAR_URL", help="Address of the service. By default that of `polar up`."
    ),
]
Output = Annotated[Format, typer.Option("--output", "-o", help="What stdout gets.")]


def submit(
    spec: SpecFile,
    wait: Annotated[bool, typer.Option("--wait", help="Watch it until it has ended.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Share no run, make all anew.")] = False,
    idempotency_key: Annotated[
        str | None, typer.Option(help="Submit once for this key, however often it is said.")
    ] = None,
    output: Output = Format.TABLE,
    url: Url = None,
) -> None:
    """Submit an experiment; runs that exist already are shared."""
    with service_at(url) as client:
        data = read_yaml(read_spec_file(spec))
        experiment = client.submit(data, force=force, key=idempotency_key)
        if wait:
            _watch(client, experiment, output)
        else:
            _show(experiment, output)
            say(f"watch it with: {experiment.watch}")


def validate(spec: SpecFile, output: Output = Format.TABLE, url: Url = None) -> None:
    """Check a spec without submitting it, and say which of its runs exist already."""
    with service_at(url) as client:
        _show(client.validate(read_yaml(read_spec_file(spec))), output)


def list_experiments(
    limit: Annotated[int, typer.Option(min=1, help="How many at most.")] = 20,
    output: Output = Format.TABLE,
    url: Url = None,
) -> None:
    """List experiments, newest first."""
    with service_at(url) as client:
        _show(list(islice(client.experiments(), limit)), output)


def get(id: Id, output: Output = Format.TABLE, url: Url = None) -> None:
    """Show an experiment or a run."""
    with service_at(url) as client:
        _show(client.find(id), output)


def watch(id: Id, output: Output = Format.TABLE, url: Url = None) -> None:
    """Show an experiment or a run live until it has ended; fails if a run did not succeed."""
    with service_at(url) as client:
        _watch(client, client.find(id), output)


def cancel(id: Id, output: Output = Format.TABLE, url: Url = None) -> None:
    """Cancel a run, or an experiment with those of its runs that no other one wants."""
    with service_at(url) as client:
        _show(client.cancel(id), output)


@contextmanager
def service_at(url: str | None) -> Iterator["Client"]:
    """A client whose errors end the command, with a message and an exit code."""
    from service.client import Client, ClientError, Refused, Unreachable

    try:
        with Client(url) as client:
            yield client
    except Refused as refused:
        faults = [str(fault) for fault in refused.problem.errors]
        say("error: the service refuses this", *(faults or [str(refused)]))
        raise typer.Exit(REFUSED) from None
    except Unreachable as error:
        hint = "start it with `polar up`, or say where it is with --url or POLAR_URL"
        say(f"error: {error}", hint)
        raise typer.Exit(UNREACHABLE) from None
    except (ClientError, InvalidInput) as error:
        say(f"error: {error}")
        raise typer.Exit(REFUSED) from None


def _watch(client: "Client", found: "ExperimentView | RunView", output: Format) -> None:
    from service.cli import watching

    names = {run.id: f"seed {run.seed}" for run in watching.runs_of(found)}
    watching.show(client.watch(found.id), names)
    found = client.find(found.id)
    _show(found, output)
    if any(run.state != "succeeded" for run in watching.runs_of(found)):
        raise typer.Exit(NOT_SUCCEEDED)


def _show(answer: "Answer", output: Format) -> None:
    from service.cli import tables

    show(answer, tables.of, output)


def show(answer: T, table: Callable[[T], RenderableType], output: Format) -> None:
    """What stdout gets: the answer of the service, or its table."""
    if output is Format.JSON:
        typer.echo(RootModel[Any](answer).model_dump_json(indent=2))
    else:
        width = None if sys.stdout.isatty() else PIPE_WIDTH
        Console(width=width, markup=False, highlight=False).print(table(answer))


def say(*lines: str) -> None:
    """What stderr gets."""
    typer.echo("\n  ".join(lines), err=True)
