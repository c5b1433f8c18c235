"""`polar study figure`: a figure of a study as a file."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import typer

from polar.errors import InvalidInput
from polar.records.phases import StudyFigure
from service.cli.connection import Url, service_at, spec_of
from service.cli.out_files import refuse_special
from service.cli.output import write

if TYPE_CHECKING:
    from polar.records.phases import LossEnvelope, Phases
    from service.api.studies.schemas import StudyView
    from service.client import Client

Id = Annotated[str, typer.Argument(help="Id of a study, how it begins, or its name.")]


def meant(client: "Client", written: str) -> str:
    """The id of the study that somebody means."""
    from service.client import Study

    return client.meant(written, Study)


def figure(
    id: Id,
    name: Annotated[
        StudyFigure,
        typer.Option(
            help="Verdicts, active latents, P and R by weight, from scratch (phase_diagram); "
            "active latents and R from scratch and from inside the band (hysteresis); verdicts at "
            "all evaluations, and the edges at every budget (weight_by_steps); or what all models "
            "of the problem pay at every weight (loss_envelope)."
        ),
    ] = StudyFigure.PHASE_DIAGRAM,
    out: Annotated[
        Path | None,
        typer.Option(
            dir_okay=False,
            help="File of the picture: .png, .svg or .pdf.",
            show_default="the name of the figure, as PNG",
        ),
    ] = None,
    url: Url = None,
) -> None:
    """Draw a study along its weight, with the range, and save the numbers."""
    with service_at(url) as client:
        for path in save_figure(client, meant(client, id), name, out or Path(f"{name}.png")):
            write(str(path))


def save_figure(
    client: "Client", study_id: UUID | str, name: StudyFigure, out: Path
) -> list[Path]:
    """Draw a figure of a study; returns the paths of the picture and of its numbers.

    Raises:
        InvalidInput: there is nothing to draw, or a file cannot be written.
    """
    refuse_special(out)
    content = _content(client, client.study(study_id), name)
    from service import study_figures

    try:
        return study_figures.save_figure(name, content, out)
    except OSError as error:
        raise InvalidInput(f"cannot write {out}: {error.strerror}") from error


def _content(client: "Client", study: "StudyView", name: StudyFigure) -> "Phases | LossEnvelope":
    from service.api.studies.models import envelope_of, refuse_other_fields
    from service.storage.phases import FIGURES
    from service.storage.states import TrialState

    spec = spec_of(study)
    if name is StudyFigure.LOSS_ENVELOPE:
        refuse_other_fields(spec)
        return envelope_of(spec, study.range, client.models(study.id))
    completed = [
        (trial.point, trial.measured)
        for trial in client.trials(study.id)
        if trial.state is TrialState.COMPLETED
    ]
    return FIGURES[name](spec, study.range, completed)
