"""`polar study pareto`: the best trials of a study."""

from typing import TYPE_CHECKING

from service.cli.connection import Url, option_of, service_at, spec_of
from service.cli.output import Format, Output, say, show
from service.cli.study_figure import Id, meant
from service.storage.states import TrialState

if TYPE_CHECKING:
    from rich.console import RenderableType

    from service.api.studies.schemas import Front
    from service.client import Study


def pareto(id: Id, output: Output = Format.TABLE, url: Url = None) -> None:
    """Show the trials that no other dominates; with one objective, the best trial."""
    with service_at(url) as client:
        front = client.front(meant(client, id))
        if front.trials or output is Format.JSON:
            show(front, _table, output)
        study = client.study(front.study_id)
        all_trials = f"`polar study show {study.id}{option_of(url)}` shows all its trials"
        if study.seeks_range:
            say(f"{study.title}, and it seeks a range, for which no trial is best; {all_trials}")
        elif not front.trials:
            say(f"{study.title}, {_why_none(study)}; {all_trials}")
        elif len(front.objectives) == 1:
            (objective,) = front.objectives
            best = _best_in_words(len(front.trials))
            say(f"{objective} is the only objective of the study: {best}")


def _best_in_words(count: int) -> str:
    if count == 1:
        return "this is its best trial"
    return f"these {count} are its best trials, which are equally good"


def _why_none(study: "Study") -> str:
    if not study.trials.get(TrialState.COMPLETED):
        return "and none of its trials is completed" + ("" if study.has_ended else " yet")
    limits = [limit for bound in spec_of(study).constraints for limit in bound.violations(0.0)]
    return f"and no completed trial keeps all limits: {', '.join(limits)}"


def _table(front: "Front") -> "RenderableType":
    from service.cli.study_tables import of_trials

    return of_trials(front.trials, [f"{name} ({way})" for name, way in front.objectives.items()])
