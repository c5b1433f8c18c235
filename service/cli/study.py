"""`polar study`: submit a study, look at it, steer it.

Exit codes: 1 the study did not complete, 2 the service refused or the spec cannot be read, 3
nobody answers.
"""

import time
from enum import StrEnum
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from polar.errors import InvalidInput
from polar.spec import read_spec_file, read_yaml
from service.cli.remote import NOT_SUCCEEDED, Format, Output, Url, say, service_at, show

if TYPE_CHECKING:
    from service.api.views import StudyView
    from service.client import Client, Order

POLL_S = 1.0

app = typer.Typer(no_args_is_help=True, help="Where a latent space polarises, and where not.")

SpecFile = Annotated[Path, typer.Argument(help="YAML or JSON file of a study.")]
Id = Annotated[str, typer.Argument(help="Id of a study.")]


class Kind(StrEnum):
    CSV = "csv"
    PARQUET = "parquet"


@app.command()
def create(
    spec: SpecFile,
    wait: Annotated[bool, typer.Option("--wait", help="Watch it until it has ended.")] = False,
    output: Output = Format.TABLE,
    url: Url = None,
) -> None:
    """Submit a study."""
    with service_at(url) as client:
        study = client.create_study(read_yaml(read_spec_file(spec)))
        if wait:
            _watch(client, study, output)
        else:
            _show(client, study, output)
            say(f"watch it with: {study.watch}")


@app.command()
def validate(spec: SpecFile, output: Output = Format.TABLE, url: Url = None) -> None:
    """Check the spec of a study without submitting it, and say how long it would take."""
    with service_at(url) as client:
        from service.cli import study_tables

        show(client.validate_study(read_yaml(read_spec_file(spec))), study_tables.of_plan, output)


@app.command("list")
def list_studies(
    limit: Annotated[int, typer.Option(min=1, help="How many at most.")] = 20,
    output: Output = Format.TABLE,
    url: Url = None,
) -> None:
    """List studies, newest first."""
    with service_at(url) as client:
        from service.cli import study_tables

        show(list(islice(client.studies(), limit)), study_tables.of_studies, output)


@app.command("show")
def show_study(id: Id, output: Output = Format.TABLE, url: Url = None) -> None:
    """Show a study, and its trials."""
    with service_at(url) as client:
        _show(client, client.study(id), output)


@app.command()
def watch(id: Id, output: Output = Format.TABLE, url: Url = None) -> None:
    """Show a study live until it has ended; fails if it did not complete."""
    with service_at(url) as client:
        _watch(client, client.study(id), output)


@app.command()
def pause(id: Id, output: Output = Format.TABLE, url: Url = None) -> None:
    """Begin no new trials; those in flight go on."""
    _order(id, "pause", output, url)


@app.command()
def resume(id: Id, output: Output = Format.TABLE, url: Url = None) -> None:
    """Let a paused study go on."""
    _order(id, "resume", output, url)


@app.command()
def cancel(id: Id, output: Output = Format.TABLE, url: Url = None) -> None:
    """End a study, and those runs of its trials in flight that nobody else wants."""
    _order(id, "cancel", output, url)


@app.command()
def extend(
    id: Id,
    trials: Annotated[int, typer.Argument(help="How many more completed trials.")],
    output: Output = Format.TABLE,
    url: Url = None,
) -> None:
    """Let a study have more trials, also after its end."""
    with service_at(url) as client:
        _show(client, client.extend_study(id, trials), output)


@app.command()
def retry_failed(id: Id, output: Output = Format.TABLE, url: Url = None) -> None:
    """Try the points of failed trials again; nothing else is repeated."""
    _order(id, "retry-failed", output, url)


@app.command()
def export(
    id: Id,
    format: Annotated[Kind, typer.Option(help="For a spreadsheet, or for a program.")] = Kind.CSV,
    out: Annotated[
        Path | None, typer.Option(dir_okay=False, help="The file; by default stdout.")
    ] = None,
    url: Url = None,
) -> None:
    """Write all trials as one table."""
    with service_at(url) as client:
        content = client.export_trials(id, format)
        if out is None:
            typer.echo(content, nl=False)
            return
        try:
            out.write_bytes(content)
        except OSError as error:
            raise InvalidInput(f"cannot write {out}: {error.strerror}") from error


def _order(id: str, order: "Order", output: Format, url: str | None) -> None:
    with service_at(url) as client:
        _show(client, client.order_study(id, order), output)


def _show(client: "Client", study: "StudyView", output: Format) -> None:
    from service.cli import study_tables

    show(study, lambda study: study_tables.of_study(study, client.trials(study.id)), output)


def _watch(client: "Client", study: "StudyView", output: Format) -> None:
    from service.cli import study_tables

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[status]}"),
    )
    with Progress(*columns, console=Console(stderr=True)) as bars:
        line = bars.add_task("trials", total=study.trials_wanted, status="")
        while True:
            bars.update(
                line,
                completed=study_tables.count_completed(study.trials),
                total=study.trials_wanted,
                status=study_tables.status(study),
            )
            if study.finished_at is not None:
                break
            time.sleep(POLL_S)
            study = client.study(study.id)
    _show(client, study, output)
    if study.state != "completed":
        raise typer.Exit(NOT_SUCCEEDED)
