"""A saved view of MLflow's run table and charts, with what researchers compare runs by.

MLflow shows no numbers in its table until somebody has chosen columns, draws nothing against the
weight, and prints all parameters over every logged image. It keeps such choices in a tag of the
experiment, in the format of the menu `Views` of MLflow 3.17; versions that do not know the format
ignore the tag. Every experiment therefore gets a view, which the menu offers and the links of the
API open.
"""

import base64
import json
import zlib
from collections.abc import Mapping
from typing import TypeAlias

from service.storage.tracking import SAVED_VIEW

NAME = "Polarisation"

#: A chart as MLflow's pages store it; only those pages read it.
Chart: TypeAlias = Mapping[str, object]

#: Columns from left to right, with the width in pixels that the name of each needs. A page of 1600
#: pixels shows those up to the state.
_COLUMNS = {
    "metrics.`weight`": 70,
    "tags.`polar.regime`": 130,
    "tags.`polar.flaws`": 120,
    "metrics.`regime/polarisation`": 140,
    "metrics.`regime/explained`": 130,
    "metrics.`latent/n_active`": 115,
    "tags.`polar.state`": 95,
    "tags.`polar.settled`": 105,
    "metrics.`latent/n_idle`": 100,
    "tags.`polar.status_reason`": 150,
}

#: If runs are sorted by time, MLflow folds the runs of a study away, and their charts with them.
#: Sorted by the source, which is the same for all runs, each run has a row of its own, and the
#: newest is still the first.
_NOT_NESTED = {"orderByKey": "tags.`mlflow.source.name`", "orderByAsc": False}


def experiment_tags() -> Mapping[str, str]:
    """The view, as a tag of an MLflow experiment."""
    section = {"uuid": SAVED_VIEW, "name": NAME, "display": True, "isReordered": True}
    state = {
        **_NOT_NESTED,
        "runsHiddenMode": "FIRST_20_RUNS",  # that charts show; by default they show ten
        "selectedColumns": list(_COLUMNS),
        "columnOrder": list(_COLUMNS),
        "columnWidths": _COLUMNS,
        "compareRunSections": [section],
        "compareRunCharts": _charts(),
        "isAccordionReordered": True,  # our section comes before those that MLflow adds
    }
    packed = base64.b64encode(zlib.compress(json.dumps(state).encode())).decode()
    view = {"name": NAME, "createdAt": 0, "updatedAt": 0, "state": f"deflate;{packed}"}
    return {f"mlflow.sharedViewState.{SAVED_VIEW}": json.dumps(view)}


def _charts() -> list[Chart]:
    """Charts of the paper's sorted entropies, of the regime by weight, and of runs' figures."""
    charts = [
        _line("entropy/by_rank"),
        _against_weight("regime/polarisation"),
        _against_weight("regime/explained"),
        _images("figures/sorted_entropies"),
        _images("figures/entropy_over_training"),
        _images("figures/entropy_heatmap"),
    ]
    place = {"metricSectionId": SAVED_VIEW, "deleted": False, "runsCountToCompare": 20}
    return [{**chart, **place, "uuid": f"{SAVED_VIEW}-{i}"} for i, chart in enumerate(charts)]


def _line(metric: str) -> Chart:
    unsmoothed = {"lineSmoothness": 0, "useGlobalLineSmoothing": False}
    return {"type": "LINE", "metricKey": metric, **unsmoothed}


def _against_weight(metric: str) -> Chart:
    x, y = ({"type": "METRIC", "key": key} for key in ("weight_log10", metric))
    return {"type": "SCATTER", "xaxis": x, "yaxis": y}


def _images(name: str) -> Chart:
    return {"type": "IMAGE", "imageKeys": [name], "step": 0, "showRunParams": False}
