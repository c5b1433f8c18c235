"""`polar study`: submit studies, look at them and steer them.

Exit codes: FAILED when a study did not complete, REFUSED when the service refused or the spec
cannot be read, UNREACHABLE when nobody answers or the stack does not start, INTERRUPTED on Ctrl-C.
"""

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from polar.errors import InvalidInput
from polar.spec import read_spec_file, read_yaml
from service.cli import notifying, study_figure, study_front
from service.cli.connection import Url, option_of, service_at
from service.cli.delete import Yes
from service.cli.describe import Note, Tags, tags_of
from service.cli.lists import list_studies
from service.cli.notifying import Notify
from service.cli.out_files import replacing
from service.cli.output import Format, Output, fail, going_on, say, show, write
from service.cli.own_images import content_of
from service.cli.study_figure import meant
from service.exit_codes import FAILED, INTERRUPTED, REFUSED, UNREACHABLE
from service.homes import DEFAULT_HOME

if TYPE_CHECKING:
    from service.api.studies.schemas import StudyView
    from service.client import Client, Order

app = typer.Typer(no_args_is_help=True, help="Find where a latent space is clean.")
app.command()(study_figure.figure)
app.command()(study_front.pareto)

SpecFile = Annotated[Path, typer.Argument(help="YAML or JSON file of a study.")]
Id = study_figure.Id
Home = Annotated[
    Path, typer.Option(envvar="POLAR_HOME", help="Folder in which the stack keeps its state.")
]


class Kind(StrEnum):
    CSV = "csv"
    PARQUET = "parquet"
    SQLITE = "sqlite"


@app.command()
def create(
    spec: SpecFile,
    wait: Annotated[
        bool, typer.Option("--wait", help="Watch the study until it has ended.")
    ] = False,
    tag: Tags = None,
    note: Note = "",
    output: Output = Format.TABLE,
    url: Url = None,
) -> None:
    """Submit a study."""
    with service_at(url) as client:
        read = content_of(spec, client)
        study = client.create_study(read, tags=tags_of(tag or ()), note=note)
        follow(client, study, "submitted", wait=wait, output=output, url=url)


@app.command()
def run(
    specs: Annotated[list[Path], typer.Argument(help="YAML or JSON files, each of one study.")],
    home: Home = DEFAULT_HOME,
    tag: Tags = None,
    note: Note = "",
    output: Output = Format.TABLE,
) -> None:
    """Start everything on this machine, carry out studies together, and show what they found.

    A stack that is running already is used and left running.
    """
    from service.embedded.errors import EmbeddedError
    from service.embedded.running import running_stack

    try:
        for path in specs:
            read_yaml(read_spec_file(path))  # nothing starts for a file that cannot be read
        say("starting everything, unless it runs already ...")
        with running_stack(home) as stack, service_at(stack.api_url, home) as client:
            say(f"API {stack.api_url}  MLflow {stack.mlflow_url}")
            say(f"optuna-dashboard {stack.dashboard_url}")
            read = [content_of(path, client) for path in specs]
            for spec in read:  # all specs are checked before the first study begins
                client.validate_study(spec)
            tags = tags_of(tag or ())
            studies = [client.create_study(spec, tags=tags, note=note) for spec in read]
            _run(client, studies, output)
    except InvalidInput as error:
        fail(error, REFUSED)
    except EmbeddedError as error:
        fail(error, UNREACHABLE)


def _run(client: "Client", studies: "Sequence[StudyView]", output: Format) -> None:
    from service.cli.study_watching import until_they_end

    how = [study.watch for study in studies]
    try:
        studies = until_they_end(client, studies, "submitted; to watch from elsewhere:", *how)
    except KeyboardInterrupt:
        say("stored as far as they came; they go on while `polar up` runs, watch them with:", *how)
        raise typer.Exit(INTERRUPTED) from None
    if len(studies) == 1:
        _show(client, studies[0], output)
    else:
        from service.cli import study_tables

        show(studies, study_tables.of_ranges, output)
    if any(study.state != "completed" for study in studies):
        raise typer.Exit(FAILED)


@app.command()
def validate(spec: SpecFile, output: Output = Format.TABLE, url: Url = None) -> None:
    """Check the spec of a study without submitting it, and say how long it would take."""
    with service_at(url) as client:
        from service.cli import study_tables

        show(client.validate_study(content_of(spec, client)), study_tables.of_plan, output)


app.command("list")(list_studies)


@app.command("show")
def show_study(id: Id, output: Output = Format.TABLE, url: Url = None) -> None:
    """Show a study and its trials."""
    with service_at(url) as client:
        _show(client, client.study(meant(client, id)), output)


@app.command()
def watch(id: Id, notify: Notify = False, output: Output = Format.TABLE, url: Url = None) -> None:
    """Show a study and its trials live until it has ended, and fail if it did not complete."""
    with service_at(url, instead="polar watch") as client:
        study = client.study(meant(client, id))
        _watch(client, study, output, url, is_to_notify=notify)


@app.command()
def pause(id: Id, output: Output = Format.TABLE, url: Url = None) -> None:
    """Pause a study: it begins no new trials, and trials in flight go on."""
    _order(id, "pause", output, url)


@app.command()
def resume(id: Id, output: Output = Format.TABLE, url: Url = None) -> None:
    """Resume a paused study."""
    _order(id, "resume", output, url)


@app.command()
def cancel(id: Id, output: Output = Format.TABLE, url: Url = None) -> None:
    """Cancel a study, and those runs of its trials in flight that nobody else wants."""
    _order(id, "cancel", output, url, instead="polar cancel")


@app.command("delete")
def delete_study(id: Id, yes: Yes = False, output: Output = Format.TABLE, url: Url = None) -> None:
    """Delete a study for good, its trials, and those of their runs that nobody else has."""
    with service_at(url, instead="polar delete") as client:
        from service.cli import delete
        from service.client import Study

        found = client.study(delete.meant(client, id, Study))
        delete.delete_all(client, [found], yes, output)


@app.command()
def extend(
    id: Id,
    trials: Annotated[
        int | None, typer.Argument(help="How many more completed trials.", show_default="none")
    ] = None,
    budget_steps: Annotated[
        int | None, typer.Option(min=1, help="How many more steps for a budget of steps.")
    ] = None,
    training_steps: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Number of steps at the end of each training, those of before included.",
        ),
    ] = None,
    seeds: Annotated[
        list[int] | None,
        typer.Option("--seeds", help="Another seed for every trial; may be given several times."),
    ] = None,
    output: Output = Format.TABLE,
    url: Url = None,
) -> None:
    """Add trials, steps, seeds or longer trainings, even after the end; no run is repeated."""
    with service_at(url) as client:
        if (trials, budget_steps, training_steps) == (None, None, None) and not seeds:
            raise InvalidInput(
                "say how many more trials, which --seeds, how many more --budget-steps, or how "
                f"many --training-steps: polar study extend {id} 8"
            )
        extended = client.extend_study(
            meant(client, id),
            trials,
            seeds or (),
            budget_steps=budget_steps,
            training_steps=training_steps,
        )
        _show(client, extended, output)


@app.command()
def retry_failed(id: Id, output: Output = Format.TABLE, url: Url = None) -> None:
    """Try the points of failed trials again; nothing else is repeated."""
    _order(id, "retry-failed", output, url)


@app.command()
def export(
    id: Id,
    format: Annotated[
        Kind,
        typer.Option(
            help="All trials as a table for a spreadsheet (csv) or a program (parquet), or the "
            "whole study as a file that Optuna and its dashboard open (sqlite)."
        ),
    ] = Kind.CSV,
    out: Annotated[
        Path | None,
        typer.Option(dir_okay=False, help="File to write or replace; by default stdout."),
    ] = None,
    url: Url = None,
) -> None:
    """Write a study into one file."""
    with service_at(url) as client:
        id = meant(client, id)
        if format is Kind.SQLITE:
            _export_study(client, id, out)
            return
        content = client.export_trials(id, format)
        if out is None:
            write(content)
            return
        with replacing(out) as aside:
            aside.write_bytes(content)


def _export_study(client: "Client", id: str, out: Path | None) -> None:
    if out is None:
        raise InvalidInput("stdout is no place for a database; allowed: a file, with --out FILE")
    from service.cli.portable import export_study

    export_study(client, id, out)


@app.command()
def dsn(id: Id, home: Home = DEFAULT_HOME, url: Url = None) -> None:
    """Print how to open a study with optuna.load_study, including the database's password.

    The address is that of POLAR_OPTUNA_URL or POLAR_DATABASE_URL, or else that of the home.
    """
    with service_at(url, home=None if url else home) as client:
        from service.cli import study_dsn

        study = client.study(meant(client, id))
        write(study_dsn.how_to_open(study, study_dsn.find_storage(client.url, home)))


def _order(
    id: str, order: "Order", output: Format, url: str | None, instead: str = "polar get"
) -> None:
    with service_at(url, instead=instead) as client:
        _show(client, client.order_study(meant(client, id), order), output)


def follow(
    client: "Client", study: "StudyView", done: str, *, wait: bool, output: Format, url: str | None
) -> None:
    """Watch a study to which this was done, or show it and say how to watch it."""
    if wait:
        _watch(client, study, output, url, f"{done} study {study.id}")
    else:
        _show(client, study, output)
        say(f"watch it with: {study.watch}{option_of(url)}")


def _show(client: "Client", study: "StudyView", output: Format) -> None:
    from service.cli import study_tables

    show(study, lambda study: study_tables.of_study(study, client.trials(study.id)), output)


def _watch(
    client: "Client",
    study: "StudyView",
    output: Format,
    url: str | None,
    *news: str,
    is_to_notify: bool = False,
) -> None:
    from service.cli.tables import shown_id

    with going_on(f"{study.watch}{option_of(url)}"):
        from service.cli.study_watching import until_they_end

        (study,) = until_they_end(client, [study], *news)
    _show(client, study, output)
    if is_to_notify:
        notifying.notify(f"study {study.name or shown_id(study.id)}: {study.state}")
    if study.state != "completed":
        raise typer.Exit(FAILED)
