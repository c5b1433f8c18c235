"""The addresses that answers of the API link to."""

from collections.abc import Mapping, Sequence
from urllib.parse import quote, urlencode
from uuid import UUID

from polar.records.phases import StudyFigure
from service.api.schemas import Links
from service.settings import Settings
from service.storage.tables import Tracking
from service.storage.tracking import SAVED_VIEW
from service.storage.tracking_tables import StudyTracking

PREFIX = "/api/v1"
#: Where a login link leads.
LOGIN = f"{PREFIX}/login"
#: Most runs that an address of MLflow's pages names, because addresses must not grow without end.
MOST_IN_MLFLOW = 100


def to_experiment(experiment_id: UUID) -> str:
    return f"{PREFIX}/experiments/{experiment_id}"


def of_experiment(settings: Settings, experiment_id: UUID, tracked: Sequence[Tracking]) -> Links:
    """The links of an experiment; `tracked` is where MLflow has those runs that it has.

    `mlflow` leads to these runs alone, `mlflow_all` to all runs of the same model and dataset.
    """
    base = to_experiment(experiment_id)
    return {
        "self": base,
        "events": f"{base}/events",
        "extend": f"{base}/extend",
        "cancel": f"{base}/cancel",
        "mlflow": _runs_in_mlflow(settings, tracked) if tracked else None,
        "mlflow_all": _view_in_mlflow(settings, tracked[0]) if tracked else None,
    }


def to_study(study_id: UUID) -> str:
    return f"{PREFIX}/studies/{study_id}"


def of_study(
    settings: Settings,
    study_id: UUID,
    tracked: StudyTracking | None,
    figures: Mapping[StudyFigure, bool],
    *,
    is_optimised: bool,
) -> Links:
    """The links of a study; that to a figure is None while there is nothing to draw in it.

    optuna-dashboard shows the values of a search for a range as if they were to be raised: a line
    that stays at 0 as long as nothing is clean, and a best trial that nobody has asked for.

    Args:
        settings: Addresses of the other servers.
        study_id: Id of the study.
        tracked: Where MLflow has the study; None if it does not have it yet.
        figures: The study's figures, and whether there is something to draw in each.
        is_optimised: Whether Optuna chooses the points of the study, and so shows how well.
    """
    base = to_study(study_id)
    parts = ("trials", "trials.csv", "trials.parquet", "pareto", "range", "models")
    actions = ("pause", "resume", "cancel", "extend", "retry-failed")
    return {
        "self": base,
        **{name: f"{base}/{name}" for name in (*parts, *actions)},
        **{
            name: f"{base}/figures/{name}.png" if is_there else None
            for name, is_there in figures.items()
        },
        "mlflow": _run_in_mlflow(settings, tracked) if tracked else None,
        "mlflow_runs": _table_in_mlflow(settings, tracked, f"tags.`polar.study_id` = '{study_id}'")
        if tracked
        else None,
        "dashboard": f"{settings.dashboard_url.rstrip('/')}/polar/{study_id}"
        if is_optimised
        else None,
    }


def to_run(run_id: UUID) -> str:
    return f"{PREFIX}/runs/{run_id}"


def of_run(settings: Settings, run_id: UUID, tracked: Tracking | None) -> Links:
    base = to_run(run_id)
    return {
        "self": base,
        "events": f"{base}/events",
        "extend": f"{base}/extend",
        "cancel": f"{base}/cancel",
        "rerun": f"{base}/rerun",
        "diagnostics": f"{base}/diagnostics",
        "figures": f"{base}/figures",
        "log": f"{base}/log",
        "findings": to_findings(run_id),
        "mlflow": _run_in_mlflow(settings, tracked) if tracked else None,
    }


def to_login(token: str) -> str:
    return f"{LOGIN}?link={token}"


def to_figure(run_id: UUID, name: str) -> str:
    return f"{to_run(run_id)}/figures/{name}"


def to_model(run_id: UUID) -> str:
    return f"{to_run(run_id)}/model"


def to_findings(run_id: UUID) -> str:
    return f"{to_run(run_id)}/findings"


def to_measurement(measurement_id: UUID) -> str:
    return f"{PREFIX}/measurements/{measurement_id}"


def to_measured_figure(measurement_id: UUID, name: str) -> str:
    return f"{to_measurement(measurement_id)}/figures/{name}"


def _run_in_mlflow(settings: Settings, tracked: Tracking | StudyTracking) -> str:
    return _in_mlflow(settings, tracked, f"/runs/{tracked.mlflow_run_id}")


def _runs_in_mlflow(settings: Settings, tracked: Sequence[Tracking]) -> str:
    """Address of the page of a single run, or of a table of these runs beside their charts.

    Where there are too many, the table has the first `MOST_IN_MLFLOW`.
    """
    if len(tracked) == 1:
        return _run_in_mlflow(settings, tracked[0])
    ids = ", ".join(f"'{each.mlflow_run_id}'" for each in tracked[:MOST_IN_MLFLOW])
    table = _table_in_mlflow(settings, tracked[0], f"attributes.run_id IN ({ids})")
    return f"{table}&compareRunsMode=CHART"


def _table_in_mlflow(settings: Settings, tracked: Tracking | StudyTracking, which: str) -> str:
    """Address of the runs that this filter of MLflow's lets through, below their parents.

    Only a table that is sorted by time shows runs below their parents. An address with a filter
    cannot name a saved view, too: MLflow's pages would ignore it.
    """
    query = {"searchFilter": which, "orderByKey": "attributes.start_time", "orderByAsc": "false"}
    return f"{_in_mlflow(settings, tracked, '/runs')}&{urlencode(query, quote_via=quote)}"


def _view_in_mlflow(settings: Settings, tracked: Tracking) -> str:
    """Address of all runs of a model and dataset, in the view that the tracker has saved."""
    return f"{_in_mlflow(settings, tracked, '/runs')}&viewStateShareKey={SAVED_VIEW}"


def _in_mlflow(settings: Settings, tracked: Tracking | StudyTracking, place: str) -> str:
    """Address of an MLflow page, with the query without which it opens for language models."""
    base = f"{settings.mlflow_url.rstrip('/')}/#/experiments/{tracked.mlflow_experiment_id}"
    return f"{base}{place}?workflowType=machine_learning"
