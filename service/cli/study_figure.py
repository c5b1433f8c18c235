"""`polar study figure`: the phase diagram of a study as a file."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import typer

from polar.errors import InvalidInput
from service.cli.connection import Url, service_at, spec_of
from service.cli.out_files import refuse_special
from service.cli.output import write

if TYPE_CHECKING:
    from service.client import Client


def figure(
    id: Annotated[str, typer.Argument(help="Id of a study.")],
    out: Annotated[
        Path, typer.Option(dir_okay=False, help="File of the picture: .png, .svg or .pdf.")
    ] = Path("phase_diagram.png"),
    url: Url = None,
) -> None:
    """Draw verdicts, active latents, P and R by weight, with the range, and save the numbers."""
    with service_at(url) as client:
        for path in save_phase_diagram(client, id, out):
            write(str(path))


def save_phase_diagram(client: "Client", study_id: UUID | str, out: Path) -> list[Path]:
    """Draw the phase diagram of a study; returns the paths of the picture and of its numbers.

    Raises:
        InvalidInput: there is nothing to draw, or a file cannot be written.
    """
    refuse_special(out)
    from service.api.studies.phases import phases_of
    from service.storage.states import TrialState

    study = client.study(study_id)
    completed = [
        (trial.point, trial.measured)
        for trial in client.trials(study_id)
        if trial.state is TrialState.COMPLETED
    ]
    phases = phases_of(spec_of(study), study.range, completed)
    from service import drawing

    try:
        return drawing.save_phase_diagram(phases, out)
    except OSError as error:
        raise InvalidInput(f"cannot write {out}: {error.strerror}") from error
