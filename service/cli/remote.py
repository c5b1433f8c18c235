"""The commands that talk to the service: submit, get, rerun, watch, extend, cancel, validate.

Exit codes: FAILED when a run did not succeed, REFUSED when the service refused or the spec cannot
be read, UNREACHABLE when nobody answers, INTERRUPTED on Ctrl-C.
"""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from service.cli import notifying
from service.cli.connection import Url, option_of, service_at
from service.cli.describe import Note, Tags, tags_of
from service.cli.lists import FullIds
from service.cli.notifying import Notify
from service.cli.output import Format, Output, going_on, say, show
from service.exit_codes import FAILED

if TYPE_CHECKING:
    from service.api.experiments.schemas import ExperimentView
    from service.api.runs.schemas import RunView
    from service.cli.tables import Answer
    from service.client import Client

SpecFile = Annotated[Path, typer.Argument(help="YAML or JSON file of an experiment.")]
Id = Annotated[
    str, typer.Argument(help="Id of an experiment or of a run, how it begins, or a name.")
]
Extensible = Annotated[
    str,
    typer.Argument(help="Id of an experiment, of a run or of a study, how it begins, or a name."),
]


def submit(
    spec: SpecFile,
    wait: Annotated[
        bool, typer.Option("--wait", help="Watch the experiment until it has ended.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Train all runs anew and share none.")
    ] = False,
    idempotency_key: Annotated[
        str | None,
        typer.Option(help="Submit once for this key, however often the command is repeated."),
    ] = None,
    tag: Tags = None,
    note: Note = "",
    output: Output = Format.TABLE,
    url: Url = None,
) -> None:
    """Submit an experiment; runs that exist already are shared."""
    with service_at(url) as client:
        from service.cli.own_images import content_of

        experiment = client.submit(
            content_of(spec, client),
            force=force,
            key=idempotency_key,
            tags=tags_of(tag or ()),
            note=note,
        )
        _follow(client, experiment, "submitted", wait=wait, output=output, url=url)


def extend(
    id: Extensible,
    steps: Annotated[
        int, typer.Option(min=1, help="Number of steps at the end, those of before included.")
    ],
    wait: Annotated[bool, typer.Option("--wait", help="Watch until it has ended.")] = False,
    output: Output = Format.TABLE,
    url: Url = None,
) -> None:
    """Go on with a finished run, or with those of an experiment or of a study, to more steps."""
    with service_at(url) as client:
        from service.api.experiments.schemas import ExperimentView
        from service.cli import study

        extended = client.extend(client.meant(id), steps)
        if isinstance(extended, ExperimentView):
            done = f"extended {id} to {steps:,} steps:"
            _follow(client, extended, done, wait=wait, output=output, url=url)
        else:
            study.follow(client, extended, "extended", wait=wait, output=output, url=url)


def rerun(
    id: Annotated[str, typer.Argument(help="Id of a run, how it begins, or its name.")],
    wait: Annotated[bool, typer.Option("--wait", help="Watch until it has ended.")] = False,
    output: Output = Format.TABLE,
    url: Url = None,
) -> None:
    """Try a failed or cancelled run again in a new experiment, whose tag `repeats` names it."""
    with service_at(url) as client:
        from service.client import Run

        experiment = client.rerun(client.meant(id, Run))
        _follow(client, experiment, f"run {id} is repeated by", wait=wait, output=output, url=url)


def validate(spec: SpecFile, output: Output = Format.TABLE, url: Url = None) -> None:
    """Check a spec without submitting it, and say which of its runs exist already."""
    with service_at(url) as client:
        from service.cli.own_images import content_of

        _show(client.validate(content_of(spec, client)), output)


def get(
    id: Id,
    findings: Annotated[
        bool,
        typer.Option(
            "--findings",
            help="Have the figures and tables of a run made before others, and failed ones again.",
        ),
    ] = False,
    model: Annotated[
        Path | None,
        typer.Option(help="File to write the trained model of a run to, which polar.load loads."),
    ] = None,
    full_ids: FullIds = False,
    output: Output = Format.TABLE,
    url: Url = None,
) -> None:
    """Show an experiment or a run."""
    with service_at(url, instead="polar study show") as client:
        id = meant(client, id)
        if model:
            _write_model(client, id, model)
        _show(client.ask_for_findings(id) if findings else client.find(id), output, full_ids)


def watch(id: Id, notify: Notify = False, output: Output = Format.TABLE, url: Url = None) -> None:
    """Show an experiment or a run live until it has ended, and fail if a run did not succeed."""
    with service_at(url, instead="polar study watch") as client:
        watched = client.find(meant(client, id))
        _watch(client, watched, output, url, is_to_notify=notify)


def cancel(id: Id, output: Output = Format.TABLE, url: Url = None) -> None:
    """Cancel a run, or an experiment with those of its runs that no other experiment wants."""
    with service_at(url, instead="polar study cancel") as client:
        _show(client.cancel(meant(client, id)), output)


def meant(client: "Client", written: str) -> str:
    """The id of the experiment or of the run that somebody means."""
    from service.client import Experiment, Run

    return client.meant(written, Experiment, Run)


def _write_model(client: "Client", run_id: str, out: Path) -> None:
    from service.cli.out_files import replacing

    with replacing(out) as aside:
        aside.write_bytes(client.model_file(run_id))
    say(f"wrote {out}, which polar.load reads")


def _follow(
    client: "Client",
    experiment: "ExperimentView",
    done: str,
    *,
    wait: bool,
    output: Format,
    url: str | None,
) -> None:
    """Watch an experiment to which this was done, or show it and say how to watch it."""
    if wait:
        _watch(client, experiment, output, url, f"{done} experiment {experiment.id}")
    else:
        _show(experiment, output)
        say(f"watch it with: {experiment.watch}{option_of(url)}")


def _watch(
    client: "Client",
    watched: "ExperimentView | RunView",
    output: Format,
    url: str | None,
    *news: str,
    is_to_notify: bool = False,
) -> None:
    with going_on(f"polar watch {watched.id}{option_of(url)}"):
        from service.cli import watching

        say(*news)
        watching.show(client.watch(watched.id), watching.runs_of(watched))
    ended = client.find(watched.id)
    _show(ended, output)
    if is_to_notify:
        notifying.notify(ended.title)
    if any(run.state != "succeeded" for run in watching.runs_of(ended)):
        raise typer.Exit(FAILED)


def _show(answer: "Answer", output: Format, full_ids: bool = False) -> None:
    from service.cli import tables

    show(answer, partial(tables.of, full_ids=full_ids), output)
