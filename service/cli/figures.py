"""`polar figures`: all pictures of a run, of the runs of an experiment, or of a study, as files.

Exit codes: FAILED when figures could not be made, REFUSED when the service refuses or a file
cannot be written, UNREACHABLE when nobody answers, INTERRUPTED on Ctrl-C.
"""

import time
from collections.abc import Iterator, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from polar.errors import InvalidInput
from service.cli.connection import Url, option_of, service_at
from service.cli.out_files import replacing
from service.cli.output import Format, Output, fail, going_on, say, write, write_json
from service.exit_codes import FAILED

if TYPE_CHECKING:
    from service.client import Client, Experiment, Picture, Run, Study

#: Seconds between two looks at figures that are to come.
POLL_S = 1.0


class Kind(StrEnum):
    PNG = "png"
    SVG = "svg"
    PDF = "pdf"


def figures(
    id: Annotated[
        str,
        typer.Argument(help="Id of a run, an experiment or a study, how it begins, or a name."),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            file_okay=False,
            help="Folder for the pictures.",
            show_default="figures- and the first digits of the id",
        ),
    ] = None,
    format: Annotated[
        Kind,
        typer.Option(help="As pixels, or as lines and text for a paper, drawn when asked for."),
    ] = Kind.PNG,
    output: Output = Format.TABLE,
    url: Url = None,
) -> None:
    """Save all figures of a run, an experiment or a study; those to come are waited for."""
    with service_at(url) as client, going_on(f"polar figures {id}{option_of(url)}"):
        from service.cli.tables import shown_id
        from service.client import Experiment, Run, Study

        found = client.find_any(client.meant(id, Run, Experiment, Study))
        folder = out or Path(f"figures-{shown_id(found.id)}")
        match found:
            case Run():
                pictures = _of_run(client, found, format)
            case Experiment():
                pictures = _of_experiment(client, found, format)
            case _:
                pictures = _of_study(client, found, format)
        written = [str(_save(picture, folder / name)) for name, picture in pictures]
        if output is Format.JSON:
            import json

            write_json(json.dumps(written, indent=2))
        elif written:
            write("\n".join(written))
        if not written:
            raise InvalidInput(f"{found.title} has no figures yet")


def _of_run(
    client: "Client", run: "Run", kind: Kind, folder: str = ""
) -> "Iterator[tuple[str, Picture]]":
    from service.storage.states import FindingsState

    if run.findings and run.findings.state is FindingsState.TO_COME:
        run = client.ask_for_findings(run.id)
        say(f"the figures of run {run.id} are still to come; waiting for them ...")
        while run.findings and run.findings.state is FindingsState.TO_COME:
            time.sleep(POLL_S)
            run = client.run(run.id)
    if run.findings and run.findings.state is FindingsState.FAILED:
        fail(f"the figures of run {run.id} could not be made: {run.findings.message}", FAILED)
    names = client.figures(run.id)
    files = [f"{folder}{name}.{kind}" for name in names]
    is_quick = kind is Kind.PNG  # those are files of the run, and nobody draws them now
    for name, file in zip(names, files if is_quick else _announced(files), strict=True):
        yield file, client.figure(run.id, name, kind=kind.value)


def _of_experiment(
    client: "Client", experiment: "Experiment", kind: Kind
) -> "Iterator[tuple[str, Picture]]":
    for run in experiment.runs:
        yield from _of_run(client, client.run(run.id), kind, f"seed-{run.seed}/")


def _of_study(client: "Client", study: "Study", kind: Kind) -> "Iterator[tuple[str, Picture]]":
    from polar.records.phases import StudyFigure

    names = [name for name in StudyFigure if study.links.get(name)]  # others have nothing to draw
    for name, file in zip(names, _announced([f"{name}.{kind}" for name in names]), strict=True):
        yield file, client.study_figure(study.id, name, kind.value)


def _announced(files: Sequence[str]) -> Iterator[str]:
    """Say of each file that it is drawn now, which takes seconds."""
    for number, file in enumerate(files, 1):
        say(f"drawing {number} of {len(files)}: {file}")
        yield file


def _save(picture: "Picture", path: Path) -> Path:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InvalidInput(f"cannot write into {path.parent}: {error.strerror}") from error
    with replacing(path) as aside:
        aside.write_bytes(picture.content)
    return path
