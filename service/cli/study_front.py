"""`polar study pareto`: the best trials of a study."""

from typing import TYPE_CHECKING

from service.cli.connection import Url, service_at
from service.cli.output import Format, Output, show
from service.cli.study_figure import Id, meant

if TYPE_CHECKING:
    from rich.console import RenderableType

    from service.api.studies.schemas import Front


def pareto(id: Id, output: Output = Format.TABLE, url: Url = None) -> None:
    """Show the trials that no other dominates; with one objective, the best trial."""
    with service_at(url) as client:
        show(client.front(meant(client, id)), _table, output)


def _table(front: "Front") -> "RenderableType":
    from service.cli.study_tables import of_trials

    return of_trials(front.trials, [f"{name} ({way})" for name, way in front.objectives.items()])
