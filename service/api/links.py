"""The addresses that answers of the API link to."""

from collections.abc import Mapping
from uuid import UUID

from polar.records.phases import StudyFigure
from service.api.schemas import Links
from service.settings import Settings
from service.storage.tables import Tracking
from service.storage.tracking import SAVED_VIEW
from service.storage.tracking_tables import StudyTracking

PREFIX = "/api/v1"


def to_experiment(experiment_id: UUID) -> str:
    return f"{PREFIX}/experiments/{experiment_id}"


def of_experiment(settings: Settings, experiment_id: UUID, tracked: Tracking | None) -> Links:
    base = to_experiment(experiment_id)
    return {
        "self": base,
        "events": f"{base}/events",
        "extend": f"{base}/extend",
        "cancel": f"{base}/cancel",
        "mlflow": _table_in_mlflow(settings, tracked) if tracked else None,
    }


def to_study(study_id: UUID) -> str:
    return f"{PREFIX}/studies/{study_id}"


def of_study(
    settings: Settings,
    study_id: UUID,
    tracked: StudyTracking | None,
    figures: Mapping[StudyFigure, bool],
) -> Links:
    """The links of a study; that to a figure is None while there is nothing to draw in it.

    Args:
        settings: Addresses of the other servers.
        study_id: Id of the study.
        tracked: Where MLflow has the study; None if it does not have it yet.
        figures: The study's figures, and whether there is something to draw in each.
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
        "mlflow": _in_mlflow(settings, tracked, f"/runs/{tracked.mlflow_run_id}")
        if tracked
        else None,
        "dashboard": f"{settings.dashboard_url.rstrip('/')}/polar/{study_id}",
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
        "diagnostics": f"{base}/diagnostics",
        "figures": f"{base}/figures",
        "log": f"{base}/log",
        "findings": to_findings(run_id),
        "mlflow": _in_mlflow(settings, tracked, f"/runs/{tracked.mlflow_run_id}")
        if tracked
        else None,
    }


def to_login(token: str) -> str:
    return f"{PREFIX}/login?link={token}"


def to_figure(run_id: UUID, name: str) -> str:
    return f"{PREFIX}/runs/{run_id}/figures/{name}"


def to_findings(run_id: UUID) -> str:
    return f"{PREFIX}/runs/{run_id}/findings"


def to_measurement(measurement_id: UUID) -> str:
    return f"{PREFIX}/measurements/{measurement_id}"


def to_measured_figure(measurement_id: UUID, name: str) -> str:
    return f"{to_measurement(measurement_id)}/figures/{name}"


def _table_in_mlflow(settings: Settings, tracked: Tracking) -> str:
    """Address of the experiment's runs, in the view that the tracker has saved for it."""
    return f"{_in_mlflow(settings, tracked, '/runs')}&viewStateShareKey={SAVED_VIEW}"


def _in_mlflow(settings: Settings, tracked: Tracking | StudyTracking, place: str) -> str:
    """Address of an MLflow page, with the query without which it opens for language models."""
    base = f"{settings.mlflow_url.rstrip('/')}/#/experiments/{tracked.mlflow_experiment_id}"
    return f"{base}{place}?workflowType=machine_learning"
